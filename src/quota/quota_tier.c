/* SPDX-License-Identifier: Apache-2.0 */
/* quota_tier.c - see quota_tier.h.  Subjects are macs under the fleet's secret, so their first bytes are spread
 * evenly and nobody chooses where they fall. */
#include "quota/quota_tier.h"

#include <assert.h>
#include <string.h>

uint32_t quota_members_room(uint32_t count)
{
    uint32_t room = 2;
    assert(count <= UINT32_MAX / 4);
    while (room < 2 * count)
        room *= 2;
    return room;
}

/* The member's place, or the free one where it would be. */
static struct quota_member *seek(const struct quota_tiers *tiers, const uint8_t subject[16])
{
    uint32_t at;
    memcpy(&at, subject, sizeof(at));
    for (at &= tiers->mask; tiers->members[at].tier != 0; at = (at + 1) & tiers->mask) {
        if (memcmp(tiers->members[at].subject, subject, 16) == 0)
            break;
    }
    return &tiers->members[at];
}

int quota_members_add(struct quota_tiers *tiers, const uint8_t subject[16], uint8_t tier)
{
    assert(tier < QUOTA_TIERS_MAX);
    struct quota_member *member = seek(tiers, subject);
    if (member->tier != 0)
        return member->tier - 1;
    memcpy(member->subject, subject, 16);
    member->tier = (uint8_t)(tier + 1);
    return -1;
}

const struct quota_tier *quota_tiers_find(const struct quota_tiers *tiers,
                                          const uint8_t subject[16])
{
    if (tiers->members == NULL)
        return NULL;
    const struct quota_member *member = seek(tiers, subject);
    return member->tier == 0 ? NULL : &tiers->tiers[member->tier - 1];
}

const struct quota_tier *quota_tiers_named(const struct quota_tiers *tiers, struct span name)
{
    for (unsigned i = 0; i < tiers->count; i++) {
        if (span_eq(tiers->tiers[i].name, name))
            return &tiers->tiers[i];
    }
    return NULL;
}
