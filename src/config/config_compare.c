/* SPDX-License-Identifier: Apache-2.0 */
/* config_compare.c - see config_compare.h. */
#include "config/config_compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_rng.h"
#include "config/config_json.h"

#define LABEL_BYTES_MAX 512

/* Where a difference lies: "quota ip" and, within it, "timeouts connect". */
struct place {
    char item[LABEL_BYTES_MAX], path[LABEL_BYTES_MAX];
};

struct diff {
    config_change_fn on_change;
    void *arg;
    bool is_out_of_memory;
};

static void diff_tables(struct diff *diff, const struct config_table *table,
                        const struct place *place, json_t *old, json_t *next);
static void diff_named(struct diff *diff, const struct config_directive *row,
                       const struct place *place, json_t *old, json_t *next);

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

static void emit(struct diff *diff, const struct place *place, struct config_change change)
{
    change.item = place->item;
    change.path = place->path;
    diff->on_change(diff->arg, &change);
}

/* The owner frees shown->json. */
static struct config_shown show(struct diff *diff, const json_t *json)
{
    struct config_shown shown = {NULL, NULL};
    if (json == NULL)
        return shown;
    shown.json = config_json_text(json, JSON_COMPACT | JSON_ENCODE_ANY);
    shown.text = json_is_string(json) ? json_string_value(json) : shown.json;
    if (shown.json == NULL)
        diff->is_out_of_memory = true;
    return shown;
}

static void emit_values(struct diff *diff, const struct place *place, struct config_change change,
                        const json_t *old, const json_t *next)
{
    change.was = show(diff, old);
    change.is = show(diff, next);
    if (!diff->is_out_of_memory)
        emit(diff, place, change);
    free((char *)(uintptr_t)change.was.json);
    free((char *)(uintptr_t)change.is.json);
}

static void emit_event(struct diff *diff, const struct place *place, enum config_change_kind kind)
{
    emit(diff, place, (struct config_change){.kind = kind});
}

static bool is_private(const struct config_directive *row)
{
    return row->type == CONFIG_SECRET || row->type == CONFIG_FILE ||
           (row->flags & CONFIG_PRIVATE) != 0;
}

static void diff_value(struct diff *diff, const struct config_directive *row,
                       const struct place *place, json_t *old, json_t *next)
{
    struct config_change change = {.kind = CONFIG_CHANGE_VALUE};
    if (old == next || (old != NULL && next != NULL && json_equal(old, next)))
        return;
    if (is_private(row))
        emit_event(diff, place, CONFIG_CHANGE_HIDDEN);
    else
        emit_values(diff, place, change, old, next);
}

/* Each text once. */
static json_t *text_set(struct diff *diff, const json_t *list)
{
    json_t *set = json_object();
    size_t index;
    json_t *text;
    json_array_foreach(list, index, text)
    {
        if (json_object_set_new(set, json_string_value(text), json_true()) != 0)
            diff->is_out_of_memory = true;
    }
    return set;
}

static size_t count_missing(json_t *set, json_t *from)
{
    const char *text;
    json_t *value;
    size_t count = 0;
    json_object_foreach(set, text, value) count += json_object_get(from, text) == NULL;
    return count;
}

/* How many texts are only in the one and only in the other. */
static void count_texts(struct diff *diff, const json_t *old, const json_t *next,
                        struct config_change *change)
{
    json_t *before = text_set(diff, old), *after = text_set(diff, next);
    change->removed = count_missing(before, after);
    change->added = count_missing(after, before);
    json_decref(before);
    json_decref(after);
}

static bool is_list(const json_t *json)
{
    return json == NULL || json_is_array(json);
}

/* The value of a key. */
static void diff_key(struct diff *diff, const struct config_directive *row,
                     const struct place *place, json_t *old, json_t *next)
{
    struct config_change change = {.kind = CONFIG_CHANGE_TEXTS};
    if (row->type == CONFIG_TEXTS && is_list(old) && is_list(next))
        count_texts(diff, old, next, &change);
    if (change.added + change.removed == 0)
        diff_value(diff, row, place, old, next); /* of a list the order may count */
    else if (!diff->is_out_of_memory && is_private(row))
        emit(diff, place, change);
    else if (!diff->is_out_of_memory)
        emit_values(diff, place, change, old, next);
}

/* The value of an item that is no object; NULL: there is none.  A list of an item may be long, and name people: how many
 * texts were added and removed says enough. */
static void diff_item(struct diff *diff, const struct config_directive *row,
                      const struct place *place, json_t *old, json_t *next)
{
    struct config_change change = {.kind = CONFIG_CHANGE_TEXTS};
    bool is_texts = row->type == CONFIG_TEXTS && json_is_array(old) && json_is_array(next);
    if (is_texts)
        count_texts(diff, old, next, &change);
    if (json_is_object(old) && json_is_object(next))
        diff_named(diff, row, place, old, next);
    else if (old == NULL || next == NULL)
        emit_event(diff, place, old == NULL ? CONFIG_CHANGE_ADDED : CONFIG_CHANGE_REMOVED);
    else if (!is_texts)
        diff_value(diff, row, place, old, next);
    else if (change.added + change.removed != 0)
        emit(diff, place, change);
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
            emit_event(diff, &inner, CONFIG_CHANGE_REMOVED);
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
            emit_event(diff, &inner, CONFIG_CHANGE_ADDED);
    }
}

/* Takes out what is not told. */
static void strip(const struct config_table *table, json_t *item)
{
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        if (is_private(row))
            (void)json_object_del(item, row->key);
        else if (row->type == CONFIG_OBJECT)
            strip(row->nested, json_object_get(item, row->key));
    }
}

/* What an item without a name says; of those that say the same but for what is not told, each after the first with its number.
 * Malloc'ed; NULL: no memory. */
static char *describe(const struct config_table *table, const json_t *item, const json_t *named)
{
    json_t *open = json_deep_copy(item);
    char *whole = NULL, *numbered = NULL;
    if (open != NULL && table->item == NULL)
        strip(table, open);
    whole = config_json_text(open, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(open);
    for (unsigned n = 2;
         whole != NULL && json_object_get(named, numbered != NULL ? numbered : whole) != NULL;
         n++) {
        free(numbered);
        if (asprintf(&numbered, "%s (%u)", whole, n) < 0) {
            free(whole);
            return NULL;
        }
    }
    if (numbered == NULL)
        return whole;
    free(whole);
    return numbered;
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
        char *whole = name != NULL ? NULL : describe(table, item, named);
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
            emit_event(diff, &inner, CONFIG_CHANGE_REORDERED);
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
        diff_key(diff, row, &inner, old, next);
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

bool config_compare(const struct config_table *table, const struct config_version *old,
                    const struct config_version *next, config_change_fn on_change, void *arg)
{
    struct place place = {{0}, {0}};
    struct diff diff = {.on_change = on_change, .arg = arg};
    struct hash_key key;
    rng_secret(&key, sizeof(key)); /* nobody can try guesses of a secret */
    json_t *before = config_json_effective(table, old, &key);
    json_t *after = config_json_effective(table, next, &key);
    if (before == NULL || after == NULL)
        diff.is_out_of_memory = true;
    else
        diff_tables(&diff, table, &place, before, after);
    json_decref(before);
    json_decref(after);
    return !diff.is_out_of_memory;
}
