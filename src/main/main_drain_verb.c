/* SPDX-License-Identifier: Apache-2.0 */
/* main_drain_verb.c - `sluice drain`: asks the running instance to end, and waits until it is gone. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "admin/admin_summary.h"
#include "base/base_parse.h"
#include "main/main_exit.h"
#include "main/main_instance.h"
#include "main/main_verbs.h"

#define DRAIN_DEADLINE_MAX_US UINT64_C(86400000000)
#define DRAIN_TIMEOUT_US      UINT64_C(93600000000) /* announced, drained and killed, at the longest */

int main_verb_drain(const struct main_options *options)
{
    char path[64] = "/v1/drain";
    uint64_t deadline_us = 0;
    if (options->deadline != NULL) {
        if (!parse_duration_us(span_of(options->deadline), &deadline_us) ||
            deadline_us > DRAIN_DEADLINE_MAX_US) {
            fputs("sluice: --deadline needs a time such as 30s, up to 24h\n", stderr);
            return MAIN_EXIT_USAGE;
        }
        snprintf(path, sizeof(path), "/v1/drain?deadline=%" PRIu64 "ms", deadline_us / 1000);
    }
    if (isatty(STDERR_FILENO))
        fputs("sluice: waiting for the end of the service (Ctrl-C ends the waiting alone)\n",
              stderr);
    return main_instance_run(options, "POST", path, DRAIN_TIMEOUT_US, admin_summary_drain,
                             main_instance_order_exit);
}
