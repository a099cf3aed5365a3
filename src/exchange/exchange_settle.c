/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_settle.c - what quotas are told beside the decision: those in shadow are tried once the request is
 * admitted, and charges are corrected once its outcome is known.  Never: delays a request, corrects a
 * charge twice. */
#include "exchange/exchange_private.h"

void exchange_ask_shadows(struct exchange *x)
{
    for (unsigned i = 0; i < x->shadow_count; i++)
        lease_shadow_ask(x->env->lease, &x->shadows[i]);
}

static void settle_charge(struct exchange *x, struct quota_charge *charge)
{
    if (charge->is_charged && !quota_status_counts(&charge->quota->charge_on, x->status))
        charge->corrected = lease_correct(x->env->lease, charge, -(int32_t)charge->cost);
}

void exchange_settle(struct exchange *x)
{
    for (unsigned i = 0; i < x->ask.count && x->is_decided; i++)
        settle_charge(x, &x->ask.charges[i]);
    for (unsigned i = 0; i < x->shadow_count; i++) {
        struct quota_charge *charge = &x->shadows[i].charge;
        lease_shadow_leave(&x->shadows[i],
                           quota_status_counts(&charge->quota->charge_on, x->status));
        settle_charge(x, charge);
    }
}
