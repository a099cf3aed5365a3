/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_settle.c - what quotas are told beside the decision: those in shadow are tried once the request is
 * admitted, and charges are corrected once its outcome is known.  Never: delays a request, corrects a
 * charge twice. */
#include "base/base_parse.h"
#include "exchange/exchange_private.h"

void exchange_ask_shadows(struct exchange *x)
{
    for (unsigned i = 0; i < x->shadow_count; i++)
        lease_shadow_ask(x->env->lease, &x->shadows[i]);
}

void exchange_note_cost(struct exchange *x, const struct http_head *head)
{
    const struct plan_cost *cost = &x->route->cost;
    enum http_field_id id = (enum http_field_id)cost->header_id;
    unsigned from = 0;
    uint64_t said;
    if (cost->header.len == 0)
        return;
    const struct http_field *field = http_head_next_named(head, id, cost->header, &from);
    if (field == NULL || !parse_u64(http_field_value(head, field), &said))
        return;
    if (http_head_next_named(head, id, cost->header, &from) != NULL)
        return; /* said twice: believed not at all */
    x->has_cost = true;
    x->cost = said < cost->max ? (uint32_t)said : cost->max;
}

static void settle_charge(struct exchange *x, struct quota_charge *charge)
{
    int64_t delta = 0;
    if (!quota_status_counts(&charge->quota->charge_on, x->status))
        delta = -(int64_t)charge->cost;
    else if (x->has_cost)
        delta = (int64_t)x->cost - charge->cost;
    if (charge->is_charged && delta != 0)
        charge->corrected = lease_correct(x->env->lease, charge, (int32_t)delta);
}

void exchange_settle(struct exchange *x)
{
    for (unsigned i = 0; i < x->ask.count && x->is_decided && !x->is_settled; i++)
        settle_charge(x, &x->ask.charges[i]);
    x->is_settled = true;
}

void exchange_settle_shadows(struct exchange *x)
{
    for (unsigned i = 0; i < x->shadow_count; i++) {
        struct quota_charge *charge = &x->shadows[i].charge;
        lease_shadow_leave(&x->shadows[i],
                           quota_status_counts(&charge->quota->charge_on, x->status));
        settle_charge(x, charge);
    }
}
