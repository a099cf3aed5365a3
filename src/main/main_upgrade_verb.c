/* SPDX-License-Identifier: Apache-2.0 */
/* main_upgrade_verb.c - `sluice upgrade`: asks the running instance and tells how it ended. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/admin_summary.h"
#include "base/base_parse.h"
#include "main/main_exit.h"
#include "main/main_verbs.h"

#define UPGRADE_TIMEOUT_US     70000000
#define UPGRADE_DEADLINE_MAX_S 50 /* of the endpoint */

int main_verb_upgrade(const struct main_options *options)
{
    struct admin_client_reply reply;
    char path[64] = "/v1/upgrade";
    uint64_t file_hash, deadline_us = 0;
    if (options->deadline != NULL) {
        if (!parse_duration_us(span_of(options->deadline), &deadline_us) || deadline_us < 1000000 ||
            deadline_us / 1000000 > UPGRADE_DEADLINE_MAX_S) {
            fputs("sluice: --deadline needs a time from 1s to 50s\n", stderr);
            return MAIN_EXIT_USAGE;
        }
        snprintf(path, sizeof(path), "/v1/upgrade?deadline=%" PRIu64, deadline_us / 1000000);
    }
    int exit_code = main_verb_ask(options, "POST", path, UPGRADE_TIMEOUT_US, &reply, &file_hash);
    if (exit_code != MAIN_EXIT_OK)
        return exit_code;
    char *text = (options->given & MAIN_OPTION_JSON) != 0 ? main_verb_line(&reply)
                                                          : admin_summary_upgrade(reply.body);
    exit_code = main_verb_print(text, main_verb_order_exit(reply.status));
    free(text);
    admin_client_reply_fini(&reply);
    return exit_code;
}
