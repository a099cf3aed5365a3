/* SPDX-License-Identifier: Apache-2.0 */
/* config_effective.c - takes: one read file, or two.  Gives: the effective file, or the differences. */
#include "config/config_effective.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/config_json.h"

#define LABEL_BYTES_MAX 512

/* Where a difference lies: "quota ip" and, within it, "timeouts connect". */
struct place {
    char item[LABEL_BYTES_MAX], path[LABEL_BYTES_MAX];
};

struct diff {
    FILE *out;
    bool is_out_of_memory;
};

static void diff_tables(struct diff *diff, const struct config_table *table,
                        const struct place *place, json_t *old, json_t *next);
static void diff_named(struct diff *diff, const struct config_directive *row,
                       const struct place *place, json_t *old, json_t *next);

char *config_dump(const struct config_table *table, const struct config_version *version)
{
    json_t *json = config_json_effective(table, version, false);
    char *text = config_json_text(json, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(json);
    return text;
}

/* The place of a member: the first word names the item, the rest goes on the path. */
static struct place inside(const struct place *place, const char *noun, const char *name)
{
    struct place inner = *place;
    bool is_top = place->item[0] == '\0';
    char *out = is_top ? inner.item : inner.path;
    size_t len = strlen(out);
    snprintf(out + len, LABEL_BYTES_MAX - len, "%s%s%s%s", len == 0 ? "" : " ", noun,
             noun[0] == '\0' ? "" : " ", name);
    return inner;
}

static void put_place(struct diff *diff, const struct place *place)
{
    fprintf(diff->out, "%s:%s%s", place->item, place->path[0] == '\0' ? "" : " ", place->path);
}

static void put_value(struct diff *diff, const json_t *json)
{
    if (json == NULL) {
        fputs("(unset)", diff->out);
        return;
    }
    char *text =
        json_is_string(json) ? NULL : config_json_text(json, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!json_is_string(json) && text == NULL)
        diff->is_out_of_memory = true;
    else
        fputs(text == NULL ? json_string_value(json) : text, diff->out);
    free(text);
}

static void diff_value(struct diff *diff, const struct config_directive *row,
                       const struct place *place, json_t *old, json_t *next)
{
    if (old == next || (old != NULL && next != NULL && json_equal(old, next)))
        return;
    put_place(diff, place);
    if (row->type == CONFIG_SECRET || row->type == CONFIG_FILE) {
        fputs(" changed\n", diff->out);
        return;
    }
    fputc(' ', diff->out);
    put_value(diff, old);
    fputs(" -> ", diff->out);
    put_value(diff, next);
    fputc('\n', diff->out);
}

static void put_event(struct diff *diff, const struct place *place, const char *event)
{
    put_place(diff, place);
    fprintf(diff->out, " %s\n", event);
}

/* A list may be long: how many texts were added and removed says enough. */
static void diff_texts(struct diff *diff, const struct place *place, json_t *old, json_t *next)
{
    json_t *lists[] = {old, next}, *seen = json_object(), *text;
    size_t index, counts[2] = {0, 0};
    for (unsigned i = 0; i < 2; i++) {
        json_array_foreach(lists[i], index, text)
        {
            if (json_object_set_new(seen, json_string_value(text), json_integer(i)) != 0)
                diff->is_out_of_memory = true;
        }
    }
    json_array_foreach(next, index, text)
    {
        if (json_object_del(seen, json_string_value(text)) != 0)
            diff->is_out_of_memory = true;
    }
    counts[0] = json_object_size(seen); /* only in the old one */
    counts[1] = json_array_size(next) + counts[0] - json_array_size(old);
    json_decref(seen);
    if (counts[0] + counts[1] == 0)
        return;
    put_place(diff, place);
    fprintf(diff->out, " %zu added, %zu removed\n", counts[1], counts[0]);
}

/* The value of an item that is no object; NULL: there is none. */
static void diff_item(struct diff *diff, const struct config_directive *row,
                      const struct place *place, json_t *old, json_t *next)
{
    bool is_texts = row->type == CONFIG_TEXTS && json_is_array(old) && json_is_array(next);
    if (json_is_object(old) && json_is_object(next))
        diff_named(diff, row, place, old, next);
    else if (is_texts)
        diff_texts(diff, place, old, next);
    else if (old == NULL || next == NULL)
        put_event(diff, place, old == NULL ? "added" : "removed");
    else
        diff_value(diff, row, place, old, next);
}

/* Named members of two objects; nested NULL: numbers. */
static void diff_named(struct diff *diff, const struct config_directive *row,
                       const struct place *place, json_t *old, json_t *next)
{
    const char *key;
    json_t *value;
    const char *noun = row->nested == NULL ? "" : row->nested->noun;
    json_object_foreach(old, key, value)
    {
        struct place inner = inside(place, noun, key);
        json_t *other = json_object_get(next, key);
        if (row->nested == NULL)
            diff_value(diff, row, &inner, value, other);
        else if (row->nested->item != NULL)
            diff_item(diff, row->nested->item, &inner, value, other);
        else if (other == NULL)
            put_event(diff, &inner, "removed");
        else
            diff_tables(diff, row->nested, &inner, value, other);
    }
    json_object_foreach(next, key, value)
    {
        struct place inner = inside(place, noun, key);
        if (json_object_get(old, key) != NULL)
            continue;
        if (row->nested == NULL)
            diff_value(diff, row, &inner, NULL, value);
        else
            put_event(diff, &inner, "added");
    }
}

/* What an item of a list is known by: its name, else what it says. */
static json_t *by_name(struct diff *diff, const struct config_table *table, const json_t *list)
{
    json_t *named = json_object();
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item)
    {
        const char *name = table->name_key == NULL
                               ? NULL
                               : json_string_value(json_object_get(item, table->name_key));
        char *whole = name != NULL ? NULL : config_json_text(item, JSON_COMPACT);
        if (name == NULL)
            name = whole;
        if (name == NULL || named == NULL || json_object_set(named, name, item) != 0)
            diff->is_out_of_memory = true;
        free(whole);
    }
    return named;
}

static bool is_reordered(json_t *old, json_t *next)
{
    void *a = json_object_iter(old), *b = json_object_iter(next);
    while (a != NULL && b != NULL) {
        if (json_object_get(next, json_object_iter_key(a)) == NULL) {
            a = json_object_iter_next(old, a);
        } else if (json_object_get(old, json_object_iter_key(b)) == NULL) {
            b = json_object_iter_next(next, b);
        } else {
            if (strcmp(json_object_iter_key(a), json_object_iter_key(b)) != 0)
                return true;
            a = json_object_iter_next(old, a);
            b = json_object_iter_next(next, b);
        }
    }
    return false;
}

static void diff_lists(struct diff *diff, const struct config_directive *row,
                       const struct place *place, json_t *old, json_t *next)
{
    json_t *old_named = by_name(diff, row->nested, old),
           *next_named = by_name(diff, row->nested, next);
    if (!diff->is_out_of_memory) {
        diff_named(diff, row, place, old_named, next_named);
        struct place inner = inside(place, "", row->key);
        if (is_reordered(old_named, next_named))
            put_event(diff, &inner, "in another order");
    }
    json_decref(old_named);
    json_decref(next_named);
}

static void diff_row(struct diff *diff, const struct config_directive *row,
                     const struct place *place, json_t *old, json_t *next)
{
    struct place inner = inside(place, "", row->key);
    if (row->type == CONFIG_MAP && !json_is_string(old) && !json_is_string(next))
        diff_named(diff, row, place, old, next);
    else if (row->type == CONFIG_AMOUNTS && !json_is_string(old) && !json_is_string(next))
        diff_named(diff, row, &inner, old, next);
    else if (row->type == CONFIG_LIST)
        diff_lists(diff, row, place, old, next);
    else if (row->type == CONFIG_OBJECT && old != NULL && next != NULL)
        diff_tables(diff, row->nested, &inner, old, next);
    else
        diff_value(diff, row, &inner, old, next);
}

static void diff_tables(struct diff *diff, const struct config_table *table,
                        const struct place *place, json_t *old, json_t *next)
{
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        json_t *before = json_object_get(old, row->key), *after = json_object_get(next, row->key);
        if (row->type != CONFIG_LATER)
            diff_row(diff, row, place, before, after);
    }
}

char *config_diff(const struct config_table *table, const struct config_version *old,
                  const struct config_version *next)
{
    char *text = NULL;
    size_t len = 0;
    struct place place = {{0}, {0}};
    struct diff diff = {.out = open_memstream(&text, &len)};
    json_t *before = config_json_effective(table, old, true);
    json_t *after = config_json_effective(table, next, true);
    if (diff.out == NULL || before == NULL || after == NULL)
        diff.is_out_of_memory = true;
    else
        diff_tables(&diff, table, &place, before, after);
    json_decref(before);
    json_decref(after);
    if (diff.out != NULL && fclose(diff.out) != 0)
        diff.is_out_of_memory = true;
    if (diff.is_out_of_memory) {
        free(text);
        return NULL;
    }
    return text;
}

static const char *restart_fault(const struct config_table *table, json_t *old, json_t *next)
{
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        json_t *before = json_object_get(old, row->key), *after = json_object_get(next, row->key);
        bool is_same =
            before == after || (before != NULL && after != NULL && json_equal(before, after));
        if (is_same || row->type == CONFIG_LATER)
            continue;
        if (row->restart != NULL)
            return row->restart;
        const char *inner =
            row->type == CONFIG_OBJECT ? restart_fault(row->nested, before, after) : NULL;
        if (inner != NULL)
            return inner;
    }
    return NULL;
}

const char *config_restart_fault(const struct config_table *table, const struct config_version *old,
                                 const struct config_version *next)
{
    json_t *before = config_json_effective(table, old, true);
    json_t *after = config_json_effective(table, next, true);
    const char *sentence = before == NULL || after == NULL ? "there is no memory to compare the two"
                                                           : restart_fault(table, before, after);
    json_decref(before);
    json_decref(after);
    return sentence;
}
