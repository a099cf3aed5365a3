/* SPDX-License-Identifier: Apache-2.0 */
/* admin_subject_text.c - see admin_subject_text.h. */
#include "admin/admin_subject_text.h"

#include "admin/admin_words.h"

static void put_window(FILE *out, const json_t *row, size_t i, const json_t *window)
{
    const json_t *was = json_array_get(json_object_get(row, "was"), i);
    fprintf(out, "  %-10s ", admin_words_text(window, "w"));
    if (was != NULL)
        fprintf(out, "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT " -> ",
                admin_words_number(was, "used"), admin_words_number(was, "limit"));
    fprintf(out,
            "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT "  remaining %" JSON_INTEGER_FORMAT,
            admin_words_number(window, "used"), admin_words_number(window, "limit"),
            admin_words_number(window, "remaining"));
    if (admin_words_number(window, "resets_in_s") > 0) {
        fprintf(out, "  resets in ");
        admin_words_duration(out, admin_words_number(window, "resets_in_s"));
    }
    fputc('\n', out);
}

static void put_row(FILE *out, const json_t *row)
{
    const json_t *grant = json_object_get(row, "grant"), *window;
    size_t i;
    fprintf(out, "%s  quota %s  (identity %s, %s)  in %s", admin_words_text(row, "subject"),
            admin_words_text(row, "quota"), admin_words_text(row, "identity"),
            admin_words_text(row, "source"), admin_words_text(row, "store"));
    if (json_is_string(json_object_get(row, "tier")))
        fprintf(out, "  tier %s", admin_words_text(row, "tier"));
    if (admin_words_number(row, "generation") > 0)
        fprintf(out, "  reset %" JSON_INTEGER_FORMAT " times",
                admin_words_number(row, "generation"));
    fputc('\n', out);
    if (json_is_true(json_object_get(row, "unlimited")))
        fprintf(out, "  unlimited\n");
    json_array_foreach(json_object_get(row, "windows"), i, window) put_window(out, row, i, window);
    if (admin_words_number(row, "held") > 0)
        fprintf(out, "  held here  %" JSON_INTEGER_FORMAT " of what is used: leased, not spent\n",
                admin_words_number(row, "held"));
    if (json_is_false(json_object_get(row, "durable")))
        fprintf(out, "  too few replicas have acknowledged it: a failover may undo it\n");
    if (json_is_object(grant)) {
        fprintf(out, "  granted    +%" JSON_INTEGER_FORMAT " for ",
                admin_words_number(grant, "extra"));
        admin_words_duration(out, admin_words_number(grant, "expires_in_s"));
        fputc('\n', out);
    }
}

static void put_subjects(FILE *out, const json_t *json, const void *arg)
{
    const json_t *row;
    size_t i;
    (void)arg;
    if (json_is_string(json_object_get(json, "detail")))
        fprintf(out, "%s\n", admin_words_text(json, "detail"));
    json_array_foreach(json_object_get(json, "subjects"), i, row) put_row(out, row);
}

char *admin_subject_text(struct span answer)
{
    return admin_words_of(answer, put_subjects, NULL);
}
