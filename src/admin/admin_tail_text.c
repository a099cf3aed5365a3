/* SPDX-License-Identifier: Apache-2.0 */
/* admin_tail_text.c - see admin_tail_text.h. */
#include "admin/admin_tail_text.h"

#include <string.h>

#include "admin/admin_words.h"

/* "2026-11-22T14:02:11.482Z" as "14:02:11". */
static void put_time(FILE *out, const json_t *json)
{
    const char *text = admin_words_text(json, "ts");
    if (strlen(text) >= 19)
        fprintf(out, "%.8s ", text + 11);
}

/* Whoever is named of the caller first; else his address. */
static const char *who(const json_t *json)
{
    const char *name;
    json_t *subjects = json_object_get(json, "subjects"), *value;
    json_object_foreach(subjects, name, value)
    {
        if (json_is_string(value))
            return json_string_value(value);
    }
    const char *address = admin_words_text(json, "client_ip");
    return address[0] == '\0' ? "somebody" : address;
}

/* The window that "refused_by" names; NULL: it is not in the line. */
static const json_t *find_window(const json_t *json, const char *refuser)
{
    size_t i;
    const json_t *window;
    const char *slash = strrchr(refuser, '/');
    if (slash == NULL)
        return NULL;
    size_t len = (size_t)(slash - refuser);
    json_array_foreach(json_object_get(json, "quotas"), i, window)
    {
        const char *quota = admin_words_text(window, "q");
        if (strlen(quota) == len && memcmp(quota, refuser, len) == 0 &&
            strcmp(admin_words_text(window, "w"), slash + 1) == 0)
            return window;
    }
    return NULL;
}

static void put_route(FILE *out, const json_t *json)
{
    const char *route = admin_words_text(json, "route");
    if (route[0] != '\0')
        fprintf(out, " on %s", route);
}

static void put_refusal(FILE *out, const json_t *json, const json_t *refusers)
{
    const char *refuser = json_string_value(json_array_get(refusers, 0));
    const json_t *window = refuser == NULL ? NULL : find_window(json, refuser);
    fprintf(out, "%s hit %s", who(json), refuser == NULL ? "a quota" : refuser);
    if (window != NULL)
        fprintf(out, " %" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT,
                admin_words_number(window, "used"), admin_words_number(window, "limit"));
    put_route(out, json);
    if (json_object_get(json, "retry_after") != NULL)
        fprintf(out, ", retry in %" JSON_INTEGER_FORMAT " s",
                admin_words_number(json, "retry_after"));
}

static void put_request(FILE *out, const json_t *json)
{
    const json_t *refusers = json_object_get(json, "refused_by");
    json_int_t status = admin_words_number(json, "status");
    const char *end = admin_words_text(json, "end");
    if (status != 0)
        fprintf(out, "%" JSON_INTEGER_FORMAT " ", status);
    else
        fputs("--- ", out);
    if (json_array_size(refusers) != 0) {
        put_refusal(out, json, refusers);
    } else {
        fprintf(out, "%s %s %s", who(json), admin_words_text(json, "method"),
                admin_words_text(json, "path"));
        put_route(out, json);
        if (json_object_get(json, "t_total") != NULL)
            fprintf(out, ", %.2f ms", (double)admin_words_number(json, "t_total") / 1000);
        if (json_is_true(json_object_get(json, "near")))
            fputs(", near its limit", out);
        if (strcmp(end, "ok") != 0)
            fprintf(out, ", %s", end);
    }
    fputc('\n', out);
}

/* The members that are texts and numbers, as they come. */
static void put_event(FILE *out, json_t *json)
{
    static const char *const known[] = {"v", "boot", "seq", "ts", "event"};
    const char *name;
    json_t *value;
    if (strcmp(admin_words_text(json, "event"), "tail_lost") == 0) {
        fprintf(out, "(%" JSON_INTEGER_FORMAT " lines are not shown: they came too fast)\n",
                admin_words_number(json, "n"));
        return;
    }
    fprintf(out, "event %s", admin_words_text(json, "event"));
    json_object_foreach(json, name, value)
    {
        bool is_known = false;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            is_known = is_known || strcmp(name, known[i]) == 0;
        if (!is_known && json_is_string(value))
            fprintf(out, " %s=%s", name, json_string_value(value));
        else if (!is_known && json_is_integer(value))
            fprintf(out, " %s=%" JSON_INTEGER_FORMAT, name, json_integer_value(value));
    }
    fputc('\n', out);
}

static void put_line(FILE *out, const json_t *json, const void *arg)
{
    (void)arg;
    put_time(out, json);
    if (json_object_get(json, "event") != NULL)
        put_event(out, (json_t *)(uintptr_t)json);
    else
        put_request(out, json);
}

char *admin_tail_text(struct span line)
{
    return admin_words_of(line, put_line, NULL);
}
