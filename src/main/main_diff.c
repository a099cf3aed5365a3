/* SPDX-License-Identifier: Apache-2.0 */
/* main_diff.c - the parent's part of `sluice diff`: read and build, compare, forget.  Takes: the file on disk, or a text.  Gives: JSON,
 * or the report of what is wrong.  Never: changes anything, or shows a secret. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_fmt.h"
#include "main/main_parent_private.h"
#include "plan/plan_difference.h"

#define STATUS_OK      200
#define STATUS_INVALID 422
#define STATUS_BROKEN  500
/* Of one string: all of them fit into a message, with a difference's JSON. */
#define DIFF_TEXT_MAX  20000
#define DIFF_FAULT_MAX 2048
#define DIFF_WORDS_MAX 256 /* braces, names of members, numbers */

_Static_assert(DIFF_TEXT_MAX + PLAN_DIFFERENCE_JSON_MAX + 2 * DIFF_FAULT_MAX + DIFF_WORDS_MAX <=
                   MAIN_CHANNEL_TEXT_MAX,
               "the answer is a message");

/* A JSON string. */
static void diff_put(FILE *out, const char *member, const char *text, size_t max)
{
    bool is_cut = false, has_bytes = false;
    char *room = calloc(1, max);
    if (room == NULL)
        return;
    char *end = fmt_json_text(room, room + max, span_of(text), &is_cut, &has_bytes);
    fprintf(out, ",\"%s\":\"%.*s\"", member, (int)(end - room), room);
    free(room);
}

static void diff_write(FILE *out, const struct parent *parent, const char *name,
                       const struct plan *next, const struct plan_difference *difference)
{
    char why[PLAN_CHANGE_FAULT_MAX];
    const char *fault = plan_change_fault(parent->config.plan, next, why);
    fprintf(out, "{\"same\":%s,\"generation\":%u", difference->count == 0 ? "true" : "false",
            (unsigned)parent->generation);
    diff_put(out, "file", name, DIFF_FAULT_MAX);
    diff_put(out, "changes", difference->text, DIFF_TEXT_MAX);
    fprintf(out, ",\"difference\":%s,\"left_off\":%u", difference->json, difference->left_off);
    if (fault != NULL)
        diff_put(out, "refused", fault, DIFF_FAULT_MAX);
    fputc('}', out);
}

/* malloc'ed; NULL: no memory. */
static char *diff_json(const struct parent *parent, const char *name, const struct plan *next)
{
    struct plan_difference difference;
    char *text = NULL;
    size_t len = 0;
    if (!plan_difference_make(&difference, parent->config.plan, next))
        return NULL;
    FILE *out = open_memstream(&text, &len);
    if (out != NULL) {
        diff_write(out, parent, name, next, &difference);
        if (fclose(out) != 0) {
            free(text);
            text = NULL;
        }
    }
    plan_difference_fini(&difference);
    return text;
}

struct diff_files {
    const struct main_bundle *running;
    struct main_bundle *own;
};

/* Whoever may ask is not who may read what this process can: no other file than the service reads anyway. */
static bool diff_fetch(void *arg, struct span name, struct span *text, char why[256])
{
    struct diff_files *files = arg;
    for (unsigned i = 1; i < files->running->count; i++) {
        if (span_eq(files->running->files[i].name, name))
            return main_bundle_fetch(files->own, name, text, why);
    }
    snprintf(why, 256, "only files that the running configuration names are read to compare");
    return false;
}

/* As main_parent_config_read, of a text that came with the question, which has to live as long as the plan. */
static char *diff_build(const struct parent *parent, struct parent_config *config,
                        struct main_bundle *posted, int fd, const char *name)
{
    struct plan_report report = {0};
    struct diff_files files = {&parent->config.bundle, &config->bundle};
    char *text = NULL, why[256];
    if (main_bundle_unpack(posted, fd) != ERR_OK)
        return strdup("out of memory");
    if (!main_bundle_read(&config->bundle, parent->path, why))
        return strdup(why);
    struct plan_file file = {span_of(name), posted->files[0].text};
    config->plan = plan_build(&file, diff_fetch, &files, NULL, 1, &report);
    if (config->plan == NULL) {
        text = report.text;
        report.text = NULL;
    }
    plan_report_fini(&report);
    return text;
}

void main_parent_diff(struct parent *parent, const struct main_message *message)
{
    struct main_message answer = {.kind = MAIN_MESSAGE_DIFF, .ticket = message->ticket};
    struct parent_config next = {0};
    int exit_code;
    char *name = message->fd_count > 0 ? strndup(message->text.ptr, message->text.len)
                                       : strdup(parent->path);
    struct main_bundle posted = {0};
    char *report = NULL, *json = NULL;
    if (name != NULL && message->fd_count > 0)
        report = diff_build(parent, &next, &posted, message->fds[0], name);
    else if (name != NULL)
        report = main_parent_config_read(&next, parent->path, parent->generation, &exit_code);
    if (next.plan != NULL)
        json = diff_json(parent, name, next.plan);
    const bool is_invalid = next.plan == NULL && report != NULL;
    answer.value = json != NULL ? STATUS_OK : is_invalid ? STATUS_INVALID : STATUS_BROKEN;
    answer.text = span_of(json != NULL ? json : is_invalid ? report : "out of memory");
    (void)main_parent_tell(parent, &answer);
    main_parent_config_fini(&next);
    main_bundle_fini(&posted);
    free(report);
    free(json);
    free(name);
}
