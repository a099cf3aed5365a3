/* SPDX-License-Identifier: Apache-2.0 */
/* main_tail.c - `sluice tail`: lines of the running instance's access log as they are written.  Takes: the words of the command
 * line.  Gives: a sentence each, or the lines as they are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_client.h"
#include "admin/admin_filter.h"
#include "admin/admin_query.h"
#include "admin/admin_tail_text.h"
#include "main/main_exit.h"
#include "main/main_instance.h"
#include "main/main_verbs.h"

#define TIMEOUT_US 5000000
#define REFUSED    "decision=refuse|degraded_refuse"

struct tail_output {
    bool is_json, failed;
};

static bool on_line(void *arg, struct span line)
{
    struct tail_output *output = arg;
    char *text = output->is_json ? strndup(line.ptr, line.len) : admin_tail_text(line);
    output->failed =
        text != NULL && main_verb_print(text, MAIN_EXIT_OK) != MAIN_EXIT_OK; /* a closed pipe */
    free(text);
    return !output->failed;
}

static int ask(const struct main_options *options, const char *path)
{
    struct tail_output output = {.is_json = (options->given & MAIN_OPTION_JSON) != 0};
    struct admin_client_reply reply;
    int exit_code = main_instance_follow(options, path, TIMEOUT_US, on_line, &output, &reply);
    if (exit_code != MAIN_EXIT_OK)
        return exit_code;
    if (reply.status != 200) {
        exit_code = main_instance_problem(&reply, main_instance_exit(reply.status));
    } else if (output.failed) {
        exit_code = MAIN_EXIT_INTERNAL;
    } else {
        fputs("sluice: the instance has ended the tail (it stops, or this reader was too slow)\n",
              stderr);
        exit_code = MAIN_EXIT_NOT_RUNNING;
    }
    admin_client_reply_fini(&reply);
    return exit_code;
}

int main_verb_tail(const struct main_options *options)
{
    char path[3 * (ADMIN_FILTER_TEXT_MAX + sizeof(REFUSED) + 8) + 16];
    char *out = path + sprintf(path, "/v1/tail?q=");
    const char *query = options->query == NULL ? "" : options->query;
    const bool is_refused = (options->given & MAIN_OPTION_REFUSED) != 0;
    if (strlen(query) > ADMIN_FILTER_TEXT_MAX) {
        fputs("sluice: the expression is longer than 1000 bytes\n", stderr);
        return MAIN_EXIT_USAGE;
    }
    out = admin_query_escape(out, span_of(query));
    if (is_refused)
        out = admin_query_escape(out, span_of(query[0] == '\0' ? REFUSED : " & " REFUSED));
    *out = '\0';
    return ask(options, path);
}
