/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_scan.c - see logtool_scan.h.  Every byte of a value is looked at once when it is passed; what stands in an object
 * or a list is looked at again by whoever opens it. */
#include "logtool/logtool_scan.h"

#include "base/base_parse.h"

#define NUMBER_MAX (UINT64_C(1) << 53) /* what every reader of JSON keeps exactly */

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

/* From behind the opening quote; NULL or behind the closing one. */
static const char *pass_string(const char *at, const char *end, struct logtool_value *value)
{
    value->kind = LOGTOOL_STRING;
    value->is_escaped = false;
    value->text.ptr = at;
    for (; at < end; at++) {
        if (*at == '"') {
            value->text.len = (size_t)(at - value->text.ptr);
            return at + 1;
        }
        if ((unsigned char)*at < 0x20)
            return NULL;
        if (*at != '\\')
            continue;
        value->is_escaped = true;
        if (++at == end)
            return NULL;
        if (*at == 'u') {
            if (end - at < 5)
                return NULL;
            for (int i = 1; i <= 4; i++)
                if (parse_hex_digit(at[i]) < 0)
                    return NULL;
            at += 4;
        } else if (*at == '\0' || strchr("\"\\/bfnrt", *at) == NULL) {
            return NULL;
        }
    }
    return NULL;
}

static const char *pass_digits(const char *at, const char *end)
{
    if (at == end || !is_digit(*at))
        return NULL;
    while (at < end && is_digit(*at))
        at++;
    return at;
}

static const char *pass_number(const char *at, const char *end)
{
    if (*at == '-')
        at++;
    if (at < end && *at == '0' && at + 1 < end && is_digit(at[1]))
        return NULL;
    at = pass_digits(at, end);
    if (at != NULL && at < end && *at == '.')
        at = pass_digits(at + 1, end);
    if (at != NULL && at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        at = pass_digits(at, end);
    }
    return at;
}

static const char *pass_word(const char *at, const char *end, struct logtool_value *value)
{
    static const struct {
        struct span text;
        enum logtool_kind kind;
    } words[] = {
        {{"true", 4}, LOGTOOL_TRUE}, {{"false", 5}, LOGTOOL_FALSE}, {{"null", 4}, LOGTOOL_NULL}};
    const struct span rest = {at, (size_t)(end - at)};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (span_starts_with(rest, words[i].text)) {
            value->kind = words[i].kind;
            return at + words[i].text.len;
        }
    return NULL;
}

static const char *pass_value(const char *at, const char *end, struct logtool_value *value,
                              unsigned depth);

/* From the opening bracket on. */
static const char *pass_nested(const char *at, const char *end, unsigned depth)
{
    const bool is_object = *at == '{';
    const char close = is_object ? '}' : ']';
    struct logtool_value value;
    at = skip_space(at + 1, end);
    if (at < end && *at == close)
        return at + 1;
    while (at < end) {
        if (is_object) {
            at = *at == '"' ? pass_string(at + 1, end, &value) : NULL;
            if (at == NULL)
                return NULL;
            at = skip_space(at, end);
            if (at == end || *at != ':')
                return NULL;
            at = skip_space(at + 1, end);
        }
        at = pass_value(at, end, &value, depth);
        if (at == NULL)
            return NULL;
        at = skip_space(at, end);
        if (at == end || (*at != ',' && *at != close))
            return NULL;
        if (*at == close)
            return at + 1;
        at = skip_space(at + 1, end);
    }
    return NULL;
}

static const char *pass_value(const char *at, const char *end, struct logtool_value *value,
                              unsigned depth)
{
    const char *begin = at;
    value->is_escaped = false;
    if (at == end || depth == 0)
        return NULL;
    if (*at == '"')
        return pass_string(at + 1, end, value);
    if (*at == '{' || *at == '[') {
        value->kind = *at == '{' ? LOGTOOL_OBJECT : LOGTOOL_LIST;
        at = pass_nested(at, end, depth - 1);
    } else if (*at == '-' || is_digit(*at)) {
        value->kind = LOGTOOL_NUMBER;
        at = pass_number(at, end);
    } else {
        at = pass_word(at, end, value);
    }
    if (at != NULL)
        value->text = (struct span){begin, (size_t)(at - begin)};
    return at;
}

void logtool_scan_open(struct logtool_scan *scan, struct span text)
{
    *scan = (struct logtool_scan){.at = text.ptr, .end = text.ptr + text.len};
}

/* To the next entry: past the opening bracket or a comma.  False: the last was passed, or it is bad. */
static bool next_entry(struct logtool_scan *scan, char open, char close)
{
    const char *at = scan->is_bad ? scan->end : skip_space(scan->at, scan->end);
    const char want = scan->is_begun ? ',' : open;
    if (at == scan->end) {
        scan->is_bad = true;
        return false;
    }
    if (scan->is_begun && *at == close) {
        scan->at = at;
        return false;
    }
    if (*at != want) {
        scan->is_bad = true;
        return false;
    }
    at = skip_space(at + 1, scan->end);
    if (!scan->is_begun && at < scan->end && *at == close) {
        scan->is_begun = true;
        scan->at = at;
        return false;
    }
    scan->is_begun = true;
    scan->at = at;
    return true;
}

static bool take_value(struct logtool_scan *scan, const char *at, struct logtool_value *value)
{
    at = pass_value(at, scan->end, value, LOGTOOL_DEPTH_MAX);
    scan->is_bad = at == NULL;
    scan->at = at == NULL ? scan->end : at;
    return at != NULL;
}

bool logtool_scan_member(struct logtool_scan *scan, struct span *name, struct logtool_value *value)
{
    if (!next_entry(scan, '{', '}'))
        return false;
    const char *at = scan->at;
    at = at < scan->end && *at == '"' ? pass_string(at + 1, scan->end, value) : NULL;
    if (at != NULL) {
        *name = value->text;
        at = skip_space(at, scan->end);
        if (at < scan->end && *at == ':')
            return take_value(scan, skip_space(at + 1, scan->end), value);
    }
    scan->is_bad = true;
    return false;
}

bool logtool_scan_item(struct logtool_scan *scan, struct logtool_value *value)
{
    return next_entry(scan, '[', ']') && take_value(scan, scan->at, value);
}

bool logtool_scan_is_done(const struct logtool_scan *scan)
{
    return !scan->is_bad && scan->at < scan->end &&
           skip_space(scan->at + 1, scan->end) == scan->end;
}

static unsigned hex4(const char *at)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 4 | (unsigned)parse_hex_digit(at[i]);
    return value;
}

/* At most as long as what stands for it. */
static char *put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3f));
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    }
    return out;
}

/* `at` stands on the u of \uXXXX; behind it, the low half of a pair included. */
static const char *undo_code(const char *at, const char *end, bool is_bytes, char **out)
{
    unsigned code = hex4(at + 1);
    at += 5;
    if (is_bytes && code >= 0x80 && code < 0x100) {
        *(*out)++ = (char)code;
        return at;
    }
    bool is_high = code >= 0xd800 && code < 0xdc00;
    unsigned low = is_high && end - at >= 6 && at[0] == '\\' && at[1] == 'u' ? hex4(at + 2) : 0;
    if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
    } else if (code >= 0xd800 && code < 0xe000) {
        code = 0xfffd; /* half a pair is no character */
    }
    *out = put_utf8(*out, code);
    return at;
}

size_t logtool_scan_unescape(const struct logtool_value *value, bool is_bytes, char *out)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *at = value->text.ptr, *end = at + value->text.len;
    char *begin = out;
    while (at < end) {
        if (*at != '\\') {
            *out++ = *at++;
            continue;
        }
        at++;
        if (*at == 'u') {
            at = undo_code(at, end, is_bytes, &out);
            continue;
        }
        const char *word = strchr(from, *at);
        *out++ = word == NULL ? *at : to[word - from];
        at++;
    }
    return (size_t)(out - begin);
}

bool logtool_scan_number(const struct logtool_value *value, uint64_t *number)
{
    uint64_t parsed = 0;
    if (value->kind != LOGTOOL_NUMBER || !parse_u64(value->text, &parsed) || parsed > NUMBER_MAX)
        return false;
    *number = parsed;
    return true;
}
