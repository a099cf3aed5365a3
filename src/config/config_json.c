/* SPDX-License-Identifier: Apache-2.0 */
/* config_json.c - takes: nodes and tables.  Gives: the object as if every default had been written. */
#include "config/config_json.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/base_hash.h"

struct effective {
    const struct config_version *version;
    const struct hash_key *secret_key; /* NULL: secrets are "***" */
};

static json_t *effective_table(const struct effective *effective, const struct config_table *table,
                               const struct config_node *node, const struct config_node *bare,
                               bool is_sparse);
static json_t *effective_value(const struct effective *effective,
                               const struct config_directive *row, const struct config_node *node);

void config_json_set(json_t **holder, const char *key, json_t *value)
{
    if (*holder != NULL && json_object_set_new(*holder, key, value) == 0)
        return;
    if (*holder == NULL)
        json_decref(value);
    json_decref(*holder);
    *holder = NULL;
}

void config_json_append(json_t **holder, json_t *value)
{
    if (*holder != NULL && json_array_append_new(*holder, value) == 0)
        return;
    if (*holder == NULL)
        json_decref(value);
    json_decref(*holder);
    *holder = NULL;
}

/* Not json_dumps: jansson 2.14 leaves out a key for which its buffer found no memory, and says nothing. */
char *config_json_text(const json_t *json, size_t flags)
{
    size_t len = json_dumpb(json, NULL, 0, flags);
    char *text = len == 0 ? NULL : malloc(len + 1);
    if (text == NULL)
        return NULL;
    if (json_dumpb(json, text, len, flags) != len) {
        free(text);
        return NULL;
    }
    text[len] = '\0';
    return text;
}

/* Two equal secrets look the same under one key. */
static json_t *secret(const struct effective *effective, const struct config_node *node)
{
    if (effective->secret_key == NULL)
        return json_string("***");
    size_t off = (size_t)(node->token.ptr - effective->version->doc->text.ptr);
    const struct config_secret *seen = effective->version->secrets;
    while (seen != NULL && seen->off != off)
        seen = seen->next;
    if (seen == NULL)
        return json_string("");
    struct hash128 hash = hash_sip128(*effective->secret_key, seen->value.ptr, seen->value.len);
    char text[40];
    snprintf(text, sizeof(text), "%016llx%016llx", (unsigned long long)hash.hi,
             (unsigned long long)hash.lo);
    return json_string(text);
}

/* Of a list, as many as there are. */
static json_t *hidden(const struct config_node *node)
{
    if (node->kind != CONFIG_KIND_ARRAY)
        return json_string("***");
    json_t *json = json_array();
    CONFIG_EACH(child, node)
    config_json_append(&json, json_string("***"));
    return json;
}

static json_t *effective_item(const struct effective *effective, const struct config_table *table,
                              const struct config_node *node)
{
    if (table->item != NULL)
        return effective_value(effective, table->item, node);
    if (node->kind == CONFIG_KIND_STRING)
        return effective_table(effective, table, NULL, node, false);
    return effective_table(effective, table, node, NULL, false);
}

static json_t *effective_items(const struct effective *effective,
                               const struct config_directive *row, const struct config_node *node)
{
    bool is_map = row->type == CONFIG_MAP;
    json_t *json = is_map ? json_object() : json_array();
    CONFIG_EACH(child, node)
    {
        json_t *item = effective_item(effective, row->nested, child);
        if (is_map)
            config_json_set(&json, child->key.ptr, item);
        else
            config_json_append(&json, item);
    }
    return json;
}

static json_t *effective_value(const struct effective *effective,
                               const struct config_directive *row, const struct config_node *node)
{
    if (row->type == CONFIG_OBJECT && node->kind != CONFIG_KIND_OBJECT)
        return effective_table(effective, row->nested, NULL, node, false);
    if (row->type == CONFIG_OBJECT)
        return effective_table(effective, row->nested, node, NULL,
                               (row->flags & CONFIG_INHERITED) != 0);
    if ((row->type == CONFIG_LIST || row->type == CONFIG_MAP) && !config_is_word(row, node))
        return effective_items(effective, row, node);
    /* In a list of changes a file is what it holds. */
    if (row->type == CONFIG_SECRET || (row->type == CONFIG_FILE && effective->secret_key != NULL))
        return secret(effective, node);
    if ((row->flags & CONFIG_PRIVATE) != 0 && effective->secret_key == NULL)
        return hidden(node);
    return json_loadb(node->token.ptr, node->token.len, JSON_DECODE_ANY, NULL);
}

/* The name that the program gave to this item of a list. */
static json_t *given_name(const struct effective *effective, const struct config_node *item)
{
    const struct config_version *version = effective->version;
    struct span name = SPAN_NONE;
    if (version->name != NULL && item != NULL && item->parent != NULL)
        name = version->name(version->arg, item->parent->key, item->index);
    return name.len == 0 ? NULL : json_stringn(name.ptr, name.len);
}

/* What stands for an absent member: *json stays NULL when nothing does. */
static json_t *effective_absent(const struct effective *effective,
                                const struct config_directive *row, bool *is_nothing)
{
    *is_nothing = false;
    if (row->type == CONFIG_OBJECT && !config_may_be_absent(row))
        return effective_table(effective, row->nested, NULL, NULL, false);
    if (row->fallback != NULL)
        return json_loads(row->fallback, JSON_DECODE_ANY, NULL);
    *is_nothing = true;
    return NULL;
}

static json_t *effective_table(const struct effective *effective, const struct config_table *table,
                               const struct config_node *node, const struct config_node *bare,
                               bool is_sparse)
{
    json_t *json = json_object();
    const char *selected = config_selected(table, node);
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        bool is_other = rows.when != NULL && (selected == NULL || strcmp(rows.when, selected) != 0);
        bool is_nothing = is_sparse;
        const struct config_node *child = config_find(node, row->key);
        if (row->type == CONFIG_LATER || is_other)
            continue;
        if (bare != NULL && strcmp(row->key, table->short_key) == 0)
            child = bare;
        json_t *value = NULL;
        if (child != NULL)
            value = effective_value(effective, row, child);
        else if (table->name_key != NULL && strcmp(table->name_key, row->key) == 0)
            is_nothing = (value = given_name(effective, node)) == NULL;
        else if (!is_sparse)
            value = effective_absent(effective, row, &is_nothing);
        if (child != NULL || !is_nothing)
            config_json_set(&json, row->key, value);
    }
    return json;
}

json_t *config_json_effective(const struct config_table *table,
                              const struct config_version *version,
                              const struct hash_key *secret_key)
{
    struct effective effective = {version, secret_key};
    return effective_table(&effective, table, version->doc->root, NULL, false);
}
