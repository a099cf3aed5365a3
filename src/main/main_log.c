/* SPDX-License-Identifier: Apache-2.0 */
/* main_log.c - `sluice log reopen` and `sluice log level`: orders about the running instance's logs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_client.h"
#include "admin/admin_query.h"
#include "admin/admin_summary.h"
#include "main/main_exit.h"
#include "main/main_verbs.h"

#define TIMEOUT_US 5000000
#define WORD_MAX   64

static int usage(const char *what)
{
    fprintf(stderr, "sluice: %s; `sluice log --help` tells more\n", what);
    return MAIN_EXIT_USAGE;
}

static int ask(const struct main_options *options, const char *path, int exit_of_fault,
               char *(*text_of)(struct span))
{
    struct admin_client_reply reply;
    uint64_t file_hash;
    int exit_code = main_verb_ask(options, "POST", path, TIMEOUT_US, &reply, &file_hash);
    if (exit_code != MAIN_EXIT_OK)
        return exit_code;
    bool is_json = (options->given & MAIN_OPTION_JSON) != 0;
    if (reply.status == 200 || is_json) {
        char *text = is_json ? main_verb_line(&reply) : text_of(reply.body);
        exit_code = main_verb_print(text, reply.status == 200 ? MAIN_EXIT_OK : exit_of_fault);
        free(text);
    } else {
        exit_code = main_verb_problem(&reply, exit_of_fault);
    }
    if (reply.status == 400)
        exit_code = MAIN_EXIT_USAGE;
    admin_client_reply_fini(&reply);
    return exit_code;
}

static char *reopened(struct span answer)
{
    (void)answer;
    return strdup("the log files are open again\n");
}

int main_verb_log(const struct main_options *options)
{
    const char *verb = options->word_count > 0 ? options->words[0] : "";
    const char *level = options->word_count > 1 ? options->words[1] : "";
    const char *time = options->for_text == NULL ? "" : options->for_text;
    char path[32 + 6 * WORD_MAX], *out = path;
    if (strcmp(verb, "reopen") == 0 && options->word_count == 1 && options->for_text == NULL)
        return ask(options, "/v1/log:reopen", MAIN_EXIT_UNAVAILABLE, reopened);
    if (strcmp(verb, "level") != 0)
        return usage("\"reopen\" or \"level LEVEL\" is needed");
    if (level[0] == '\0')
        return usage("a LEVEL is needed: debug, info, warn, error or configured");
    if (strlen(level) > WORD_MAX || strlen(time) > WORD_MAX)
        return usage("a word is too long");
    out += sprintf(out, "/v1/log:level?level=");
    out = admin_query_escape(out, span_of(level));
    out += sprintf(out, "&for=");
    *admin_query_escape(out, span_of(time)) = '\0';
    return ask(options, path, MAIN_EXIT_INTERNAL, admin_summary_level);
}
