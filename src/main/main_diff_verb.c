/* SPDX-License-Identifier: Apache-2.0 */
/* main_diff_verb.c - `sluice diff`: asks the running instance what a reload of its file, or of another one, would change. */
#include <stdio.h>
#include <string.h>

#include "admin/admin_query.h"
#include "admin/admin_summary.h"
#include "main/main_exit.h"
#include "main/main_instance.h"
#include "main/main_verbs.h"

#define DIFF_TIMEOUT_US 70000000
#define DIFF_NAME_MAX   256
#define DIFF_PATH       "/v1/config:diff?name="

/* A file that is too long is no configuration. */
static int diff_exit(const struct admin_client_reply *reply)
{
    if (reply->status == 200)
        return admin_summary_is_same(reply->body) ? MAIN_EXIT_OK : MAIN_EXIT_NO;
    return reply->status == 413 ? MAIN_EXIT_CONFIG : main_instance_exit(reply->status);
}

/* The end of a long name says more than its beginning. */
static struct span diff_name(const char *file)
{
    size_t len = strlen(file);
    return len <= DIFF_NAME_MAX ? span_of(file)
                                : (struct span){file + len - DIFF_NAME_MAX, DIFF_NAME_MAX};
}

static int diff_ask(const struct main_options *options, struct admin_client_reply *reply)
{
    char path[sizeof(DIFF_PATH) + 3 * DIFF_NAME_MAX] = DIFF_PATH, why[256];
    struct main_bundle bundle;
    uint64_t file_hash;
    if (options->word == NULL)
        return main_instance_ask(options, "POST", "/v1/config:diff", DIFF_TIMEOUT_US, reply,
                                 &file_hash);
    if (!main_bundle_read(&bundle, options->word, why)) {
        fprintf(stderr, "sluice: %s\n", why);
        return MAIN_EXIT_CONFIG;
    }
    *admin_query_escape(path + sizeof(DIFF_PATH) - 1, diff_name(options->word)) = '\0';
    struct span text = bundle.files[0].text;
    if (text.len == 0) /* nothing at all stands for the file on disk */
        text = SPAN("\n");
    int exit_code = main_instance_send(options, path, text, DIFF_TIMEOUT_US, reply);
    main_bundle_fini(&bundle);
    return exit_code;
}

int main_verb_diff(const struct main_options *options)
{
    struct admin_client_reply reply;
    int exit_code = diff_ask(options, &reply);
    if (exit_code != MAIN_EXIT_OK)
        return exit_code;
    exit_code = main_instance_tell(options, &reply, admin_summary_diff, diff_exit(&reply));
    admin_client_reply_fini(&reply);
    return exit_code;
}
