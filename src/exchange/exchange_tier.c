/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_tier.c - which limits a quota has for the caller.  Takes: the subjects of its key.  Gives: the tier.  Never:
 * looks at more than one entry of a table per subject. */
#include "exchange/exchange_private.h"
#include "quota/quota_tier.h"

const struct quota_tier *exchange_find_tier(struct exchange *x, const struct quota *quota,
                                            struct exchange_subject *const *parts)
{
    const struct quota_tiers *tiers = quota->tiers;
    const struct quota_tier *tier = tiers->is_live ? exchange_live_tier(x, quota) : NULL;
    for (unsigned i = 0; tiers->members != NULL && tier == NULL && i < quota->key_count; i++) {
        if (!exchange_subject_mark(x, parts[i]))
            return NULL;
        tier = quota_tiers_find(tiers, parts[i]->mark.mac);
    }
    if (tier == NULL)
        tier = &tiers->tiers[tiers->otherwise];
    if (x->tier.len == 0)
        x->tier = tier->name;
    return tier;
}
