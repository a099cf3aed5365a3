/* SPDX-License-Identifier: Apache-2.0 */
/* config_reference.c - takes: tables.  Gives: one Markdown section for each object of the file.  Never:
 * describes a key by itself. */
#include "config/config_reference.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/config_value.h"

#define PATH_BYTES_MAX 160

static void put_cell(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static bool is_plural(const struct config_directive *row)
{
    return row->type == CONFIG_LIST || row->type == CONFIG_MAP;
}

static void put_value(FILE *out, const struct config_directive *row)
{
    if (is_plural(row) && row->nested->item != NULL) {
        fputs("by name, each ", out);
        put_value(out, row->nested->item);
        if (row->word != NULL)
            fprintf(out, ", or \"%s\"", row->word);
        return;
    }
    if (row->type == CONFIG_OBJECT || is_plural(row)) {
        if (row->type == CONFIG_OBJECT && row->nested->short_key != NULL) {
            put_value(out, config_row(row->nested, span_of(row->nested->short_key), NULL));
            fputs(", or ", out);
        }
        const char *form = row->type == CONFIG_LIST  ? "a list of objects"
                           : row->type == CONFIG_MAP ? "named objects"
                                                     : "an object";
        fprintf(out, "%s, see below", form);
        return;
    }
    put_cell(out, config_value_expected(row).text);
    bool has_range = row->type == CONFIG_INTEGER || row->type == CONFIG_DURATION ||
                     row->type == CONFIG_SIZE || row->type == CONFIG_RATE ||
                     row->type == CONFIG_AMOUNTS;
    enum config_type type = row->type == CONFIG_AMOUNTS ? CONFIG_INTEGER : row->type;
    if (has_range)
        fprintf(out, ", %s to %s", config_amount_text(type, row->min).text,
                config_amount_text(type, row->max).text);
    if (has_range && row->unit != NULL)
        fprintf(out, " %s", row->unit);
}

static void put_row(FILE *out, const struct config_directive *row, const char *when, bool is_fixed)
{
    fprintf(out, "| `%s` | ", row->key);
    put_value(out, row);
    fputs(" | ", out);
    if ((row->flags & CONFIG_REQUIRED) != 0)
        fputs("required", out);
    else if (row->fallback != NULL)
        fprintf(out, "`%s`", row->fallback);
    else
        put_cell(out, row->absent != NULL ? row->absent : "see below");
    bool is_reloadable =
        (row->flags & CONFIG_RELOADABLE) != 0 || (!is_fixed && row->restart == NULL);
    fprintf(out, " | %s | ", is_reloadable ? "yes" : "no");
    if (when != NULL)
        fprintf(out, "With type \"%s\". ", when);
    put_cell(out, row->doc);
    fputs(" |\n", out);
}

/* is_fixed: what the table stands in cannot be reloaded. */
static void put_table(FILE *out, const struct config_table *table, const char *path, bool is_fixed)
{
    fprintf(out, "## %s%s%s%s\n\n", table->title, path[0] == '\0' ? "" : ": `", path,
            path[0] == '\0' ? "" : "`");
    if (table->short_key != NULL)
        fprintf(out, "A bare %s stands for `{\"%s\": ...}`.\n\n",
                config_row(table, span_of(table->short_key), NULL)->type == CONFIG_TEXT ? "string"
                                                                                        : "value",
                table->short_key);
    fputs("| key | value | default | reloadable | meaning |\n|---|---|---|---|---|\n", out);
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        if (row->type != CONFIG_LATER)
            put_row(out, row, rows.when, is_fixed);
    }
    fputc('\n', out);

    rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        char inner[PATH_BYTES_MAX];
        if (row->nested == NULL || row->type == CONFIG_MERGE || row->nested->item != NULL)
            continue;
        snprintf(inner, sizeof(inner), "%s%s%s%s", path, path[0] == '\0' ? "" : ".", row->key,
                 row->type == CONFIG_LIST  ? "[]"
                 : row->type == CONFIG_MAP ? ".NAME"
                                           : "");
        put_table(out, row->nested, inner, is_fixed || row->restart != NULL);
    }
}

char *config_reference(const struct config_table *table)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return NULL;
    put_table(out, table, "", false);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}
