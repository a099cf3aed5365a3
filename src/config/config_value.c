/* SPDX-License-Identifier: Apache-2.0 */
/* config_value.c - takes: a node and its row.  Gives: the stored value.  Never: rounds, clamps or
 * guesses; what is out of bounds is told with both bounds. */
#include "config/config_value.h"

#include <assert.h>
#include <stdio.h>

#include "base/base_parse.h"
#include "config/config_decode.h"
#include "config/config_secret.h"

#define TEXT_BYTES_MAX 4096

static void store_number(const struct config_directive *row, void *base, uint64_t value)
{
    char *at = (char *)base + row->offset;
    uint32_t four = (uint32_t)value;
    uint16_t two = (uint16_t)value;
    uint8_t one = (uint8_t)value;
    switch (row->size) {
    case 1:
        memcpy(at, &one, 1);
        break;
    case 2:
        memcpy(at, &two, 2);
        break;
    case 4:
        memcpy(at, &four, 4);
        break;
    default:
        assert(row->size == 8);
        memcpy(at, &value, 8);
    }
}

static void store_span(const struct config_directive *row, void *base, struct span text)
{
    assert(row->size == sizeof(text));
    memcpy((char *)base + row->offset, &text, sizeof(text));
}

static void fault_type(struct config_load *load, const struct config_directive *row,
                       const struct config_node *node)
{
    config_error(load->doc, node, "expected %s, found %s", config_value_expected(row).text,
                 config_found(node).text);
}

static bool check_range(struct config_load *load, const struct config_directive *row,
                        const struct config_node *node, uint64_t value)
{
    if (value >= row->min && value <= row->max)
        return true;
    config_error(load->doc, node, "out of range: at least %s and at most %s%s%s, found %s",
                 config_amount_text(row->type, row->min).text,
                 config_amount_text(row->type, row->max).text, row->unit == NULL ? "" : " ",
                 row->unit == NULL ? "" : row->unit, config_found(node).text);
    return false;
}

/* A whole number of the node; false after a fault. */
static bool take_number(struct config_load *load, const struct config_directive *row,
                        const struct config_node *node, uint64_t *value)
{
    int64_t number = 0;
    if (node->kind != CONFIG_KIND_NUMBER) {
        fault_type(load, row, node);
        return false;
    }
    enum config_number result = config_decode_number(node->token, &number);
    if (result == CONFIG_UNREAD) {
        config_out_of_memory(load->doc);
        return false;
    }
    if (result == CONFIG_FRACTION) {
        config_error(load->doc, node, "expected a whole number, found %s", config_found(node).text);
        return false;
    }
    if (result == CONFIG_TOO_LARGE || number < 0) {
        config_error(load->doc, node, "out of range: at least %s and at most %s, found %s",
                     config_amount_text(CONFIG_INTEGER, row->min).text,
                     config_amount_text(CONFIG_INTEGER, row->max).text, config_found(node).text);
        return false;
    }
    *value = (uint64_t)number;
    return check_range(load, row, node, *value);
}

static bool is_word(struct config_load *load, const struct config_directive *row,
                    const struct config_node *node)
{
    return row->word != NULL && node->kind == CONFIG_KIND_STRING &&
           span_eq(config_text(load, node), span_of(row->word));
}

static void take_bool(struct config_load *load, const struct config_directive *row,
                      const struct config_node *node, void *base)
{
    if (node->kind != CONFIG_KIND_TRUE && node->kind != CONFIG_KIND_FALSE)
        fault_type(load, row, node);
    else
        *(bool *)((char *)base + row->offset) = node->kind == CONFIG_KIND_TRUE;
}

static void take_integer(struct config_load *load, const struct config_directive *row,
                         const struct config_node *node, void *base)
{
    uint64_t value;
    if (is_word(load, row, node))
        store_number(row, base, row->word_value);
    else if (take_number(load, row, node, &value))
        store_number(row, base, value);
}

static bool parse_rate(struct span text, uint64_t *value)
{
    struct span suffix = SPAN("/s");
    if (text.len < suffix.len ||
        memcmp(text.ptr + text.len - suffix.len, suffix.ptr, suffix.len) != 0)
        return false;
    return parse_size_bytes((struct span){text.ptr, text.len - suffix.len}, value);
}

static void take_amount(struct config_load *load, const struct config_directive *row,
                        const struct config_node *node, void *base)
{
    bool (*parse)(struct span, uint64_t *) = row->type == CONFIG_DURATION ? parse_duration_us
                                             : row->type == CONFIG_SIZE   ? parse_size_bytes
                                                                          : parse_rate;
    uint64_t value;
    if (is_word(load, row, node))
        store_number(row, base, row->word_value);
    else if (node->kind != CONFIG_KIND_STRING || !parse(config_text(load, node), &value))
        fault_type(load, row, node);
    else if (check_range(load, row, node, value))
        store_number(row, base, value);
}

/* ` (did you mean "x"?)` among the row's words, for the part of the text before a colon. */
static struct config_quoted suggest(const struct config_directive *row, struct span text)
{
    struct config_near near = config_near_to((struct span){text.ptr, span_find(text, ':')});
    for (const char *const *word = row->words; word != NULL && *word != NULL; word++)
        config_near_try(&near, span_of(*word), false);
    if (span_eq(near.best, near.wrong))
        near.best = SPAN_NONE; /* the word is right, what follows it is not */
    return config_suggestion(&near);
}

int config_word_index(const char *const *words, struct span word)
{
    for (int i = 0; words != NULL && words[i] != NULL; i++) {
        if (span_eq(span_of(words[i]), word))
            return i;
    }
    return -1;
}

/* Does the text, or what stands before its colon, belong to a later version?  Then that is said. */
static bool is_later(struct config_load *load, const struct config_directive *row,
                     const struct config_node *node, struct span text)
{
    struct span head = {text.ptr, span_find(text, ':')};
    if (config_word_index(row->later, text) < 0 && config_word_index(row->later, head) < 0)
        return false;
    config_error(load->doc, node, "%s is not supported by this version", config_quote(text).text);
    return true;
}

/* The index of the word that the node spells, -1 after a fault. */
static int take_word(struct config_load *load, const struct config_directive *row,
                     const struct config_node *node)
{
    if (node->kind != CONFIG_KIND_STRING) {
        fault_type(load, row, node);
        return -1;
    }
    struct span text = config_text(load, node);
    int index = config_word_index(row->words, text);
    struct config_directive word = *row;
    word.type = CONFIG_CHOICE; /* one of the list, not a list */
    if (index < 0 && !is_later(load, row, node, text))
        config_error(load->doc, node, "expected %s, found %s%s", config_value_expected(&word).text,
                     config_found(node).text, suggest(row, text).text);
    return index;
}

static void take_choice(struct config_load *load, const struct config_directive *row,
                        const struct config_node *node, void *base)
{
    int index = take_word(load, row, node);
    if (index >= 0)
        store_number(row, base, (uint64_t)index);
}

/* A list of between min and max items; false after a fault. */
static bool check_count(struct config_load *load, const struct config_directive *row,
                        const struct config_node *node)
{
    if (node->child_count >= row->min && (row->max == 0 || node->child_count <= row->max))
        return true;
    if (node->child_count < row->min)
        config_error(load->doc, node, "at least %llu expected, found %u",
                     (unsigned long long)row->min, node->child_count);
    else
        config_error(load->doc, node, "at most %llu allowed, found %u",
                     (unsigned long long)row->max, node->child_count);
    return false;
}

static void take_flags(struct config_load *load, const struct config_directive *row,
                       const struct config_node *node, void *base)
{
    uint32_t bits = 0;
    if (node->kind != CONFIG_KIND_ARRAY) {
        fault_type(load, row, node);
        return;
    }
    CONFIG_EACH(child, node)
    {
        int index = take_word(load, row, child);
        if (index >= 0 && (bits & 1u << index) != 0)
            config_error(load->doc, child, "listed twice");
        if (index >= 0)
            bits |= 1u << index;
    }
    store_number(row, base, bits);
}

static bool check_text(struct config_load *load, const struct config_node *node, struct span text,
                       uint64_t min, uint64_t max)
{
    if (text.ptr == NULL)
        return false; /* told already */
    if (text.len < min)
        config_error(load->doc, node, "must not be empty");
    else if (text.len > max)
        config_error(load->doc, node, "at most %llu bytes are allowed, found %zu",
                     (unsigned long long)max, text.len);
    else
        return true;
    return false;
}

/* Give one text to the row's take function. */
static void take_one(struct config_load *load, const struct config_directive *row,
                     const struct config_node *node, const struct config_take *take)
{
    if (is_later(load, row, node, take->text))
        return;
    const char *sentence = row->take(take);
    if (sentence != NULL)
        config_error(load->doc, node, "%s: %s%s", config_quote(take->text).text, sentence,
                     suggest(row, take->text).text);
}

static void take_text(struct config_load *load, const struct config_directive *row,
                      const struct config_node *node, void *base)
{
    uint64_t max = row->max == 0 ? TEXT_BYTES_MAX : row->max;
    if (node->kind != CONFIG_KIND_STRING) {
        fault_type(load, row, node);
        return;
    }
    struct span text = config_text(load, node);
    if (!check_text(load, node, text, row->min, max))
        return;
    struct config_take take = {base, load->arena, text, 0, 0, 1};
    if (row->take != NULL)
        take_one(load, row, node, &take);
    else if (!is_later(load, row, node, text))
        store_span(row, base, text);
}

static void take_texts(struct config_load *load, const struct config_directive *row,
                       const struct config_node *node, void *base)
{
    if (node->kind != CONFIG_KIND_ARRAY) {
        fault_type(load, row, node);
        return;
    }
    if (!check_count(load, row, node))
        return;
    CONFIG_EACH(child, node)
    {
        if (child->kind != CONFIG_KIND_STRING) {
            config_error(load->doc, child, "expected a string, found %s", config_found(child).text);
            continue;
        }
        struct span text = config_text(load, child);
        struct config_take take = {base, load->arena, text, 0, child->index, node->child_count};
        if (check_text(load, child, text, 1, TEXT_BYTES_MAX) && row->take != NULL)
            take_one(load, row, child, &take);
    }
}

static void take_amounts(struct config_load *load, const struct config_directive *row,
                         const struct config_node *node, void *base)
{
    struct config_directive number = *row; /* min and max of the numbers, not of their count */
    if (is_word(load, row, node)) {
        store_number(row, base, row->word_value);
        return;
    }
    if (node->kind == CONFIG_KIND_STRING && is_later(load, row, node, config_text(load, node)))
        return;
    if (node->kind != CONFIG_KIND_OBJECT) {
        fault_type(load, row, node);
        return;
    }
    if (node->child_count == 0)
        config_error(load->doc, node, "at least one is expected");
    number.type = CONFIG_INTEGER;
    number.word = NULL; /* it stands for the whole */
    CONFIG_EACH(child, node)
    {
        uint64_t value;
        if (child->is_duplicate || !take_number(load, &number, child, &value))
            continue;
        struct config_take take = {base,         load->arena,      child->key, (uint32_t)value,
                                   child->index, node->child_count};
        const char *sentence = row->take(&take);
        if (sentence == NULL)
            continue;
        struct config_quoted near = suggest(row, child->key);
        bool has_count = child->key.len > 0 && child->key.ptr[0] >= '0' && child->key.ptr[0] <= '9';
        if (near.text[0] != '\0' && !has_count)
            config_key_error(load->doc, child, "unknown key %s%s", config_quote(child->key).text,
                             near.text);
        else
            config_key_error(load->doc, child, "%s: %s", config_quote(child->key).text, sentence);
    }
}

static void take_secret(struct config_load *load, const struct config_directive *row,
                        const struct config_node *node, void *base)
{
    store_span(row, base, config_secret_take(load, node));
}

static void take_file(struct config_load *load, const struct config_directive *row,
                      const struct config_node *node, void *base)
{
    store_span(row, base, config_secret_file(load, node));
}

static void take_any(struct config_load *load, const struct config_directive *row,
                     const struct config_node *node, void *base)
{
    struct span text;
    if (config_decode_overflows(node->token))
        config_error(load->doc, node, "a number in it is too large");
    else if (!config_decode_compact(node->token, load->arena, &text))
        config_out_of_memory(load->doc);
    else
        store_span(row, base, text);
}

void config_value_take(struct config_load *load, const struct config_directive *row,
                       const struct config_node *node, void *base)
{
    static void (*const takers[])(struct config_load *, const struct config_directive *,
                                  const struct config_node *, void *) = {
        [CONFIG_BOOL] = take_bool,       [CONFIG_INTEGER] = take_integer,
        [CONFIG_DURATION] = take_amount, [CONFIG_SIZE] = take_amount,
        [CONFIG_RATE] = take_amount,     [CONFIG_TEXT] = take_text,
        [CONFIG_CHOICE] = take_choice,   [CONFIG_FLAGS] = take_flags,
        [CONFIG_SECRET] = take_secret,   [CONFIG_TEXTS] = take_texts,
        [CONFIG_AMOUNTS] = take_amounts, [CONFIG_ANY] = take_any,
        [CONFIG_FILE] = take_file,
    };
    assert((size_t)row->type < sizeof(takers) / sizeof(takers[0]));
    takers[row->type](load, row, node, base);
}

/* "a", "b" or "c" */
static void list_words(char *out, size_t size, const char *const *words)
{
    size_t len = 0;
    for (size_t i = 0; words[i] != NULL && len < size; i++) {
        const char *join = i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ";
        int wrote = snprintf(out + len, size - len, "%s\"%s\"", join, words[i]);
        len += wrote < 0 ? 0 : (size_t)wrote;
    }
}

struct config_quoted config_value_expected(const struct config_directive *row)
{
    static const char *const wants[] = {
        [CONFIG_BOOL] = "true or false",
        [CONFIG_INTEGER] = "a whole number",
        [CONFIG_DURATION] = "a duration such as \"30s\"",
        [CONFIG_SIZE] = "a size such as \"64KiB\"",
        [CONFIG_RATE] = "a rate such as \"1KiB/s\"",
        [CONFIG_TEXT] = "a string",
        [CONFIG_FLAGS] = "a list of ",
        [CONFIG_SECRET] = "a secret",
        [CONFIG_FILE] = "the name of a file",
        [CONFIG_TEXTS] = "a list of strings",
        [CONFIG_AMOUNTS] = "an object of numbers",
        [CONFIG_ANY] = "any value",
        [CONFIG_OBJECT] = "an object",
        [CONFIG_LIST] = "a list of objects",
        [CONFIG_MAP] = "an object of named objects",
    };
    struct config_quoted expected = {{0}};
    size_t size = sizeof(expected.text), len = 0;
    if (row->type != CONFIG_CHOICE)
        len = (size_t)snprintf(expected.text, size, "%s", wants[row->type]);
    if (row->type == CONFIG_CHOICE || row->type == CONFIG_FLAGS)
        list_words(expected.text + len, size - len, row->words);
    else if (row->word != NULL)
        snprintf(expected.text + len, size - len, " or \"%s\"", row->word);
    return expected;
}
