/* SPDX-License-Identifier: Apache-2.0 */
/* quota_conf.h - what may be written about a quota and about a tier.  Keys, tiers and members are linked by the
 * plan. */
#ifndef SLUICE_QUOTA_CONF_H
#define SLUICE_QUOTA_CONF_H

#include "config/config_table.h"
#include "quota/quota.h"

#define QUOTA_CONF_LIVE "redis" /* "members": they are not in the file */

/* One quota of the file. */
struct quota_draft {
    struct quota quota; /* first: rows of struct quota are rows of the draft */
    bool is_by_tier;    /* "limits": "tier" */
    struct span default_tier;
    struct config_items members; /* by tier; of use are their nodes */
};
extern const struct config_table QUOTA_CONF;

/* NULL, or what its limits cannot be with its algorithm. */
const char *quota_conf_fault(const struct quota *quota);

/* One tier of the file. */
struct quota_tier_draft {
    struct span name;
    bool is_unlimited;
    struct quota limits; /* its limits alone */
};
extern const struct config_table QUOTA_CONF_TIER;

/* The members of one tier in one quota. */
struct quota_members_draft {
    struct span name; /* the tier's */
};

/* local, allow, deny: in the order of enum quota_on_failure, NULL-terminated. */
extern const char *const QUOTA_CONF_ON_FAILURE[];

#endif
