/* SPDX-License-Identifier: Apache-2.0 */
/* lease_gate.c - gates: quotas that are judged before anything is made for the other subjects of a request, so that a
 * flood of subjects that nobody knows is bounded by the gate.  Takes: a request's charges.  Gives: a refusal, if a gate
 * has no room; else nothing has changed, and all charges together are asked as ever.  Never: charges anything.
 *
 * Between the look here and the charge another worker may take the last room: then the store refuses all charges
 * together, and each worker has made one subject too many at most. */
#include "lease/lease_private.h"
#include "store/store_memory.h"

void lease_tell(struct lease_ask *ask, uint64_t now_us)
{
    if (ask->has_gates)
        quota_let_gates_speak(ask->charges, ask->count);
    quota_decide(&ask->decision, ask->charges, ask->count, now_us);
}

/* The others were not asked. */
static void refuse(struct lease_ask *ask, enum quota_source source, uint64_t now_us)
{
    for (unsigned i = 0; i < ask->count; i++) {
        struct quota_charge *charge = &ask->charges[i];
        charge->is_charged = charge->is_skipped = false;
        charge->source = (uint8_t)source;
    }
    lease_tell(ask, now_us);
}

bool lease_gate_refuses_in_memory(struct lease_worker *worker, struct lease_ask *ask)
{
    uint64_t now_us = worker->loop->wall_us;
    bool is_refused = false;
    for (unsigned i = 0; i < ask->count; i++) {
        struct quota_charge *charge = &ask->charges[i];
        charge->is_degraded = false;
        if (charge->quota->is_gate && store_memory_refuses(worker->lease->memory, charge, now_us))
            is_refused = true;
    }
    if (is_refused)
        refuse(ask, QUOTA_SOURCE_STORE, now_us);
    return is_refused;
}

bool lease_gate_refuses_locally(struct lease_worker *worker, struct lease_ask *ask,
                                const bool *wanted, uint32_t proxies)
{
    const struct lease_table *table = &worker->lease->table;
    struct lease_held held[QUOTA_MAX_PER_ROUTE];
    uint8_t held_of[QUOTA_MAX_PER_ROUTE];
    bool gates[QUOTA_MAX_PER_ROUTE] = {false};
    uint64_t now_us = lease_now_us(worker->lease, worker->loop);
    bool is_refused = false;
    for (unsigned i = 0; i < ask->count; i++)
        gates[i] = wanted[i] && ask->charges[i].quota->is_gate;
    unsigned count = lease_table_hold(table, ask->charges, ask->count, gates, true,
                                      now_us / 1000000, held, held_of);
    for (unsigned h = 0; h < count; h++)
        lease_cell_settle(store_cell_body(held[h].cell), held[h].quota, now_us / 1000000);
    for (unsigned i = 0; count != 0 && i < ask->count; i++) {
        if (gates[i] && !lease_local_look(&held[held_of[i]], &ask->charges[i], proxies, now_us))
            is_refused = true;
    }
    lease_table_let_go(held, count);
    if (is_refused)
        refuse(ask, QUOTA_SOURCE_LOCAL, now_us);
    return is_refused;
}
