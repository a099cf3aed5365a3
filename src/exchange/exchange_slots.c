/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_slots.c - quotas that limit how many exchanges of a subject are in flight.  Takes: the quotas of a route that
 * do.  Gives: what the lease is asked to hold until the exchange is over.  Never: allocates for a route without
 * such quotas. */
#include "exchange/exchange_private.h"
#include "lease/lease_hold.h"

bool exchange_add_slot(struct exchange *x, const struct quota *quota, const uint8_t key[16])
{
    struct lease_hold **hold = quota->mode == QUOTA_SHADOW ? &x->shadow_hold : &x->ask.hold;
    if (*hold == NULL) {
        *hold = arena_take(&x->arena, lease_hold_bytes(x->route->quota_count));
        if (*hold == NULL)
            return false;
        lease_hold_init(*hold);
    }
    lease_hold_add(*hold, quota, key);
    return true;
}

void exchange_count_slots(struct exchange *x)
{
    struct metrics_block *metrics = x->env->loop->metrics;
    bool is_away = x->ask.decision.verdict == QUOTA_UNAVAILABLE;
    for (unsigned i = 0; i < x->ask.hold->count; i++) {
        const struct quota_slot *told = &x->ask.hold->slots[i].told;
        const struct quota *quota = told->quota;
        bool has_charge = quota->limit_count != 0;
        if (has_charge && (is_away || !told->is_refused))
            continue; /* counted with its charge, which had a verdict */
        if (told->is_degraded || is_away)
            metrics_add(metrics, quota->slot_degraded, 1);
        else if (told->is_refused)
            metrics_add(metrics, quota->slot_refuse, 1);
        else if (told->is_granted)
            metrics_add(metrics, quota->slot_allow, 1);
        if (!told->is_degraded && (told->is_refused || told->is_granted))
            exchange_top_note(x, quota, told->key, told->is_refused);
    }
}

unsigned exchange_list_slots(const struct exchange *x, const struct quota_slot **slots)
{
    const struct lease_hold *holds[] = {x->is_decided ? x->ask.hold : NULL, x->shadow_hold};
    unsigned count = 0;
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; holds[k] != NULL && i < holds[k]->count; i++)
            slots[count++] = &holds[k]->slots[i].told;
    }
    return count;
}

void exchange_give_slots_back(struct exchange *x)
{
    if (x->ask.hold != NULL)
        lease_release(x->ask.hold);
    if (x->shadow_hold != NULL)
        lease_release(x->shadow_hold);
}
