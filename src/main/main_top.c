/* SPDX-License-Identifier: Apache-2.0 */
/* main_top.c - `sluice top` and `sluice errors`: a look inside the running instance.  Takes: the options.  Gives: a request to
 * the admin socket, and its answer for people. */
#include <stdio.h>
#include <string.h>

#include "admin/admin_query.h"
#include "admin/admin_top_text.h"
#include "main/main_exit.h"
#include "main/main_instance.h"
#include "main/main_verbs.h"

#define TOP_TIMEOUT_US 12000000
#define TOP_QUOTA_MAX  512 /* bytes, each of which may become three */

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
    return main_instance_run(options, "GET", path, TOP_TIMEOUT_US, admin_top_text,
                             main_instance_exit);
}

int main_verb_errors(const struct main_options *options)
{
    return main_instance_run(options, "GET", "/v1/errors", TOP_TIMEOUT_US, admin_errors_text,
                             main_instance_exit);
}
