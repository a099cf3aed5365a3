/* SPDX-License-Identifier: Apache-2.0 */
/* lease_fetch.c - ask the store for what is not held here.  Takes: a request with its charges.  Gives: claims, all of
 * them or none granted, and what becomes of the answers: the request's cost is spent, the rest of a lease is held by
 * the cell.  What is held already of the request's other keys is taken out of their cells until the answer. */
#include <assert.h>
#include <string.h>

#include "base/base_clock.h"
#include "lease/lease_policy.h"
#include "lease/lease_private.h"

#define SENDINGS_MAX 4 /* of one request; more than two would take a window's end for each */

/* ---- claims ---- */

/* A subject without a cell claims nothing but its cost. */
static void claim_blank(struct store_redis_claim *claim, const struct quota *quota)
{
    struct lease_cell blank = {0};
    lease_cell_settle(&blank, quota, 0);
    lease_cell_claim(&blank, quota, 0, false, claim);
}

static void claim_lease(struct lease_worker *worker, const struct lease_held *held, uint32_t cost,
                        uint64_t behind, struct store_redis_claim *claim)
{
    struct lease_cell *cell = store_cell_body(held->cell);
    uint64_t now_us = lease_now_us(worker->lease, worker->loop);
    uint32_t fleet = lease_fleet(worker->lease);
    uint64_t least = cost + behind;
    lease_policy_note(cell, worker->loop->mono_us);
    uint64_t want = lease_policy_want(cell, held->quota, now_us, fleet) + (uint64_t)cost;
    claim->least = least > INT32_MAX ? INT32_MAX : (uint32_t)least;
    claim->want = want > INT32_MAX ? INT32_MAX : (uint32_t)want;
    claim->divisor = 2 * fleet;
    cell->asking++;
}

void lease_claim(struct lease_pending *pending, const struct lease_held *held, uint32_t cost,
                 uint64_t behind)
{
    struct lease_worker *worker = pending->worker;
    assert(pending->op.count < STORE_REDIS_KEYS_MAX);
    struct store_redis_claim *claim = &pending->op.claims[pending->op.count];
    pending->late[pending->op.count].is_guarded = held->is_guarded;
    /* A gate keeps what comes too late: else who goes away in time would never have passed it. */
    pending->late[pending->op.count++].fate =
        held->quota->is_gate ? LEASE_LATE_KEEP : LEASE_LATE_BACK;
    memcpy(claim->key, held->key, sizeof(claim->key));
    if (held->cell == NULL) {
        claim_blank(claim, held->quota);
        claim->cost = cost;
        return;
    }
    struct lease_cell *cell = store_cell_body(held->cell);
    lease_cell_claim(cell, held->quota, cost, worker->late == 0, claim);
    if (lease_is_leased(held->quota))
        claim_lease(worker, held, cost, behind, claim);
}

/* ---- what is taken until the answer ---- */

/* The readings of a part that nothing is claimed for. */
static void read_part(struct lease_pending *pending, unsigned p, const struct lease_cell *cell)
{
    struct lease_ask *ask = pending->ask;
    uint64_t now_us = lease_now_us(pending->worker->lease, pending->worker->loop);
    for (unsigned i = 0; ask != NULL && i < ask->count; i++) {
        if (pending->part_of[i] == p)
            lease_read(cell, &ask->charges[i], 0, now_us, false);
    }
}

void lease_put_back(struct lease_pending *pending)
{
    struct lease_worker *worker = pending->worker;
    for (unsigned p = 0; p < pending->part_count; p++) {
        struct lease_part *part = &pending->parts[p];
        if (part->taken.count == 0)
            continue;
        struct store_cell *held = lease_table_find(&worker->lease->table, part->key);
        if (held != NULL) {
            struct lease_cell *cell = store_cell_body(held);
            uint64_t mono_us = clock_mono_us();
            lease_tokens_add(cell, &part->taken, mono_us);
            lease_sweep_note_held(worker->lease, cell, mono_us);
            if (lease_cell_has_debt(cell))
                lease_settle_note(worker, part->key, cell);
            if (part->claim == LEASE_NO_CLAIM)
                read_part(pending, p, cell);
            store_cell_unlock(held);
        }
        part->taken.count = 0;
    }
}

/* Take what is there of each key, and claim the rest. */
static void take_parts(struct lease_pending *pending, const struct lease_held *held,
                       unsigned held_count, const uint8_t *held_of, uint64_t behind)
{
    uint64_t mono_us = clock_mono_us();
    pending->op.count = 0;
    pending->part_count = held_count;
    pending->is_spoiled = false;
    memcpy(pending->part_of, held_of, pending->ask->count * sizeof(*held_of));
    for (unsigned h = 0; h < held_count; h++) {
        struct lease_part *part = &pending->parts[h];
        struct lease_cell *cell = held[h].cell == NULL ? NULL : store_cell_body(held[h].cell);
        memcpy(part->key, held[h].key, sizeof(part->key));
        part->claim = LEASE_NO_CLAIM;
        part->taken.count = 0;
        if (cell != NULL && lease_tokens_held(cell, mono_us) != 0) {
            lease_tokens_take(cell, held[h].cost, &part->taken);
            cell->spent += part->taken.count;
        }
        if (part->taken.count != 0 && part->taken.count == held[h].cost)
            continue;
        part->claim = (uint8_t)pending->op.count;
        bool is_followed = memcmp(part->key, pending->followed, sizeof(part->key)) == 0;
        lease_claim(pending, &held[h], held[h].cost - part->taken.count, is_followed ? behind : 0);
    }
    for (unsigned h = 0; h < held_count; h++) {
        if (pending->parts[h].claim == LEASE_NO_CLAIM)
            read_part(pending, h, store_cell_body(held[h].cell));
    }
}

/* Has a window ended in which something was taken, or has the store charged the rest in another one? */
static bool is_spoiled(const struct lease_pending *pending, const struct store_redis_answer *answer)
{
    uint64_t mono_us = clock_mono_us();
    for (unsigned p = 0; p < pending->part_count; p++) {
        const struct lease_part *part = &pending->parts[p];
        struct lease_batch rest;
        if (part->taken.count == 0)
            continue;
        if (mono_us >= part->taken.until_us)
            return true;
        if (part->claim == LEASE_NO_CLAIM)
            continue;
        lease_batch_of(&rest, &pending->op.claims[part->claim], &answer->keys[part->claim], 0,
                       answer->now_us, pending->op.sent_at_us);
        if (memcmp(rest.windows, part->taken.windows,
                   part->taken.window_count * sizeof(rest.windows[0])) != 0)
            return true;
    }
    return false;
}

/* ---- answers ---- */

static void fill_other(struct quota_charge *charge, const struct store_redis_claim *claim,
                       const struct store_redis_result *result, bool is_granted, uint64_t now_us)
{
    const struct quota *quota = charge->quota;
    for (unsigned w = 0; w < quota->limit_count; w++) {
        struct quota_terms terms = quota_terms_of(quota, w, result->extra, 1);
        unsigned place = quota_limit_place(quota, w);
        const struct quota_state state = {
            result->windows[place].start_s, result->windows[place].used,
            quota->algorithm == QUOTA_SLIDING ? result->windows[place + 1].used : 0};
        bool is_refused = !is_granted && !quota_state_has_room(&terms, &state, now_us, claim->cost);
        quota_state_tell(&terms, &state, now_us, claim->cost, is_refused, charge, w);
    }
}

void lease_fill_charge(struct quota_charge *charge, const struct store_redis_claim *claim,
                       const struct store_redis_result *result, bool is_granted, uint64_t now_us)
{
    charge->is_charged = is_granted;
    charge->is_degraded = charge->is_skipped = false;
    charge->source = QUOTA_SOURCE_STORE;
    if (charge->quota->algorithm != QUOTA_FIXED) {
        fill_other(charge, claim, result, is_granted, now_us);
        return;
    }
    for (unsigned w = 0; w < claim->window_count; w++) {
        uint64_t limit = (uint64_t)claim->windows[w].limit + result->extra;
        struct quota_reading *reading = &charge->readings[w];
        reading->start_s = result->windows[w].start_s;
        reading->used = result->windows[w].used;
        reading->limit = limit > INT32_MAX ? INT32_MAX : (uint32_t)limit;
        reading->refused = !is_granted && (uint64_t)reading->used + claim->cost > reading->limit;
    }
}

/* What is held here, or was taken by the request that was refused, counts as not spent. */
static void fill_leased(struct quota_charge *charge, bool is_granted, const struct lease_cell *cell,
                        uint32_t taken, uint64_t now_us)
{
    uint32_t held = cell->held + taken;
    if (is_granted) {
        lease_read(cell, charge, 0, now_us, false);
        charge->source = QUOTA_SOURCE_STORE;
        charge->is_charged = true;
        return;
    }
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        struct quota_reading *reading = &charge->readings[w];
        reading->used -= reading->used < held ? reading->used : held;
    }
}

/* The charges that claim k was for. */
static void fill_charges(struct lease_pending *pending, unsigned k,
                         const struct store_redis_answer *answer, const struct lease_cell *cell)
{
    struct lease_ask *ask = pending->ask;
    const struct store_redis_claim *claim = &pending->op.claims[k];
    const struct store_redis_result *result = &answer->keys[k];
    bool is_leased = cell != NULL && claim->divisor != 0;
    for (unsigned i = 0; ask != NULL && i < ask->count; i++) {
        const struct lease_part *part = &pending->parts[pending->part_of[i]];
        if (part->claim != k)
            continue;
        lease_fill_charge(&ask->charges[i], claim, result, result->is_granted, answer->now_us);
        if (is_leased)
            fill_leased(&ask->charges[i], result->is_granted, cell, part->taken.count,
                        answer->now_us);
    }
    if (pending->shadow == NULL)
        return;
    struct quota_charge *charge = &pending->shadow->charge;
    lease_fill_charge(charge, claim, result, result->is_granted, answer->now_us);
    if (is_leased)
        fill_leased(charge, result->is_granted, cell, 0, answer->now_us);
}

static void note_round_trip(struct lease_worker *worker, uint64_t sent_at_us)
{
    struct lease *lease = worker->lease;
    uint64_t took_us = clock_mono_us() - sent_at_us;
    uint64_t smooth_us = atomic_load_explicit(&lease->round_trip_us, memory_order_relaxed);
    smooth_us = smooth_us == 0 ? took_us : smooth_us - smooth_us / 8 + took_us / 8;
    atomic_store_explicit(&lease->round_trip_us, smooth_us, memory_order_relaxed);
}

/* Who gets what was granted: the request if it still waits, else what was done instead of it; the rest is held. */
static void take_grant(struct lease_pending *pending, unsigned k,
                       const struct store_redis_answer *answer, struct lease_cell *cell)
{
    const struct store_redis_claim *claim = &pending->op.claims[k];
    const struct store_redis_result *result = &answer->keys[k];
    bool is_leased = claim->divisor != 0;
    bool is_kept =
        pending->ask != NULL ? !pending->is_spoiled : pending->late[k].fate == LEASE_LATE_KEEP;
    uint32_t own = claim->cost;
    struct lease_batch rest;
    if (is_kept)
        cell->spent += own;
    else if (pending->ask == NULL && pending->late[k].fate == LEASE_LATE_LOCAL)
        lease_cell_late_grant(cell, claim, result, pending->late[k].starts);
    else if (is_leased)
        own = 0;
    else
        lease_cell_late_grant(cell, claim, result, NULL);
    if (!is_leased)
        return;
    lease_batch_of(&rest, claim, result, result->granted - own, answer->now_us,
                   pending->op.sent_at_us);
    uint64_t mono_us = clock_mono_us();
    lease_tokens_add(cell, &rest, mono_us);
    lease_sweep_note_held(pending->worker->lease, cell, mono_us);
    cell->mark = lease_policy_mark(
        cell, atomic_load_explicit(&pending->worker->lease->round_trip_us, memory_order_relaxed));
    metrics_add(pending->worker->loop->metrics, METRICS_LEASE_GRANTED, rest.count);
}

/* The answer has brought little to light, or nothing for the first time. */
static bool wants_recall(const struct lease_worker *worker, const struct store_redis_claim *claim,
                         const struct store_redis_result *result, struct lease_cell *cell)
{
    bool is_first = !result->is_granted && !cell->is_recalled && cell->refused_until_us != 0;
    if (lease_fleet(worker->lease) < 2)
        return false;
    return (is_first || (result->is_granted && lease_policy_is_low(claim, result))) &&
           lease_policy_may_recall(cell, worker->loop->mono_us);
}

/* The cell of a claim.  That of a guarded subject is made when the store has let it in. */
static struct store_cell *find_cell(const struct lease_pending *pending, unsigned k,
                                    const struct store_redis_answer *answer)
{
    const struct lease_table *table = &pending->worker->lease->table;
    const struct store_redis_claim *claim = &pending->op.claims[k];
    bool may_make = pending->late[k].is_guarded && answer != NULL && answer->keys[k].is_granted;
    if (!may_make)
        return lease_table_find(table, claim->key);
    struct store_cell *held = lease_table_take(table, claim->key, answer->now_us / 1000000);
    if (held != NULL)
        lease_cell_begin(store_cell_body(held), claim, answer->now_us / 1000000);
    return held;
}

void lease_learn(struct lease_pending *pending, unsigned k, const struct store_redis_answer *answer)
{
    struct lease_worker *worker = pending->worker;
    const struct store_redis_claim *claim = &pending->op.claims[k];
    struct store_cell *held = find_cell(pending, k, answer);
    struct lease_cell *cell = held == NULL ? NULL : store_cell_body(held);
    bool is_leased = claim->divisor != 0, is_wanted = false, is_lost = false;
    bool is_past =
        cell != NULL && answer != NULL && lease_cell_is_past(cell, answer->keys[k].generation);
    uint64_t waiters = 0;
    if (cell != NULL && answer == NULL) {
        lease_cell_unclaim(cell, claim);
    } else if (is_past) {
        lease_cell_learn(cell, claim, &answer->keys[k], answer->now_us, pending->op.sent_at_us);
    } else if (cell != NULL) {
        is_lost = is_leased && cell->lineage != 0 && answer->keys[k].lineage != cell->lineage;
        lease_cell_learn(cell, claim, &answer->keys[k], answer->now_us, pending->op.sent_at_us);
        if (answer->keys[k].is_granted) {
            lease_cell_note_grant(cell);
            take_grant(pending, k, answer, cell);
        } else {
            lease_cell_note_refusal(cell, claim, worker->loop->mono_us, pending->op.sent_at_us);
        }
        is_wanted = is_leased && wants_recall(worker, claim, &answer->keys[k], cell);
    }
    if (answer != NULL)
        fill_charges(pending, k, answer, cell);
    if (cell == NULL)
        return;
    if (is_leased) {
        cell->asking--;
        waiters = cell->waiters;
        cell->waiters = 0;
    }
    if (lease_cell_has_debt(cell))
        lease_settle_note(worker, claim->key, cell);
    store_cell_unlock(held);
    if (waiters != 0)
        lease_follow_tell(worker, claim->key, waiters);
    if (is_wanted || is_lost)
        lease_recall_send(worker, claim->key, is_lost);
}

static bool has_refused(const struct lease_ask *ask)
{
    for (unsigned i = 0; i < ask->count; i++) {
        for (unsigned w = 0; w < ask->charges[i].quota->limit_count; w++) {
            if (ask->charges[i].readings[w].refused)
                return true;
        }
    }
    return false;
}

static void decide_answered(struct lease_pending *pending, const struct store_redis_answer *answer)
{
    struct lease_ask *ask = pending->ask;
    for (unsigned i = 0; i < ask->count; i++)
        ask->charges[i].is_charged = answer->granted;
    if (!answer->granted)
        lease_put_back(pending);
    /* A refusal without a reason is no answer. */
    if (!answer->granted && !has_refused(ask))
        lease_local_decide(pending->worker, ask);
    else
        lease_tell(ask, answer->now_us);
    lease_ask_done(pending);
}

/* Was this process itself so late (stopped, starved) that a window in which it was charged is over?
 * Then the grant must not be spent in the next one. */
static bool is_stale(const struct lease_pending *pending, const struct store_redis_answer *answer)
{
    const struct store_redis_op *op = &pending->op;
    const struct lease_worker *worker = pending->worker;
    uint64_t waited_us = worker->loop->mono_us - op->sent_at_us;
    if (!answer->granted || waited_us <= worker->lease->redis->conf.decision_timeout_us)
        return false;
    for (unsigned k = 0; k < op->count; k++) {
        for (unsigned w = 0; w < op->claims[k].window_count; w++) {
            if (quota_code_kind(op->claims[k].windows[w].period_s) != QUOTA_KIND_COUNT)
                continue; /* what was charged there stays charged in time */
            uint64_t end_s =
                (uint64_t)answer->keys[k].windows[w].start_s + op->claims[k].windows[w].period_s;
            if (answer->now_us + waited_us >= end_s * 1000000)
                return true;
        }
    }
    return false;
}

/* True: the pending is done with. */
static bool end_ask(struct lease_pending *pending, const struct store_redis_answer *answer)
{
    if (answer == NULL) {
        lease_put_back(pending);
        lease_local_decide(pending->worker, pending->ask);
        lease_ask_done(pending);
    } else if (!pending->is_spoiled) {
        decide_answered(pending, answer);
    } else {
        lease_put_back(pending);
        if (!lease_fetch(pending, 0))
            return false;
        lease_ask_done(pending);
    }
    return true;
}

static void on_answer(struct store_redis_op *op, enum store_answer result,
                      const struct store_redis_answer *answer)
{
    struct lease_pending *pending = (struct lease_pending *)(void *)op;
    struct lease_worker *worker = pending->worker;
    bool is_lease = false;
    (void)result;
    if (answer != NULL)
        lease_learn_clock(worker, answer);
    if (pending->ask != NULL && answer != NULL && is_stale(pending, answer))
        lease_decide_late(pending);
    pending->is_spoiled =
        pending->ask != NULL && answer != NULL && answer->granted && is_spoiled(pending, answer);
    for (unsigned k = 0; k < op->count; k++) {
        is_lease |= op->claims[k].divisor != 0;
        lease_learn(pending, k, answer);
    }
    if (is_lease && answer != NULL)
        note_round_trip(worker, op->sent_at_us);
    if (pending->is_late && --worker->late == 0)
        loop_task_schedule(worker->loop, &worker->settle);
    pending->is_late = false;
    if (pending->ask == NULL || end_ask(pending, answer))
        lease_pending_return(pending);
}

/* ---- asking ---- */

/* False: it was not sent, and nothing is taken any more. */
static bool send_claims(struct lease_pending *pending, bool is_ahead)
{
    struct lease_worker *worker = pending->worker;
    struct metrics_block *metrics = worker->loop->metrics;
    unsigned leases = 0;
    assert(pending->op.count != 0);
    pending->op.done = on_answer;
    for (unsigned k = 0; k < pending->op.count; k++)
        leases += pending->op.claims[k].divisor != 0;
    if (!lease_anew_holds(worker, &pending->op) &&
        store_redis_route_charge(worker->route, &pending->op) == STORE_PENDING) {
        lease_settle_count(worker, &pending->op);
        metrics_add(metrics, is_ahead ? METRICS_LEASE_ASKED_AHEAD : METRICS_LEASE_ASKED, leases);
        return true;
    }
    for (unsigned k = 0; k < pending->op.count; k++)
        lease_learn(pending, k, NULL);
    lease_put_back(pending);
    return false;
}

/* The key whose lease is on its way.  There is one. */
static const uint8_t *find_coming(struct lease_worker *worker, struct lease_held *held,
                                  unsigned held_count, uint64_t mono_us)
{
    unsigned h = 0;
    while (h + 1 < held_count && lease_look(worker, &held[h], mono_us) != LEASE_COMING)
        h++;
    struct lease_cell *cell = store_cell_body(held[h].cell);
    cell->waiters |= UINT64_C(1) << worker->desk;
    return held[h].key;
}

bool lease_fetch(struct lease_pending *pending, uint64_t behind)
{
    struct lease_worker *worker = pending->worker;
    struct lease_ask *ask = pending->ask;
    struct lease_held held[QUOTA_MAX_PER_ROUTE];
    uint8_t held_of[QUOTA_MAX_PER_ROUTE];
    uint64_t now_us = lease_now_us(worker->lease, worker->loop), mono_us = clock_mono_us();
    const uint8_t *coming = NULL;
    if (!store_redis_route_is_open(worker->route) || pending->sendings == SENDINGS_MAX) {
        lease_local_decide(worker, ask);
        return true;
    }
    unsigned held_count = lease_table_hold(&worker->lease->table, ask->charges, ask->count, NULL,
                                           false, now_us / 1000000, held, held_of);
    enum lease_found found =
        lease_spend_held(worker, ask->charges, ask->count, held, held_count, held_of, mono_us);
    if (found == LEASE_COMING)
        coming = find_coming(worker, held, held_count, mono_us);
    else if (found == LEASE_MISSING)
        take_parts(pending, held, held_count, held_of, behind);
    lease_table_let_go(held, held_count);
    if (found == LEASE_COMING) {
        lease_follow(pending, coming);
        lease_wait(pending);
        return false;
    }
    if (found == LEASE_MISSING) {
        pending->sendings++;
        if (send_claims(pending, false)) {
            lease_wait(pending);
            return false;
        }
        lease_local_decide(worker, ask);
        return true;
    }
    lease_tell(ask, now_us);
    return true;
}

/* ---- in advance ---- */

void lease_prefetch_send(void *arg)
{
    struct lease_worker *worker = arg;
    struct lease_pending *batch = worker->batch;
    worker->batch = NULL;
    if (batch != NULL && !send_claims(batch, true))
        lease_pending_return(batch);
}

void lease_prefetch_drop(struct lease_worker *worker)
{
    struct lease_pending *batch = worker->batch;
    worker->batch = NULL;
    for (unsigned k = 0; k < batch->op.count; k++)
        lease_learn(batch, k, NULL);
    lease_pending_return(batch);
}

void lease_prefetch(struct lease_worker *worker, const struct quota_charge *charge)
{
    struct lease_held held;
    uint64_t now_s = lease_now_us(worker->lease, worker->loop) / 1000000;
    if (!store_redis_route_is_open(worker->route))
        return;
    if (worker->batch == NULL)
        worker->batch = lease_pending_take(worker);
    if (worker->batch == NULL)
        return;
    lease_table_hold_one(&worker->lease->table, charge, now_s, &held);
    if (held.cell != NULL) {
        struct lease_cell *cell = store_cell_body(held.cell);
        lease_cell_settle(cell, held.quota, now_s);
        if (cell->asking == 0) {
            lease_claim(worker->batch, &held, 1, 0);
            worker->batch->op.claims[worker->batch->op.count - 1].is_apart = true;
        }
    }
    lease_table_let_go(&held, 1);
    if (worker->batch->op.count == store_redis_route_claims_max(worker->route))
        lease_prefetch_send(worker);
    else if (worker->batch->op.count != 0)
        loop_task_schedule(worker->loop, &worker->send_batch);
}
