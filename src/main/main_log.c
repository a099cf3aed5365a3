/* SPDX-License-Identifier: Apache-2.0 */
/* main_log.c - `sluice log reopen` and `sluice log level`: orders about the running instance's logs. */
#include <stdio.h>
#include <string.h>

#include "admin/admin_query.h"
#include "admin/admin_summary.h"
#include "main/main_exit.h"
#include "main/main_instance.h"
#include "main/main_verbs.h"

#define TIMEOUT_US 5000000
#define WORD_MAX   64

static int usage(const char *what)
{
    fprintf(stderr, "sluice: %s; `sluice log --help` tells more\n", what);
    return MAIN_EXIT_USAGE;
}

/* The one fault of its own that reopening has: a file cannot be had. */
static int reopen_exit(unsigned status)
{
    return status == 500 ? MAIN_EXIT_UNAVAILABLE : main_instance_exit(status);
}

int main_verb_log(const struct main_options *options)
{
    const char *verb = options->word_count > 0 ? options->words[0] : "";
    const char *level = options->word_count > 1 ? options->words[1] : "";
    const char *time = options->for_text == NULL ? "" : options->for_text;
    char path[32 + 6 * WORD_MAX], *out = path;
    if (strcmp(verb, "reopen") == 0 && options->word_count == 1 && options->for_text == NULL)
        return main_instance_run(options, "POST", "/v1/log:reopen", TIMEOUT_US,
                                 admin_summary_reopen, reopen_exit);
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
    return main_instance_run(options, "POST", path, TIMEOUT_US, admin_summary_level,
                             main_instance_exit);
}
