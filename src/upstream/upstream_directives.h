/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_directives.h - what may be written about an upstream.  The table fills a draft, whose conf is
 * complete once upstream_draft_finish has run. */
#ifndef SLUICE_UPSTREAM_DIRECTIVES_H
#define SLUICE_UPSTREAM_DIRECTIVES_H

#include "config/config_table.h"
#include "upstream/upstream_conf.h"

struct upstream_draft {
    struct upstream_conf conf;
    struct config_items servers; /* of struct upstream_server_conf */
};

extern const struct config_table UPSTREAM_DIRECTIVES;

/* Servers into the conf; the first one that is listed twice, or -1. */
int upstream_draft_finish(struct upstream_draft *draft);

#endif
