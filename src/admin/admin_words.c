/* SPDX-License-Identifier: Apache-2.0 */
/* admin_words.c - see admin_words.h. */
#include "admin/admin_words.h"

#include <stdlib.h>

#include "base/base_fmt.h"

const char *admin_words_text(const json_t *json, const char *key)
{
    const char *value = json_string_value(json_object_get(json, key));
    return value == NULL ? "" : value;
}

json_int_t admin_words_number(const json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

void admin_words_duration(FILE *out, json_int_t seconds)
{
    if (seconds >= 86400)
        fprintf(out, "%" JSON_INTEGER_FORMAT "d %" JSON_INTEGER_FORMAT "h", seconds / 86400,
                seconds % 86400 / 3600);
    else if (seconds >= 3600)
        fprintf(out, "%" JSON_INTEGER_FORMAT "h %" JSON_INTEGER_FORMAT "m", seconds / 3600,
                seconds % 3600 / 60);
    else if (seconds >= 60)
        fprintf(out, "%" JSON_INTEGER_FORMAT "m %" JSON_INTEGER_FORMAT "s", seconds / 60,
                seconds % 60);
    else
        fprintf(out, "%" JSON_INTEGER_FORMAT "s", seconds);
}

/* What stands in an answer may be another's text, such as an error of Redis; it is cleaned line by line. */
static char *words_clean(char *text, size_t len)
{
    char *clean = malloc(len * FMT_CLEAN_TIMES + 1), *out = clean;
    for (size_t at = 0; clean != NULL && at < len; at++) {
        struct span rest = {text + at, len - at};
        struct span line = {rest.ptr, span_find(rest, '\n')};
        out = fmt_clean(out, out + line.len * FMT_CLEAN_TIMES, line);
        at += line.len;
        if (at < len)
            *out++ = '\n';
    }
    if (clean != NULL)
        *out = '\0';
    free(text);
    return clean;
}

char *admin_words_of(struct span answer, admin_words_fn print, const void *arg)
{
    char *text = NULL;
    size_t len = 0;
    json_t *json = json_loadb(answer.ptr, answer.len, 0, NULL);
    FILE *out = json_is_object(json) ? open_memstream(&text, &len) : NULL;
    if (out != NULL) {
        print(out, json, arg);
        bool is_whole = ferror(out) == 0;
        if (fclose(out) != 0 || !is_whole) {
            free(text);
            text = NULL;
        } else {
            text = words_clean(text, len);
        }
    }
    json_decref(json);
    return text;
}
