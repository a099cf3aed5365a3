/* SPDX-License-Identifier: Apache-2.0 */
/* config_schema.c - takes: tables.  Gives: a schema.  Never: names a key by itself. */
#include "config/config_schema.h"

#include <assert.h>

#include "config/config_json.h"

#define NAME_PATTERN "^[A-Za-z0-9._-]{1,64}$"

static json_t *table_schema(const struct config_table *table, bool is_sparse);

static json_t *of_type(const char *type)
{
    json_t *json = json_object();
    config_json_set(&json, "type", json_string(type));
    return json;
}

static void set_text(json_t **json, const char *key, const char *text)
{
    if (text != NULL)
        config_json_set(json, key, json_string(text));
}

static void set_count(json_t **json, const char *key, uint64_t count)
{
    if (count != 0)
        config_json_set(json, key, json_integer((json_int_t)count));
}

static json_t *word_list(const char *const *words)
{
    json_t *json = json_array();
    for (size_t i = 0; words[i] != NULL; i++)
        config_json_append(&json, json_string(words[i]));
    return json;
}

static json_t *pair(const char *key, json_t *value)
{
    json_t *json = json_object();
    config_json_set(&json, key, value);
    return json;
}

/* The value, or the row's word instead. */
static json_t *or_word(const struct config_directive *row, json_t *json)
{
    if (row->word == NULL)
        return json;
    json_t *either = json_array();
    config_json_append(&either, json);
    config_json_append(&either, pair("const", json_string(row->word)));
    return pair("anyOf", either);
}

static json_t *bool_schema(const struct config_directive *row)
{
    (void)row;
    return of_type("boolean");
}

static json_t *integer_schema(const struct config_directive *row)
{
    json_t *json = of_type("integer");
    config_json_set(&json, "minimum", json_integer((json_int_t)row->min));
    config_json_set(&json, "maximum", json_integer((json_int_t)row->max));
    return or_word(row, json);
}

static json_t *amount_schema(const struct config_directive *row)
{
    json_t *json = of_type("string");
    set_text(&json, "pattern",
             row->type == CONFIG_DURATION ? "^[0-9]+(us|ms|s|m|h|d)$"
             : row->type == CONFIG_SIZE   ? "^[0-9]+(B|KiB|MiB|GiB)?$"
                                          : "^[0-9]+(B|KiB|MiB|GiB)?/s$");
    return or_word(row, json);
}

static json_t *text_schema(const struct config_directive *row)
{
    json_t *json = of_type("string");
    set_count(&json, "minLength", row->min);
    set_count(&json, "maxLength", row->max);
    set_text(&json, "pattern", row->pattern);
    return json;
}

static json_t *choice_schema(const struct config_directive *row)
{
    return pair("enum", word_list(row->words));
}

static json_t *flags_schema(const struct config_directive *row)
{
    json_t *json = of_type("array");
    config_json_set(&json, "items", choice_schema(row));
    config_json_set(&json, "uniqueItems", json_true());
    return json;
}

static json_t *texts_schema(const struct config_directive *row)
{
    json_t *json = of_type("array"), *item = of_type("string");
    set_count(&item, "minLength", 1);
    config_json_set(&json, "items", item);
    set_count(&json, "minItems", row->min);
    set_count(&json, "maxItems", row->max);
    return json;
}

static json_t *secret_schema(const struct config_directive *row)
{
    static const char *const keys[] = {"env", "file", "sealed"};
    json_t *either = json_array(), *text = of_type("string");
    (void)row;
    set_count(&text, "minLength", 1);
    config_json_append(&either, text);
    for (size_t i = 0; i < 3; i++) {
        json_t *json = of_type("object"), *name = of_type("string"), *required = json_array();
        set_count(&name, "minLength", 1);
        config_json_set(&json, "properties", pair(keys[i], name));
        config_json_append(&required, json_string(keys[i]));
        config_json_set(&json, "required", required);
        config_json_set(&json, "additionalProperties", json_false());
        config_json_append(&either, json);
    }
    return pair("anyOf", either);
}

static json_t *file_schema(const struct config_directive *row)
{
    json_t *json = of_type("string");
    (void)row;
    set_count(&json, "minLength", 1);
    return json;
}

static json_t *amounts_schema(const struct config_directive *row)
{
    struct config_directive number = *row;
    number.word = NULL; /* it stands for the whole */
    json_t *json = of_type("object"), *properties = json_object();
    for (size_t i = 0; row->words[i] != NULL; i++)
        config_json_set(&properties, row->words[i], integer_schema(&number));
    config_json_set(&json, "properties", properties);
    config_json_set(&json, "patternProperties", pair(row->pattern, integer_schema(&number)));
    config_json_set(&json, "additionalProperties", json_false());
    set_count(&json, "minProperties", 1);
    return or_word(row, json);
}

static json_t *any_schema(const struct config_directive *row)
{
    (void)row;
    return json_object();
}

static json_t *row_schema(const struct config_directive *row);

/* Where the bare value of the short key may stand for the whole. */
static json_t *or_short(const struct config_table *table, json_t *json)
{
    if (table->short_key == NULL)
        return json;
    const struct config_directive *row = config_row(table, span_of(table->short_key), NULL);
    assert(row != NULL);
    json_t *either = json_array();
    config_json_append(&either, row_schema(row));
    config_json_append(&either, json);
    return pair("anyOf", either);
}

static json_t *object_schema(const struct config_directive *row)
{
    return or_short(row->nested, table_schema(row->nested, (row->flags & CONFIG_INHERITED) != 0));
}

static json_t *item_schema(const struct config_table *table)
{
    return table->item != NULL ? row_schema(table->item)
                               : or_short(table, table_schema(table, false));
}

static json_t *list_schema(const struct config_directive *row)
{
    json_t *json = of_type("array");
    config_json_set(&json, "items", item_schema(row->nested));
    set_count(&json, "minItems", row->min);
    set_count(&json, "maxItems", row->max);
    return json;
}

static json_t *map_schema(const struct config_directive *row)
{
    json_t *json = of_type("object");
    config_json_set(&json, "propertyNames", pair("pattern", json_string(NAME_PATTERN)));
    config_json_set(&json, "additionalProperties", item_schema(row->nested));
    set_count(&json, "minProperties", row->min);
    set_count(&json, "maxProperties", row->max);
    return or_word(row, json);
}

static json_t *row_schema(const struct config_directive *row)
{
    static json_t *(*const makers[])(const struct config_directive *) = {
        [CONFIG_BOOL] = bool_schema,       [CONFIG_INTEGER] = integer_schema,
        [CONFIG_DURATION] = amount_schema, [CONFIG_SIZE] = amount_schema,
        [CONFIG_RATE] = amount_schema,     [CONFIG_TEXT] = text_schema,
        [CONFIG_CHOICE] = choice_schema,   [CONFIG_FLAGS] = flags_schema,
        [CONFIG_SECRET] = secret_schema,   [CONFIG_TEXTS] = texts_schema,
        [CONFIG_FILE] = file_schema,       [CONFIG_AMOUNTS] = amounts_schema,
        [CONFIG_ANY] = any_schema,         [CONFIG_OBJECT] = object_schema,
        [CONFIG_LIST] = list_schema,       [CONFIG_MAP] = map_schema,
    };
    json_t *json = makers[row->type](row);
    set_text(&json, "description", row->doc);
    if (row->fallback != NULL)
        config_json_set(&json, "default", json_loads(row->fallback, JSON_DECODE_ANY, NULL));
    return json;
}

/* With this word as "type": keys of other types are refused, its own required ones are required. */
static json_t *when_schema(const struct config_table *table, const struct config_directive *type,
                           const char *word)
{
    json_t *condition = pair("properties", pair("type", pair("const", json_string(word))));
    json_t *properties = json_object(), *required = json_array(), *json = json_object();
    char fallback[64];
    snprintf(fallback, sizeof(fallback), "\"%s\"", word);
    if (strcmp(fallback, type->fallback) != 0) {
        json_t *type_is_there = json_array();
        config_json_append(&type_is_there, json_string("type"));
        config_json_set(&condition, "required", type_is_there);
    }
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        if (rows.when == NULL || row->type == CONFIG_LATER)
            continue;
        if (strcmp(rows.when, word) != 0)
            config_json_set(&properties, row->key, json_false());
        else if ((row->flags & CONFIG_REQUIRED) != 0)
            config_json_append(&required, json_string(row->key));
    }
    json_t *then = pair("properties", properties);
    config_json_set(&then, "required", required);
    config_json_set(&json, "if", condition);
    config_json_set(&json, "then", then);
    return json;
}

static json_t *pair_schema(const struct config_pair *keys)
{
    const char *const names[] = {keys->one, keys->other};
    json_t *each = json_array(), *both = json_array();
    for (size_t i = 0; i < 2; i++) {
        json_t *required = json_array();
        config_json_append(&required, json_string(names[i]));
        config_json_append(&each, pair("required", required));
        config_json_append(&both, json_string(names[i]));
    }
    if (keys->is_required) {
        json_decref(both);
        return pair(keys->may_both ? "anyOf" : "oneOf", each);
    }
    json_decref(each);
    return pair("not", pair("required", both));
}

/* Rules of the table and of those merged into it. */
static void add_rules(json_t **rules, const struct config_table *table)
{
    const struct config_directive *type = config_row(table, SPAN("type"), NULL);
    for (unsigned i = 0; i < table->pair_count; i++)
        config_json_append(rules, pair_schema(&table->pairs[i]));
    for (size_t i = 0; type != NULL && type->words[i] != NULL; i++)
        config_json_append(rules, when_schema(table, type, type->words[i]));
    for (unsigned i = 0; i < table->count; i++) {
        if (table->rows[i].type == CONFIG_MERGE)
            add_rules(rules, table->rows[i].nested);
    }
}

static json_t *table_schema(const struct config_table *table, bool is_sparse)
{
    json_t *json = of_type("object"), *properties = json_object();
    json_t *required = json_array(), *rules = json_array();
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        if (row->type == CONFIG_LATER)
            continue;
        config_json_set(&properties, row->key, row_schema(row));
        if ((row->flags & CONFIG_REQUIRED) != 0 && rows.when == NULL && !is_sparse)
            config_json_append(&required, json_string(row->key));
    }
    add_rules(&rules, table);
    config_json_set(&json, "properties", properties);
    config_json_set(&json, "additionalProperties", json_false());
    bool has_required = json_array_size(required) != 0, has_rules = json_array_size(rules) != 0;
    if (has_required)
        config_json_set(&json, "required", required);
    else
        json_decref(required);
    if (has_rules)
        config_json_set(&json, "allOf", rules);
    else
        json_decref(rules);
    return json;
}

char *config_schema(const struct config_table *table, const char *title)
{
    json_t *json = json_object(), *schema = table_schema(table, false);
    config_json_set(&json, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    config_json_set(&json, "title", json_string(title));
    if (json == NULL || schema == NULL || json_object_update(json, schema) != 0) {
        json_decref(json);
        json = NULL;
    }
    json_decref(schema);
    char *text = config_json_text(json, JSON_INDENT(2));
    json_decref(json);
    return text;
}
