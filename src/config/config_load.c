/* SPDX-License-Identifier: Apache-2.0 */
/* config_load.c - takes: objects and tables.  Gives: filled structs.  Never: passes over a key that the
 * table does not have. */
#include "config/config_load.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>

#include "config/config_decode.h"
#include "config/config_value.h"

#define NAME_BYTES_MAX 64

void config_load_init(struct config_load *load, struct config_doc *doc, struct arena *arena,
                      config_read_fn read, void *arg)
{
    *load = (struct config_load){.doc = doc, .arena = arena, .read = read, .arg = arg};
}

struct config_rows config_rows_of(const struct config_table *table)
{
    struct config_rows rows = {.depth = 1};
    rows.stack[0].table = table;
    return rows;
}

const struct config_directive *config_rows_next(struct config_rows *rows)
{
    while (rows->depth > 0) {
        unsigned top = rows->depth - 1;
        const struct config_table *table = rows->stack[top].table;
        if (rows->stack[top].next == table->count) {
            rows->depth--;
            continue;
        }
        const struct config_directive *row = &table->rows[rows->stack[top].next++];
        const char *when = row->when != NULL ? row->when : rows->stack[top].when;
        if (row->type != CONFIG_MERGE) {
            rows->offset = rows->stack[top].offset;
            rows->when = when;
            return row;
        }
        assert(rows->depth < sizeof(rows->stack) / sizeof(rows->stack[0]));
        rows->stack[top + 1].table = row->nested;
        rows->stack[top + 1].next = 0;
        rows->stack[top + 1].offset = rows->stack[top].offset + row->offset;
        rows->stack[top + 1].when = when;
        rows->depth++;
    }
    return NULL;
}

const struct config_directive *config_row(const struct config_table *table, struct span key,
                                          size_t *offset)
{
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        if (!span_eq(span_of(row->key), key))
            continue;
        if (offset != NULL)
            *offset = rows.offset;
        return row;
    }
    return NULL;
}

const char *config_selected(const struct config_table *table, const struct config_node *node)
{
    const struct config_directive *row = config_row(table, SPAN("type"), NULL);
    if (row == NULL || row->type != CONFIG_CHOICE)
        return NULL;
    const struct config_node *type = config_find(node, "type");
    struct span text = type != NULL ? type->token : span_of(row->fallback);
    if (text.len < 2 || text.ptr[0] != '"')
        return NULL;
    int index = config_word_index(row->words, (struct span){text.ptr + 1, text.len - 2});
    return index < 0 ? NULL : row->words[index];
}

bool config_is_word(const struct config_directive *row, const struct config_node *node)
{
    if (row->word == NULL || node->kind != CONFIG_KIND_STRING)
        return false;
    struct span inside = {node->token.ptr + 1, node->token.len - 2};
    return span_eq(inside, span_of(row->word));
}

struct config_quoted config_suggestion(const struct config_near *near)
{
    struct config_quoted suggestion = {{0}};
    if (near->best.ptr != NULL)
        snprintf(suggestion.text, sizeof(suggestion.text), " (did you mean %.70s?)",
                 config_quote(near->best).text);
    return suggestion;
}

struct span config_text(struct config_load *load, const struct config_node *node)
{
    struct span text = SPAN_NONE;
    if (node->kind != CONFIG_KIND_STRING)
        config_error(load->doc, node, "expected a string, found %s", config_found(node).text);
    else if (!config_decode_text(node->token, load->arena, &text))
        config_out_of_memory(load->doc);
    return text;
}

struct config_quoted config_amount_text(enum config_type type, uint64_t value)
{
    static const struct {
        enum config_type type;
        uint64_t factor;
        const char *unit;
        bool is_for_zero;
    } units[] = {
        {CONFIG_DURATION, UINT64_C(86400000000), "d", false},
        {CONFIG_DURATION, UINT64_C(3600000000), "h", false},
        {CONFIG_DURATION, 60000000, "m", false},
        {CONFIG_DURATION, 1000000, "s", true},
        {CONFIG_DURATION, 1000, "ms", false},
        {CONFIG_DURATION, 1, "us", false},
        {CONFIG_SIZE, 1u << 30, "GiB", false},
        {CONFIG_SIZE, 1u << 20, "MiB", false},
        {CONFIG_SIZE, 1u << 10, "KiB", false},
        {CONFIG_SIZE, 1, "B", true},
        {CONFIG_RATE, 1u << 30, "GiB/s", false},
        {CONFIG_RATE, 1u << 20, "MiB/s", false},
        {CONFIG_RATE, 1u << 10, "KiB/s", false},
        {CONFIG_RATE, 1, "B/s", true},
        {CONFIG_INTEGER, 1, "", true},
    };
    struct config_quoted text = {{0}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        bool fits = value % units[i].factor == 0 && (value != 0 || units[i].is_for_zero);
        if (units[i].type != type || !fits)
            continue;
        snprintf(text.text, sizeof(text.text), "%llu%s",
                 (unsigned long long)(value / units[i].factor), units[i].unit);
        return text;
    }
    snprintf(text.text, sizeof(text.text), "%llu", (unsigned long long)value);
    return text;
}

/* `"a", "b", "c"`: the keys that may stand in the object. */
static void list_keys(const struct config_table *table, const char *selected, char *out,
                      size_t size)
{
    size_t len = 0;
    struct config_rows rows = config_rows_of(table);
    *out = '\0';
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        bool is_other = rows.when != NULL && selected != NULL && strcmp(rows.when, selected) != 0;
        if (row->type == CONFIG_LATER || is_other || len + strlen(row->key) + 8 > size)
            continue;
        len += (size_t)snprintf(out + len, size - len, "%s\"%s\"", len == 0 ? "" : ", ", row->key);
    }
}

static void fault_unknown(struct config_load *load, const struct config_table *table,
                          const struct config_node *node, const struct config_node *child,
                          const char *selected)
{
    char known[480];
    struct config_near near = config_near_to(child->key);
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        bool is_other = rows.when != NULL && selected != NULL && strcmp(rows.when, selected) != 0;
        if (row->type != CONFIG_LATER && !is_other)
            config_near_try(&near, span_of(row->key), config_find(node, row->key) != NULL);
    }
    if (near.best.ptr != NULL) {
        config_key_error(load->doc, child, "unknown key %s%s", config_quote(child->key).text,
                         config_suggestion(&near).text);
        return;
    }
    list_keys(table, selected, known, sizeof(known));
    config_key_error(load->doc, child, "unknown key %s (known here: %s)",
                     config_quote(child->key).text, known);
}

/* Every key of the object must have a row, and one that applies. */
static void check_keys(struct config_load *load, const struct config_table *table,
                       const struct config_node *node)
{
    const char *selected = config_selected(table, node);
    CONFIG_EACH(child, node)
    {
        const struct config_directive *row;
        struct config_rows rows = config_rows_of(table);
        while ((row = config_rows_next(&rows)) != NULL && !span_eq(span_of(row->key), child->key))
            continue;
        if (child->is_duplicate)
            continue;
        if (row == NULL)
            fault_unknown(load, table, node, child, selected);
        else if (row->type == CONFIG_LATER)
            config_key_error(load->doc, child, "%s is not supported by this version",
                             config_quote(child->key).text);
        else if (rows.when != NULL && selected != NULL && strcmp(rows.when, selected) != 0)
            config_key_error(load->doc, child, "only with \"type\": \"%s\" (here it is \"%s\")",
                             rows.when, selected);
    }
}

static bool is_name(struct span text)
{
    if (text.len == 0 || text.len > NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!isalnum((unsigned char)text.ptr[i]) && memchr("._-", text.ptr[i], 3) == NULL)
            return false;
    }
    return true;
}

static void load_rows(struct config_load *load, const struct config_table *table,
                      const struct config_node *node, const struct config_node *bare, void *base);

/* One item of a list or map into its zeroed struct. */
static void load_item(struct config_load *load, const struct config_directive *row,
                      const struct config_node *child, char *item)
{
    const struct config_table *table = row->nested;
    if (row->type == CONFIG_MAP && !is_name(child->key))
        config_key_error(load->doc, child,
                         "a name has 1 to 64 letters, digits, \".\", \"_\" or \"-\"");
    if (row->type == CONFIG_MAP && table->has_name) {
        struct span name = arena_copy(load->arena, child->key);
        memcpy(item + table->name_offset, &name, sizeof(name));
        if (name.ptr == NULL)
            config_out_of_memory(load->doc);
    }
    if (table->item != NULL)
        config_value_take(load, table->item, child, item);
    else if (child->kind == CONFIG_KIND_OBJECT)
        config_load_table(load, table, child, item);
    else if (child->kind == CONFIG_KIND_STRING && table->short_key != NULL)
        load_rows(load, table, NULL, child, item);
    else
        config_error(load->doc, child, "expected an object%s, found %s",
                     table->short_key == NULL ? "" : " or a string", config_found(child).text);
}

static void load_items(struct config_load *load, const struct config_directive *row,
                       const struct config_node *node, void *base)
{
    struct config_items *items = (struct config_items *)(void *)((char *)base + row->offset);
    enum config_kind kind = row->type == CONFIG_MAP ? CONFIG_KIND_OBJECT : CONFIG_KIND_ARRAY;
    assert(row->size == sizeof(*items));
    if (config_is_word(row, node))
        return; /* for the program to see */
    if (node->kind != kind) {
        config_error(load->doc, node, "expected %s, found %s", config_value_expected(row).text,
                     config_found(node).text);
        return;
    }
    if (node->child_count < row->min) {
        config_error(load->doc, node, "at least one %s is expected", row->nested->noun);
        return;
    }
    if (node->child_count > row->max) {
        config_error(load->doc, node, "at most %llu are allowed, found %u",
                     (unsigned long long)row->max, node->child_count);
        return;
    }
    char *structs = arena_take_zeroed(load->arena, node->child_count * row->nested->size);
    items->nodes = arena_take_zeroed(&load->doc->arena, node->child_count * sizeof(*items->nodes));
    if (structs == NULL || items->nodes == NULL) {
        config_out_of_memory(load->doc);
        return;
    }
    items->items = structs;
    CONFIG_EACH(child, node)
    {
        if (child->is_duplicate)
            continue;
        items->nodes[items->count] = child;
        load_item(load, row, child, structs + row->nested->size * items->count++);
    }
}

static void load_value(struct config_load *load, const struct config_directive *row,
                       const struct config_node *node, void *base)
{
    if (row->type == CONFIG_LIST || row->type == CONFIG_MAP)
        load_items(load, row, node, base);
    else if (row->type != CONFIG_OBJECT)
        config_value_take(load, row, node, base);
    else if (node->kind != CONFIG_KIND_OBJECT && row->nested->short_key != NULL)
        load_rows(load, row->nested, NULL, node, (char *)base + row->offset);
    else if (node->kind != CONFIG_KIND_OBJECT)
        config_error(load->doc, node, "expected an object, found %s", config_found(node).text);
    else
        config_load_table(load, row->nested, node, (char *)base + row->offset);
}

/* Is an unknown key of the object this one, mistyped?  Then one message is enough. */
static bool is_mistyped(const struct config_table *table, const struct config_node *node,
                        const char *key)
{
    CONFIG_EACH(child, node)
    {
        struct config_near near = config_near_to(child->key);
        config_near_try(&near, span_of(key), false);
        if (near.best.ptr != NULL && config_row(table, child->key, NULL) == NULL)
            return true;
    }
    return false;
}

static void load_absent(struct config_load *load, const struct config_table *table,
                        const struct config_directive *row, const struct config_node *node,
                        void *base)
{
    if ((row->flags & CONFIG_REQUIRED) != 0 && node != NULL) {
        if (!is_mistyped(table, node, row->key))
            config_missing_error(load->doc, node, "\"%s\" is missing", row->key);
    } else if (row->type == CONFIG_OBJECT && !config_may_be_absent(row)) {
        config_load_table(load, row->nested, NULL, (char *)base + row->offset);
    } else if (row->fallback != NULL) {
        const struct config_node *fallback = config_doc_fallback(load->doc, row->fallback);
        if (fallback != NULL)
            load_value(load, row, fallback, base);
    }
}

/* bare: an item written as a bare string, which stands for the table's short key. */
static void load_rows(struct config_load *load, const struct config_table *table,
                      const struct config_node *node, const struct config_node *bare, void *base)
{
    const char *selected = config_selected(table, node);
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        void *owner = (char *)base + rows.offset;
        const struct config_node *child = config_find(node, row->key);
        bool is_other = rows.when != NULL && (selected == NULL || strcmp(rows.when, selected) != 0);
        if (row->type == CONFIG_LATER || is_other)
            continue;
        if (bare != NULL && strcmp(row->key, table->short_key) == 0)
            child = bare;
        if (child != NULL)
            load_value(load, row, child, owner);
        else
            load_absent(load, table, row, node, owner);
    }
}

static void check_pair(struct config_load *load, const struct config_pair *pair,
                       const struct config_node *node)
{
    const struct config_node *one = config_find(node, pair->one);
    const struct config_node *other = config_find(node, pair->other);
    if (one != NULL && other != NULL && !pair->may_both)
        config_key_error(load->doc, other->index > one->index ? other : one,
                         "\"%s\" and \"%s\" cannot stand together", pair->one, pair->other);
    else if (one == NULL && other == NULL && pair->is_required)
        config_missing_error(load->doc, node, "\"%s\" or \"%s\" is missing", pair->one,
                             pair->other);
}

/* The rules of the table and of those merged into it. */
static void check_rules(struct config_load *load, const struct config_table *table,
                        const struct config_node *node, void *base)
{
    const char *selected = config_selected(table, node);
    for (unsigned i = 0; i < table->pair_count; i++)
        check_pair(load, &table->pairs[i], node);
    if (table->check != NULL)
        table->check(load->doc, node, base);
    for (unsigned i = 0; i < table->count; i++) {
        const struct config_directive *row = &table->rows[i];
        bool is_other = row->when != NULL && (selected == NULL || strcmp(row->when, selected) != 0);
        if (row->type == CONFIG_MERGE && !is_other)
            check_rules(load, row->nested, node, (char *)base + row->offset);
    }
}

void config_load_table(struct config_load *load, const struct config_table *table,
                       const struct config_node *node, void *base)
{
    if (node != NULL)
        check_keys(load, table, node);
    load_rows(load, table, node, NULL, base);
    if (node != NULL)
        check_rules(load, table, node, base);
}
