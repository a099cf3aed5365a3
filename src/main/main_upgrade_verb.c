/* SPDX-License-Identifier: Apache-2.0 */
/* main_upgrade_verb.c - `sluice upgrade`: asks the running instance and tells how it ended. */
#include <inttypes.h>
#include <stdio.h>

#include "admin/admin_summary.h"
#include "base/base_parse.h"
#include "main/main_exit.h"
#include "main/main_instance.h"
#include "main/main_verbs.h"

#define UPGRADE_TIMEOUT_US      70000000
#define UPGRADE_DEADLINE_MAX_US 50000000 /* of the endpoint */

int main_verb_upgrade(const struct main_options *options)
{
    char path[64] = "/v1/upgrade";
    uint64_t deadline_us = 0;
    if (options->deadline != NULL) {
        if (!parse_duration_us(span_of(options->deadline), &deadline_us) || deadline_us < 1000000 ||
            deadline_us > UPGRADE_DEADLINE_MAX_US) {
            fputs("sluice: --deadline needs a time from 1s to 50s\n", stderr);
            return MAIN_EXIT_USAGE;
        }
        snprintf(path, sizeof(path), "/v1/upgrade?deadline=%" PRIu64 "ms", deadline_us / 1000);
    }
    return main_instance_run(options, "POST", path, UPGRADE_TIMEOUT_US, admin_summary_upgrade,
                             main_instance_order_exit);
}
