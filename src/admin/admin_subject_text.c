/* SPDX-License-Identifier: Apache-2.0 */
/* admin_subject_text.c - what is told of subjects, for people.  Takes: the answer's JSON.  Gives: lines. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_client.h"

static const char *text_at(const json_t *json, const char *key)
{
    const char *value = json_string_value(json_object_get(json, key));
    return value == NULL ? "" : value;
}

static json_int_t number_at(const json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

static void put_seconds(FILE *out, json_int_t seconds)
{
    if (seconds >= 3600)
        fprintf(out, "%" JSON_INTEGER_FORMAT "h %" JSON_INTEGER_FORMAT "m", seconds / 3600,
                seconds % 3600 / 60);
    else if (seconds >= 60)
        fprintf(out, "%" JSON_INTEGER_FORMAT "m %" JSON_INTEGER_FORMAT "s", seconds / 60,
                seconds % 60);
    else
        fprintf(out, "%" JSON_INTEGER_FORMAT "s", seconds);
}

static void put_window(FILE *out, const json_t *row, size_t i, const json_t *window)
{
    const json_t *was = json_array_get(json_object_get(row, "was"), i);
    fprintf(out, "  %-10s ", text_at(window, "w"));
    if (was != NULL)
        fprintf(out, "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT " -> ",
                number_at(was, "used"), number_at(was, "limit"));
    fprintf(out,
            "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT "  remaining %" JSON_INTEGER_FORMAT,
            number_at(window, "used"), number_at(window, "limit"), number_at(window, "remaining"));
    if (number_at(window, "resets_in_s") > 0) {
        fprintf(out, "  resets in ");
        put_seconds(out, number_at(window, "resets_in_s"));
    }
    fputc('\n', out);
}

static void put_row(FILE *out, const json_t *row)
{
    const json_t *grant = json_object_get(row, "grant"), *window;
    size_t i;
    fprintf(out, "%s  quota %s  (identity %s, %s)  in %s", text_at(row, "subject"),
            text_at(row, "quota"), text_at(row, "identity"), text_at(row, "source"),
            text_at(row, "store"));
    if (json_is_string(json_object_get(row, "tier")))
        fprintf(out, "  tier %s", text_at(row, "tier"));
    if (number_at(row, "generation") > 0)
        fprintf(out, "  reset %" JSON_INTEGER_FORMAT " times", number_at(row, "generation"));
    fputc('\n', out);
    if (json_is_true(json_object_get(row, "unlimited")))
        fprintf(out, "  unlimited\n");
    json_array_foreach(json_object_get(row, "windows"), i, window) put_window(out, row, i, window);
    if (number_at(row, "held") > 0)
        fprintf(out, "  held here  %" JSON_INTEGER_FORMAT " of what is used: leased, not spent\n",
                number_at(row, "held"));
    if (json_is_object(grant)) {
        fprintf(out, "  granted    +%" JSON_INTEGER_FORMAT " for ", number_at(grant, "extra"));
        put_seconds(out, number_at(grant, "expires_in_s"));
        fputc('\n', out);
    }
}

char *admin_client_subject_text(struct span body)
{
    json_t *json = json_loadb(body.ptr, body.len, 0, NULL);
    const json_t *list = json_object_get(json, "subjects"), *row;
    char *text = NULL;
    size_t len = 0, i;
    FILE *out = json == NULL ? NULL : open_memstream(&text, &len);
    if (out != NULL) {
        if (json_is_string(json_object_get(json, "detail")))
            fprintf(out, "%s\n", text_at(json, "detail"));
        json_array_foreach(list, i, row) put_row(out, row);
        bool is_good = ferror(out) == 0;
        if (fclose(out) != 0 || !is_good) {
            free(text);
            text = NULL;
        }
    }
    json_decref(json);
    return text;
}
