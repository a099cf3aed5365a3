/* SPDX-License-Identifier: Apache-2.0 */
/* lease_settle.c - debts to the store: what was admitted without it, what was granted too late.  They
 * go with the subject's next request; here, those whose subject does not come again, a few at a time.
 * A give-back is sent once; a bill whose fate is unknown is sent again (that can only take quota, never
 * make it). */
#include <string.h>

#include "lease/lease_private.h"

static unsigned debtor_count(const struct lease_worker *worker)
{
    return worker->debtor_next - worker->debtor_first;
}

void lease_settle_note(struct lease_worker *worker, const uint8_t key[16], struct lease_cell *cell)
{
    if (cell->is_listed)
        return;
    if (debtor_count(worker) == LEASE_DEBTORS_MAX) {
        lease_sweep_note_owed(worker->lease, cell); /* a full list: it is met again there */
        return;
    }
    cell->is_listed = 1;
    if (debtor_count(worker) == 0) /* a list of a few stays in a page */
        worker->debtor_first = worker->debtor_next = 0;
    memcpy(worker->debtors[worker->debtor_next++ % LEASE_DEBTORS_MAX], key, 16);
    loop_task_schedule(worker->loop, &worker->settle);
}

void lease_settle_count(struct lease_worker *worker, const struct store_redis_op *op)
{
    for (unsigned k = 0; k < op->count; k++) {
        uint32_t back = 0;
        for (unsigned w = 0; w < op->claims[k].window_count; w++) {
            if (op->claims[k].windows[w].back > back)
                back = op->claims[k].windows[w].back;
        }
        if (back != 0)
            metrics_add(worker->loop->metrics, METRICS_LEASE_RETURNED, back);
    }
}

/* True: claim is filled. */
static bool claim_next(struct lease_worker *worker, struct store_redis_claim *claim)
{
    const uint8_t *key = worker->debtors[worker->debtor_first++ % LEASE_DEBTORS_MAX];
    struct store_cell *held = lease_table_find(&worker->lease->table, key);
    if (held == NULL)
        return false;
    struct lease_cell *cell = store_cell_body(held);
    cell->is_listed = 0;
    memcpy(claim->key, key, sizeof(claim->key));
    bool has_debt = lease_cell_claim_debt(cell, claim);
    store_cell_unlock(held);
    return has_debt;
}

/* At once when there is a connection again; where one node of several is away, by and by. */
static void put_off(struct lease_worker *worker, const uint8_t key[16], struct lease_cell *cell)
{
    if (store_redis_route_is_open(worker->route))
        lease_sweep_note_owed(worker->lease, cell);
    else
        lease_settle_note(worker, key, cell);
}

static void on_settled(struct store_redis_op *op, enum store_answer result,
                       const struct store_redis_answer *answer)
{
    struct lease_pending *pending = (struct lease_pending *)(void *)op;
    struct lease_worker *worker = pending->worker;
    if (answer != NULL)
        lease_learn_clock(worker, answer);
    for (unsigned k = 0; k < op->count; k++) {
        struct store_cell *held = lease_table_find(&worker->lease->table, op->claims[k].key);
        if (held == NULL)
            continue;
        struct lease_cell *cell = store_cell_body(held);
        if (result == STORE_AWAY) {
            lease_cell_unclaim(cell, &op->claims[k]);
            if (lease_cell_has_debt(cell))
                put_off(worker, op->claims[k].key, cell);
        } else {
            lease_cell_learn(cell, &op->claims[k], &answer->keys[k], answer->now_us,
                             op->sent_at_us);
            cell->ordered = 0; /* seen, or never true */
            if (lease_cell_has_debt(cell))
                lease_sweep_note_owed(worker->lease, cell);
        }
        store_cell_unlock(held);
    }
    worker->settling--;
    lease_pending_return(pending);
    lease_anew_step(worker);
    if (debtor_count(worker) != 0 && result != STORE_AWAY)
        loop_task_schedule(worker->loop, &worker->settle);
    else if (atomic_load_explicit(&worker->lease->sweep.is_all, memory_order_relaxed))
        (void)lease_sweep_step(worker);
}

/* One operation of as many debtors as fit.  False: nothing was sent. */
static bool settle_some(struct lease_worker *worker, unsigned *budget)
{
    struct lease_pending *pending = lease_pending_take(worker);
    if (pending == NULL)
        return false;
    pending->op.done = on_settled;
    unsigned most = store_redis_route_claims_max(worker->route);
    while (pending->op.count < most && debtor_count(worker) != 0 && *budget != 0) {
        --*budget;
        if (claim_next(worker, &pending->op.claims[pending->op.count]))
            pending->op.count++;
    }
    if (pending->op.count == 0) {
        lease_pending_return(pending);
        return false;
    }
    worker->settling++;
    if (store_redis_route_charge(worker->route, &pending->op) == STORE_PENDING) {
        lease_settle_count(worker, &pending->op);
        return true;
    }
    on_settled(&pending->op, STORE_AWAY, NULL);
    return false;
}

/* Not while answers are late: what is sent to a server that stands still may be executed after it was
 * given up, and then be billed twice. */
void lease_settle_run(void *arg)
{
    struct lease_worker *worker = arg;
    unsigned budget = LEASE_SETTLE_PER_TURN;
    while (worker->late == 0 && worker->settling < LEASE_SETTLING_MAX &&
           debtor_count(worker) != 0 && store_redis_route_is_open(worker->route)) {
        if (!settle_some(worker, &budget))
            break;
    }
    if (budget == 0 && debtor_count(worker) != 0)
        loop_task_schedule(worker->loop, &worker->settle);
}
