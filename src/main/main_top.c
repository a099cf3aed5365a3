/* SPDX-License-Identifier: Apache-2.0 */
/* main_top.c - `sluice top` and `sluice errors`: a look inside the running instance.  Takes: the options.  Gives: a request to
 * the admin socket, and its answer for people. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_client.h"
#include "admin/admin_query.h"
#include "admin/admin_top_text.h"
#include "main/main_exit.h"
#include "main/main_verbs.h"

#define TOP_TIMEOUT_US 12000000
#define TOP_QUOTA_MAX  512 /* bytes, each of which may become three */

/* The exit code; what is no answer goes to stderr. */
static int top_ask(const struct main_options *options, const char *path,
                   char *(*words)(struct span answer))
{
    struct admin_client_reply reply;
    uint64_t file_hash;
    int exit_code = main_verb_ask(options, "GET", path, TOP_TIMEOUT_US, &reply, &file_hash);
    if (exit_code != MAIN_EXIT_OK)
        return exit_code;
    if (reply.status == 404)
        exit_code = MAIN_EXIT_NO;
    else if (reply.status != 200)
        exit_code = reply.status == 400 ? MAIN_EXIT_USAGE : MAIN_EXIT_INTERNAL;
    exit_code = main_verb_tell(options, &reply, words, exit_code);
    admin_client_reply_fini(&reply);
    return exit_code;
}

int main_verb_top(const struct main_options *options)
{
    char path[64 + 3 * TOP_QUOTA_MAX];
    const char *quota = options->quota == NULL ? "" : options->quota;
    if (strlen(quota) > TOP_QUOTA_MAX) {
        fprintf(stderr,
                "sluice: a name is longer than 512 bytes; `sluice top --help` tells more\n");
        return MAIN_EXIT_USAGE;
    }
    bool by_refused = (options->given & MAIN_OPTION_WORST) != 0;
    int len = snprintf(path, 64, "/v1/top?by=%s&quota=", by_refused ? "refused" : "used");
    *admin_query_escape(path + len, span_of(quota)) = '\0';
    return top_ask(options, path, admin_top_text);
}

int main_verb_errors(const struct main_options *options)
{
    return top_ask(options, "/v1/errors", admin_errors_text);
}
