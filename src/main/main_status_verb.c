/* SPDX-License-Identifier: Apache-2.0 */
/* main_status_verb.c - `sluice status` and `sluice reload`: what runs, and the file into force. */
#include <stdlib.h>

#include "admin/admin_summary.h"
#include "main/main_exit.h"
#include "main/main_instance.h"
#include "main/main_verbs.h"

#define STATUS_TIMEOUT_US 5000000
#define RELOAD_TIMEOUT_US 70000000

int main_verb_status(const struct main_options *options)
{
    struct admin_client_reply reply;
    uint64_t file_hash;
    int exit_code =
        main_instance_ask(options, "GET", "/v1/status", STATUS_TIMEOUT_US, &reply, &file_hash);
    if (exit_code != MAIN_EXIT_OK)
        return exit_code;
    exit_code = main_instance_exit(reply.status);
    if (exit_code != MAIN_EXIT_OK || (options->given & MAIN_OPTION_JSON) != 0) {
        exit_code = main_instance_tell(options, &reply, admin_summary_problem, exit_code);
    } else {
        char *text = admin_summary_status(reply.body, file_hash);
        exit_code = main_verb_print(text, exit_code);
        free(text);
    }
    admin_client_reply_fini(&reply);
    return exit_code;
}

int main_verb_reload(const struct main_options *options)
{
    return main_instance_run(options, "POST", "/v1/reload", RELOAD_TIMEOUT_US, admin_summary_reload,
                             main_instance_order_exit);
}
