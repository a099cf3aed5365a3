/* SPDX-License-Identifier: Apache-2.0 */
/* admin_filter.c - see admin_filter.h.  The writer of lines escapes every text in one way alone, so values are escaped once and then
 * compared as bytes. */
#include "admin/admin_filter.h"

#include <stdio.h>

#include "base/base_ascii.h"
#include "base/base_fmt.h"
#include "base/base_parse.h"
#include "config/config_near.h"

enum field_kind {
    FIELD_TEXT,
    FIELD_NUMBER,
    FIELD_TIME, /* microseconds */
};

/* Those of docs/logs.md that are no object, and the two lists of names that people ask for; scripts/check-docs compares. */
static const struct {
    const char *name;
    enum field_kind kind;
    const char *also; /* another member of the line that it may stand in */
} FIELDS[] = {
    {"v", FIELD_NUMBER, NULL},
    {"event", FIELD_TEXT, NULL},
    {"boot", FIELD_TEXT, NULL},
    {"seq", FIELD_NUMBER, NULL},
    {"ts", FIELD_TEXT, NULL},
    {"gen", FIELD_NUMBER, NULL},
    {"id", FIELD_TEXT, NULL},
    {"parent_id", FIELD_TEXT, NULL},
    {"client_ip", FIELD_TEXT, NULL},
    {"peer_ip", FIELD_TEXT, NULL},
    {"proto", FIELD_TEXT, NULL},
    {"method", FIELD_TEXT, NULL},
    {"host", FIELD_TEXT, NULL},
    {"path", FIELD_TEXT, NULL},
    {"query", FIELD_TEXT, NULL},
    {"bytes_in", FIELD_NUMBER, NULL},
    {"tls", FIELD_TEXT, NULL},
    {"tls_cipher", FIELD_TEXT, NULL},
    {"tls_name", FIELD_TEXT, NULL},
    {"tls_resumed", FIELD_TEXT, NULL},
    {"listener", FIELD_TEXT, NULL},
    {"route", FIELD_TEXT, NULL},
    {"upstream", FIELD_TEXT, NULL},
    {"server", FIELD_TEXT, NULL},
    {"tries", FIELD_NUMBER, NULL},
    {"reused", FIELD_TEXT, NULL},
    {"upstream_id", FIELD_TEXT, NULL},
    {"decision", FIELD_TEXT, NULL},
    {"refused_by", FIELD_TEXT, NULL},
    {"tier", FIELD_TEXT, NULL},
    {"near", FIELD_TEXT, NULL},
    {"cost", FIELD_NUMBER, NULL},
    {"subject", FIELD_TEXT, "subjects"},
    {"quota", FIELD_TEXT, NULL},
    {"retry_after", FIELD_NUMBER, NULL},
    {"status", FIELD_NUMBER, NULL},
    {"bytes_out", FIELD_NUMBER, NULL},
    {"end", FIELD_TEXT, NULL},
    {"reason", FIELD_TEXT, NULL},
    {"close", FIELD_TEXT, NULL},
    {"t_header", FIELD_TIME, NULL},
    {"t_store", FIELD_TIME, NULL},
    {"t_body", FIELD_TIME, NULL},
    {"t_queue", FIELD_TIME, NULL},
    {"t_connect", FIELD_TIME, NULL},
    {"t_first", FIELD_TIME, NULL},
    {"t_total", FIELD_TIME, NULL},
    {"cut", FIELD_TEXT, NULL},
    {"charges_whole", FIELD_TEXT, NULL},
    {"bytes", FIELD_TEXT, NULL},
};
#define FIELD_COUNT (sizeof(FIELDS) / sizeof(FIELDS[0]))

/* ---- reading the expression ---- */

struct reader {
    struct admin_filter *filter;
    struct span all;
    size_t at;
    char *why;
};

static bool fail(struct reader *reader, size_t at, const char *what)
{
    snprintf(reader->why, 256, "at byte %zu: %s", at + 1, what);
    return false;
}

static char peek(const struct reader *reader)
{
    return reader->at < reader->all.len ? reader->all.ptr[reader->at] : '\0';
}

static void skip_spaces(struct reader *reader)
{
    while (peek(reader) == ' ')
        reader->at++;
}

static bool read_field(struct reader *reader, struct admin_filter_condition *condition)
{
    size_t begin = reader->at;
    char what[200], given[40], *end;
    while (reader->at < reader->all.len && (ascii_is_word(peek(reader)) || peek(reader) == '_'))
        reader->at++;
    struct span name = {reader->all.ptr + begin, reader->at - begin};
    struct config_near near = config_near_to(name);
    if (name.len == 0)
        return fail(reader, begin, "the name of a field is expected, as in route=search");
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (span_eq(name, span_of(FIELDS[i].name))) {
            condition->field = (uint8_t)i;
            return true;
        }
        config_near_try(&near, span_of(FIELDS[i].name), false);
    }
    end = fmt_clean(given, given + sizeof(given) - 1, name);
    *end = '\0';
    if (near.best.ptr == NULL)
        snprintf(what, sizeof(what), "\"%s\" is no field of a line", given);
    else
        snprintf(what, sizeof(what), "\"%s\" is no field of a line (did you mean \"%.*s\"?)", given,
                 (int)near.best.len, near.best.ptr);
    return fail(reader, begin, what);
}

static bool read_sign(struct reader *reader, struct admin_filter_condition *condition)
{
    static const struct {
        struct span text;
        enum admin_filter_sign sign;
    } signs[] = {
        {{"!=", 2}, ADMIN_FILTER_UNEQUAL},        {{">=", 2}, ADMIN_FILTER_ABOVE_OR_EQUAL},
        {{"<=", 2}, ADMIN_FILTER_BELOW_OR_EQUAL}, {{"=", 1}, ADMIN_FILTER_EQUAL},
        {{">", 1}, ADMIN_FILTER_ABOVE},           {{"<", 1}, ADMIN_FILTER_BELOW},
    };
    struct span rest = {reader->all.ptr + reader->at, reader->all.len - reader->at};
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        if (!span_starts_with(rest, signs[i].text))
            continue;
        condition->sign = (uint8_t)signs[i].sign;
        reader->at += signs[i].text.len;
        if (signs[i].sign >= ADMIN_FILTER_ABOVE && FIELDS[condition->field].kind == FIELD_TEXT)
            return fail(reader, reader->at - signs[i].text.len,
                        "this field is a text: only = and != compare it");
        return true;
    }
    return fail(reader, reader->at, "one of = != > >= < <= is expected");
}

/* The bytes that are meant: within quotes, or up to what separates. */
static bool read_bytes(struct reader *reader, struct span *text)
{
    size_t begin = reader->at;
    if (peek(reader) == '"') {
        size_t end = begin + 1;
        while (end < reader->all.len && reader->all.ptr[end] != '"')
            end++;
        if (end == reader->all.len)
            return fail(reader, begin, "the quote is not closed");
        *text = (struct span){reader->all.ptr + begin + 1, end - begin - 1};
        reader->at = end + 1;
        return true;
    }
    while (reader->at < reader->all.len && peek(reader) != '&' && peek(reader) != '|')
        reader->at++;
    size_t end = reader->at;
    while (end > begin && reader->all.ptr[end - 1] == ' ')
        end--;
    *text = (struct span){reader->all.ptr + begin, end - begin};
    return text->len != 0 || fail(reader, begin, "a value is expected");
}

static bool read_value(struct reader *reader, struct admin_filter_condition *condition)
{
    struct admin_filter *filter = reader->filter;
    enum field_kind kind = FIELDS[condition->field].kind;
    struct span text = SPAN_NONE;
    bool is_cut = false, has_bytes = false;
    skip_spaces(reader);
    size_t begin = reader->at;
    if (filter->value_count == ADMIN_FILTER_VALUES)
        return fail(reader, begin, "there are more than 32 values");
    if (!read_bytes(reader, &text))
        return false;
    struct admin_filter_value *value = &filter->values[filter->value_count++];
    char *out = filter->text + filter->text_len;
    char *end = fmt_json_text(out, filter->text + sizeof(filter->text), text, &is_cut, &has_bytes);
    *value = (struct admin_filter_value){filter->text_len, (uint32_t)(end - out), 0};
    filter->text_len += value->len;
    condition->count++;
    bool is_number = kind != FIELD_TEXT && parse_u64(text, &value->number);
    if (kind == FIELD_TIME && !is_number && !parse_duration_us(text, &value->number))
        return fail(reader, begin, "a time is expected, such as 100ms, or microseconds");
    if (kind == FIELD_NUMBER && !is_number)
        return fail(reader, begin, "a number is expected");
    skip_spaces(reader);
    return true;
}

static bool read_condition(struct reader *reader)
{
    struct admin_filter *filter = reader->filter;
    if (filter->count == ADMIN_FILTER_CONDITIONS)
        return fail(reader, reader->at, "there are more than 16 conditions");
    struct admin_filter_condition *condition = &filter->conditions[filter->count++];
    *condition = (struct admin_filter_condition){.first = (uint8_t)filter->value_count};
    skip_spaces(reader);
    if (!read_field(reader, condition))
        return false;
    skip_spaces(reader);
    if (!read_sign(reader, condition) || !read_value(reader, condition))
        return false;
    while (peek(reader) == '|') {
        if (condition->sign >= ADMIN_FILTER_ABOVE)
            return fail(reader, reader->at, "only = and != take several values");
        reader->at++;
        if (!read_value(reader, condition))
            return false;
    }
    return true;
}

bool admin_filter_parse(struct admin_filter *filter, struct span text, char why[256])
{
    struct reader reader = {filter, text, 0, why};
    filter->count = filter->value_count = 0;
    filter->text_len = 0;
    if (text.len > ADMIN_FILTER_TEXT_MAX)
        return fail(&reader, ADMIN_FILTER_TEXT_MAX, "the expression is longer than 1000 bytes");
    skip_spaces(&reader);
    if (reader.at == text.len)
        return true;
    for (;;) {
        if (!read_condition(&reader))
            return false;
        if (reader.at == text.len)
            return true;
        if (peek(&reader) != '&')
            return fail(&reader, reader.at, "& is expected between two conditions");
        reader.at++;
    }
}

/* ---- looking at a line ---- */

/* Behind the string that begins at `at`. */
static size_t pass_string(struct span text, size_t at)
{
    for (at++; at < text.len; at++) {
        if (text.ptr[at] == '\\')
            at++;
        else if (text.ptr[at] == '"')
            return at + 1;
    }
    return text.len;
}

/* Behind the value that begins at `at`: a string, a list or an object with all that is in it, or a word. */
static size_t pass_value(struct span text, size_t at)
{
    unsigned depth = 0;
    if (at < text.len && text.ptr[at] == '"')
        return pass_string(text, at);
    while (at < text.len) {
        char byte = text.ptr[at];
        if (byte == '"') {
            at = pass_string(text, at);
            continue;
        }
        if (depth == 0 && (byte == ',' || byte == '}' || byte == ']'))
            return at;
        depth += byte == '{' || byte == '[';
        depth -= byte == '}' || byte == ']';
        at++;
        if (depth == 0 && (byte == '}' || byte == ']'))
            return at;
    }
    return at;
}

/* A text without its quotes; anything else as it is. */
static struct span bare(struct span value)
{
    if (value.len >= 2 && value.ptr[0] == '"')
        return (struct span){value.ptr + 1, value.len - 2};
    return value;
}

static bool is_value(const struct admin_filter *filter,
                     const struct admin_filter_condition *condition, struct span text)
{
    uint64_t number = 0;
    bool is_number = FIELDS[condition->field].kind != FIELD_TEXT;
    if (is_number && !parse_u64(text, &number))
        return false;
    for (unsigned i = 0; i < condition->count; i++) {
        const struct admin_filter_value *value = &filter->values[condition->first + i];
        if (is_number ? number == value->number
                      : span_eq(text, (struct span){filter->text + value->off, value->len}))
            return true;
    }
    return false;
}

/* Does the list or object hold it, itself or as the value of a member? */
static bool holds_value(const struct admin_filter *filter,
                        const struct admin_filter_condition *condition, struct span value)
{
    bool is_object = value.len != 0 && value.ptr[0] == '{';
    for (size_t at = 1; at + 1 < value.len;) {
        if (is_object && value.ptr[at] == '"') {
            at = pass_string(value, at);
            at += at < value.len; /* the colon */
        }
        size_t end = pass_value(value, at);
        if (end > at && is_value(filter, condition, bare((struct span){value.ptr + at, end - at})))
            return true;
        at = end + 1; /* the comma */
    }
    return false;
}

static bool meets(const struct admin_filter *filter, const struct admin_filter_condition *condition,
                  struct span value)
{
    bool is_compound = value.len != 0 && (value.ptr[0] == '{' || value.ptr[0] == '[');
    uint64_t number = 0, bound = filter->values[condition->first].number;
    if (condition->sign <= ADMIN_FILTER_UNEQUAL) {
        bool is_equal = is_compound ? holds_value(filter, condition, value)
                                    : is_value(filter, condition, bare(value));
        return is_equal == (condition->sign == ADMIN_FILTER_EQUAL);
    }
    if (!parse_u64(value, &number))
        return false;
    switch ((enum admin_filter_sign)condition->sign) {
    case ADMIN_FILTER_ABOVE:
        return number > bound;
    case ADMIN_FILTER_ABOVE_OR_EQUAL:
        return number >= bound;
    case ADMIN_FILTER_BELOW:
        return number < bound;
    default:
        return number <= bound;
    }
}

static bool is_of(const struct admin_filter_condition *condition, struct span name)
{
    const char *also = FIELDS[condition->field].also;
    return span_eq(name, span_of(FIELDS[condition->field].name)) ||
           (also != NULL && span_eq(name, span_of(also)));
}

bool admin_filter_has(const struct admin_filter *filter, struct span line)
{
    uint32_t left = (UINT32_C(1) << filter->count) - 1;
    size_t at = 1;
    while (left != 0 && at < line.len && line.ptr[at] == '"') {
        size_t name_end = pass_string(line, at);
        size_t end = name_end + 1 < line.len ? pass_value(line, name_end + 1) : line.len;
        if (end == line.len)
            return false; /* torn */
        struct span name = bare((struct span){line.ptr + at, name_end - at});
        struct span value = {line.ptr + name_end + 1, end - name_end - 1};
        for (unsigned i = 0; i < filter->count; i++)
            if (is_of(&filter->conditions[i], name) && meets(filter, &filter->conditions[i], value))
                left &= ~(UINT32_C(1) << i);
        at = end + 1;
    }
    return left == 0;
}
