/* SPDX-License-Identifier: Apache-2.0 */
/* quota_tier.h - quotas whose limits depend on the subject's tier.  Takes: a subject's mac.  Gives: its tier, in one
 * look at a table, however many members there are.  Never: keeps a subject's value. */
#ifndef SLUICE_QUOTA_TIER_H
#define SLUICE_QUOTA_TIER_H

#include "quota/quota.h"

#define QUOTA_TIERS_MAX   64
#define QUOTA_MEMBERS_MAX 1000000 /* of one quota */

/* What a tier makes of a quota. */
struct quota_tier {
    struct span name;
    const struct quota *quota; /* the same but for its limits; NULL: unlimited */
};

struct quota_member {
    uint8_t subject[16];
    uint8_t tier; /* index + 1; 0: free */
};

/* Const after linking.  Owner: the plan. */
struct quota_tiers {
    const struct quota_tier *tiers;
    uint8_t count, otherwise;     /* the tier of who is no member */
    struct quota_member *members; /* NULL: none */
    uint32_t mask;                /* their room - 1; at least half of it is free */
    bool is_live;                 /* who is in which tier is looked up by its name in the store */
};

/* How many struct quota_member `count` members need: a power of two. */
uint32_t quota_members_room(uint32_t count);

/* Put a subject in; members and mask are set, and there is room.  The tier that it is in already, -1: none. */
int quota_members_add(struct quota_tiers *tiers, const uint8_t subject[16], uint8_t tier);

/* The tier that the subject was put in; NULL when it is no member. */
const struct quota_tier *quota_tiers_find(const struct quota_tiers *tiers,
                                          const uint8_t subject[16]);

/* The tier of this name; NULL: there is none. */
const struct quota_tier *quota_tiers_named(const struct quota_tiers *tiers, struct span name);

#endif
