/* SPDX-License-Identifier: Apache-2.0 */
/* config_effective.c - takes: one read file, or two.  Gives: the effective file, or what a running process cannot take over. */
#include "config/config_effective.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_rng.h"
#include "config/config_json.h"

char *config_dump(const struct config_table *table, const struct config_version *version)
{
    json_t *json = config_json_effective(table, version, NULL);
    char *text = config_json_text(json, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(json);
    return text;
}

#define RESTART_WAYS 4
#define RESTART_KEYS 320 /* bytes of their names; what does not fit is left out */

/* Keys by what takes them over. */
struct restart {
    const char *ways[RESTART_WAYS];
    char keys[RESTART_WAYS][RESTART_KEYS];
    unsigned count;
};

/* path: "store." or "". */
static void restart_say(struct restart *restart, const char *path, const char *key, const char *how)
{
    unsigned i = 0;
    while (i < restart->count && strcmp(restart->ways[i], how) != 0)
        i++;
    if (i == RESTART_WAYS)
        return;
    if (i == restart->count)
        restart->ways[restart->count++] = how;
    size_t len = strlen(restart->keys[i]), more = strlen(path) + strlen(key);
    if (len + more + sizeof(", ") <= RESTART_KEYS)
        snprintf(restart->keys[i] + len, RESTART_KEYS - len, "%s%s%s", len == 0 ? "" : ", ", path,
                 key);
}

static void restart_write(const struct restart *restart, char why[CONFIG_RESTART_MAX])
{
    size_t len = 0;
    for (unsigned i = 0; i < restart->count && len < CONFIG_RESTART_MAX; i++)
        len += (size_t)snprintf(why + len, CONFIG_RESTART_MAX - len,
                                "%s%s cannot change in a running process: %s", i == 0 ? "" : "; ",
                                restart->keys[i], restart->ways[i]);
}

static bool restart_is_same(const json_t *old, const json_t *next)
{
    return old == next || (old != NULL && next != NULL && json_equal(old, next));
}

/* outer: of what the table stands in.  With another type all other keys differ too, which says nothing. */
static void restart_tables(struct restart *restart, const struct config_table *table,
                           const char *path, const char *outer, json_t *old, json_t *next)
{
    struct config_rows rows = config_rows_of(table);
    bool is_same_type =
        restart_is_same(json_object_get(old, "type"), json_object_get(next, "type"));
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        json_t *before = json_object_get(old, row->key), *after = json_object_get(next, row->key);
        const char *how = row->restart != NULL ? row->restart : outer;
        char inner[128];
        if (restart_is_same(before, after) || row->type == CONFIG_LATER ||
            (row->flags & CONFIG_RELOADABLE) != 0)
            continue;
        if (!is_same_type && strcmp(row->key, "type") != 0)
            continue;
        snprintf(inner, sizeof(inner), "%s%s.", path, row->key);
        if (row->type == CONFIG_OBJECT && before != NULL && after != NULL)
            restart_tables(restart, row->nested, inner, how, before, after);
        else if (how != NULL)
            restart_say(restart, path, row->key, how);
    }
}

const char *config_restart_fault(const struct config_table *table, const struct config_version *old,
                                 const struct config_version *next, char why[CONFIG_RESTART_MAX])
{
    struct restart restart = {0};
    struct hash_key key;
    rng_secret(&key, sizeof(key)); /* nobody can try guesses of a secret */
    json_t *before = config_json_effective(table, old, &key);
    json_t *after = config_json_effective(table, next, &key);
    bool is_made = before != NULL && after != NULL;
    if (is_made)
        restart_tables(&restart, table, "", NULL, before, after);
    else
        snprintf(why, CONFIG_RESTART_MAX, "there is no memory to compare the two configurations");
    restart_write(&restart, why);
    json_decref(before);
    json_decref(after);
    return is_made && restart.count == 0 ? NULL : why;
}
