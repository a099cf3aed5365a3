/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_refused.c - who was refused lately.  Takes: an exchange that a quota has refused.  Gives: a row of what the worker
 * keeps (record_refused.h), with the window that the client was told. */
#include "exchange/exchange_private.h"
#include "lease/lease_hold.h"

static const uint8_t *full_slot_key(const struct exchange *x)
{
    const struct lease_hold *hold = x->ask.hold;
    for (unsigned i = 0; hold != NULL && i < hold->count; i++) {
        if (hold->slots[i].told.is_refused)
            return hold->slots[i].told.key;
    }
    return NULL;
}

void exchange_keep_refused(struct exchange *x)
{
    const struct quota_decision *decision = &x->ask.decision;
    char room[EXCHANGE_CALLER_BYTES];
    struct record_refused_by by = {
        .quota = decision->in_flight,
        .decision = decision,
        .route = x->route->rule->name,
    };
    if (decision->has_binding) {
        const struct quota_charge *charge = &x->ask.charges[decision->charge];
        by.quota = charge->quota;
        by.key = charge->key;
        by.limit = &charge->quota->limits[decision->window];
    } else if (by.quota != NULL) {
        by.key = full_slot_key(x);
    }
    if (by.key == NULL)
        return;
    if (by.quota->is_gate) { /* it counts the client's address */
        by.subject = (struct span){room, ip_format(room, &x->client_ip)};
        by.kind = IDENTITY_IP;
    } else {
        by.subject = exchange_name_caller(x, by.quota, room, &by.kind);
    }
    record_refused_add(x->env->refused, x->env->loop->wall_us, &by);
}
