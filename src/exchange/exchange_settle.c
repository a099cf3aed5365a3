/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_settle.c - what quotas are told beside the decision: those in shadow are tried once the request is
 * admitted, and charges are corrected once its outcome is known.  Never: delays a request, corrects a
 * charge twice. */
#include "base/base_parse.h"
#include "exchange/exchange_private.h"
#include "lease/lease_hold.h"

void exchange_ask_shadows(struct exchange *x)
{
    for (unsigned i = 0; i < x->shadow_count; i++) {
        struct lease_shadow *shadow = &x->shadows[i];
        if (!x->has_claims || exchange_may_try(x, shadow->charge.quota)) {
            lease_shadow_ask(x->env->lease, shadow);
            continue;
        }
        shadow->charge.is_skipped = true;
        metrics_add(x->env->loop->metrics, shadow->charge.quota->slot_degraded, 1);
    }
    if (x->shadow_hold != NULL)
        lease_hold_try(x->env->lease, x->shadow_hold);
}

void exchange_note_cost(struct exchange *x, const struct http_head *head)
{
    const struct plan_cost *cost = &x->route->cost;
    uint64_t said;
    if (cost->header.len == 0)
        return;
    /* said twice: believed not at all */
    const struct http_field *field =
        http_head_only(head, (enum http_field_id)cost->header_id, cost->header);
    if (field == NULL || !parse_u64(http_field_value(head, field), &said))
        return;
    x->has_cost = true;
    x->cost = said < cost->max ? (uint32_t)said : cost->max;
}

/* A rejection is charged to a claimed subject only where the quota names that very status: else whoever knows the name of
 * another could spend what that one has. */
static bool is_kept(const struct exchange *x, const struct quota_charge *charge)
{
    const struct statuses *on = &charge->quota->charge_on;
    if (charge->is_claimed && exchange_is_rejected(x) && !statuses_names(on, x->status))
        return false;
    return quota_status_counts(on, x->status);
}

/* What the response makes of a charge, if it was charged. */
static int32_t correction_of(const struct exchange *x, const struct quota_charge *charge)
{
    int64_t delta = 0;
    if (charge->quota->is_gate)
        return 0; /* settled with its subject */
    if (!is_kept(x, charge))
        delta = -(int64_t)charge->cost;
    else if (x->has_cost)
        delta = (int64_t)x->cost - charge->cost;
    return (int32_t)delta;
}

static void settle_charge(struct exchange *x, struct quota_charge *charge)
{
    int32_t delta = charge->is_charged ? correction_of(x, charge) : 0;
    if (delta != 0)
        charge->corrected = lease_correct(x->env->lease, charge, delta);
}

void exchange_settle_now(struct exchange *x)
{
    if (x->has_claims)
        exchange_settle_claims(x);
    for (unsigned i = 0; i < x->ask.count && x->is_decided; i++)
        settle_charge(x, &x->ask.charges[i]);
    for (unsigned i = 0; i < x->shadow_count; i++)
        lease_shadow_settle(x->env->lease, &x->shadows[i], correction_of(x, &x->shadows[i].charge));
}

void exchange_leave_shadows(struct exchange *x)
{
    for (unsigned i = 0; i < x->shadow_count; i++)
        lease_shadow_leave(&x->shadows[i]);
}
