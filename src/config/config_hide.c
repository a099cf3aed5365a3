/* SPDX-License-Identifier: Apache-2.0 */
/* config_hide.c - takes: any text.  Gives: ranges of bytes.  Never: trusts that the text is JSON. */
#include "config/config_hide.h"

#include "config/config_load.h"
#include "config/config_near.h"

#define SECRET_KEYS_MAX 32

struct keys {
    struct span names[SECRET_KEYS_MAX];
    unsigned count;
};

static void find_keys(struct keys *keys, const struct config_table *table)
{
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        if (row->type == CONFIG_SECRET && keys->count < SECRET_KEYS_MAX)
            keys->names[keys->count++] = span_of(row->key);
        if (row->nested != NULL)
            find_keys(keys, row->nested);
    }
}

static bool is_secret(const struct keys *keys, struct span name)
{
    struct config_near near = config_near_to(name);
    for (unsigned i = 0; i < keys->count; i++)
        config_near_try(&near, keys->names[i], false);
    return near.best.ptr != NULL;
}

/* Behind the string that begins at `at`; it ends with its line at the latest. */
static size_t skip_string(struct span text, size_t at)
{
    for (at++; at < text.len && text.ptr[at] != '"' && text.ptr[at] != '\n'; at++) {
        if (text.ptr[at] == '\\' && at + 1 < text.len && text.ptr[at + 1] != '\n')
            at++;
    }
    return at < text.len && text.ptr[at] == '"' ? at + 1 : at;
}

static size_t skip_space(struct span text, size_t at)
{
    while (at < text.len && memchr(" \t\r\n", text.ptr[at], 4) != NULL)
        at++;
    return at;
}

void config_hide_secrets(struct config_report *report, const struct config_table *table,
                         struct span text)
{
    struct keys keys = {.count = 0};
    find_keys(&keys, table);
    for (size_t at = 0; at < text.len; at++) {
        if (text.ptr[at] != '"')
            continue;
        size_t key_end = skip_string(text, at), value = skip_space(text, key_end);
        /* A forgotten colon does not show the secret either. */
        if (value < text.len && text.ptr[value] == ':')
            value = skip_space(text, value + 1);
        struct span string = {text.ptr + at + 1, key_end - at - 1};
        if (config_credentials(string) != 0)
            config_report_hide(report, at + 1, config_credentials(string));
        bool is_pair = key_end - at >= 2 && value < text.len && text.ptr[value] == '"';
        if (is_pair && is_secret(&keys, (struct span){text.ptr + at + 1, key_end - at - 2})) {
            key_end = skip_string(text, value);
            config_report_hide(report, value + 1, key_end - value - 1);
        }
        at = key_end - 1;
    }
}
