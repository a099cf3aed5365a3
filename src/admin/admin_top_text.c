/* SPDX-License-Identifier: Apache-2.0 */
/* admin_top_text.c - see admin_top_text.h. */
#include "admin/admin_top_text.h"

#include <stdbool.h>
#include <string.h>

#include "admin/admin_words.h"

#define NUMBER "%" JSON_INTEGER_FORMAT

/* A detail instead of an answer. */
static bool put_problem(FILE *out, const json_t *json)
{
    if (!json_is_string(json_object_get(json, "detail")))
        return false;
    fprintf(out, "%s\n", admin_words_text(json, "detail"));
    return true;
}

static void put_subject(FILE *out, const json_t *row)
{
    const json_int_t missing = admin_words_number(row, "missing_at_most");
    fprintf(out, "  %-32s %-12s %9" JSON_INTEGER_FORMAT " %9" JSON_INTEGER_FORMAT " %5.1f %%",
            admin_words_text(row, "subject"), admin_words_text(row, "kind"),
            admin_words_number(row, "admitted"), admin_words_number(row, "refused"),
            100 * json_number_value(json_object_get(row, "share")));
    if (missing > 0)
        fprintf(out, "  (or up to " NUMBER " more)", missing);
    if (json_is_true(json_object_get(row, "cut")))
        fprintf(out, "  (the name is longer)");
    fputc('\n', out);
}

static void put_quota(FILE *out, const json_t *quota)
{
    size_t i;
    const json_t *item;
    const json_int_t decisions = admin_words_number(quota, "decisions");
    fprintf(out, "quota %s  (identity", admin_words_text(quota, "quota"));
    json_array_foreach(json_object_get(quota, "identities"), i, item)
        fprintf(out, "%s %s", i == 0 ? "" : ",", json_string_value(item));
    fputc(')', out);
    if (json_is_true(json_object_get(quota, "shadow"))) {
        fprintf(out, "  in shadow: not counted here\n");
        return;
    }
    fprintf(out, "  " NUMBER " decisions in the last ", decisions);
    admin_words_duration(out, admin_words_number(quota, "over_s"));
    fputc('\n', out);
    const json_t *subjects = json_object_get(quota, "subjects");
    if (json_array_size(subjects) == 0)
        return;
    fprintf(out, "  %-32s %-12s %9s %9s %7s\n", "SUBJECT", "KIND", "ADMITTED", "REFUSED", "SHARE");
    json_array_foreach(subjects, i, item) put_subject(out, item);
}

static void put_top(FILE *out, const json_t *json, const void *arg)
{
    size_t i;
    const json_t *quota;
    bool has_subject = false;
    (void)arg;
    if (put_problem(out, json))
        return;
    const json_t *quotas = json_object_get(json, "quotas");
    if (json_array_size(quotas) == 0)
        fprintf(out, "the configuration has no quotas\n");
    json_array_foreach(quotas, i, quota)
    {
        put_quota(out, quota);
        has_subject |= json_array_size(json_object_get(quota, "subjects")) != 0;
    }
    if (has_subject)
        fprintf(out,
                "next: `sluice show SUBJECT` tells where one stands; `sluice reset SUBJECT` and "
                "`sluice grant SUBJECT +N --for 2h` help it\n");
    else if (json_array_size(quotas) != 0)
        fprintf(out, "nobody was %s lately\n",
                strcmp(admin_words_text(json, "by"), "refused") == 0 ? "refused" : "admitted");
}

char *admin_top_text(struct span answer)
{
    return admin_words_of(answer, put_top, NULL);
}

static void put_error(FILE *out, const json_t *row)
{
    const json_t *window = json_object_get(row, "window");
    fprintf(out, "%s  %s %s  %s: %s\n", admin_words_text(row, "at"), admin_words_text(row, "from"),
            admin_words_text(row, "sender"), admin_words_text(row, "fault"),
            admin_words_text(row, "reason"));
    fprintf(out, "  request %s", admin_words_text(row, "id"));
    if (!json_is_object(window)) {
        fprintf(out, "  not in a head: no byte of it is kept\n");
        return;
    }
    const json_int_t from = admin_words_number(window, "from");
    const json_int_t at = admin_words_number(row, "offset") - from;
    fprintf(out, "  byte " NUMBER "; bytes from " NUMBER " on, secrets masked:\n  %s\n", at + from,
            from, admin_words_text(window, "text"));
    fprintf(out, "  %*s^\n  %s\n", (int)at, "", admin_words_text(window, "hex"));
}

static void put_errors(FILE *out, const json_t *json, const void *arg)
{
    size_t i;
    const json_t *row;
    (void)arg;
    if (put_problem(out, json))
        return;
    const json_t *list = json_object_get(json, "errors");
    json_array_foreach(list, i, row) put_error(out, row);
    fprintf(out, "%zu of " NUMBER " refused messages", json_array_size(list),
            admin_words_number(json, "kept"));
    if (admin_words_number(json, "passed_over") > 0)
        fprintf(out, "; " NUMBER " more came too fast to be kept",
                admin_words_number(json, "passed_over"));
    fputc('\n', out);
    if (json_array_size(list) != 0)
        fprintf(out, "next: the access log has the line with this request id\n");
}

char *admin_errors_text(struct span answer)
{
    return admin_words_of(answer, put_errors, NULL);
}
