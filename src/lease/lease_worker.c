/* SPDX-License-Identifier: Apache-2.0 */
/* lease_worker.c - the way of one request's question.
 *
 *   lease_decide --refused lately--> answered from the cell
 *        |-------the store is away-> lease_local.c
 *        |--> parked                 while the first handshake of all goes on; then
 *        `--> in flight --answer-->  done
 *                 |-----timeout--->  lease_local.c, done; a late grant stands for what was
 *                 |                  admitted here, or goes back, once
 *                 `-----cancelled->  a late grant goes back, once */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_log.h"
#include "lease/lease_hold.h"
#include "lease/lease_private.h"
#include "lease/lease_seats.h"
#include "store/store_memory.h"

#define CLOCK_TOLERANCE_US 2000000

/* ---- operations ---- */

struct lease_pending *lease_pending_take(struct lease_worker *worker)
{
    struct lease_pending *pending;
    if (list_is_empty(&worker->spare)) {
        pending = malloc(sizeof(*pending));
        if (pending == NULL)
            return NULL;
        list_init(&pending->node);
        pending->worker = worker;
    } else {
        pending = LIST_OF(worker->spare.next, struct lease_pending, node);
        list_remove(&pending->node);
    }
    pending->op.count = 0;
    pending->ask = NULL;
    pending->shadow = NULL;
    pending->is_late = false;
    pending->is_parked = false;
    return pending;
}

void lease_pending_return(struct lease_pending *pending)
{
    list_remove(&pending->node);
    list_push_front(&pending->worker->spare, &pending->node);
}

void lease_learn_clock(struct lease_worker *worker, const struct store_redis_answer *answer)
{
    struct lease *lease = worker->lease;
    int64_t clock_us = (int64_t)(answer->now_us - worker->loop->mono_us);
    atomic_store_explicit(&lease->clock_us, clock_us, memory_order_relaxed);
    atomic_store_explicit(&lease->has_clock, true, memory_order_relaxed);
    atomic_store_explicit(&lease->table.is_away, false, memory_order_relaxed);
    int64_t ahead_us = (int64_t)(answer->now_us - worker->loop->wall_us);
    if ((ahead_us > CLOCK_TOLERANCE_US || ahead_us < -CLOCK_TOLERANCE_US) &&
        !atomic_exchange(&lease->has_said_clock, true))
        log_warn("the clock of redis is %lld s %s ours; windows follow the clock of redis",
                 (long long)(ahead_us < 0 ? -ahead_us : ahead_us) / 1000000,
                 ahead_us < 0 ? "behind" : "ahead of");
}

static void ask_done(struct lease_pending *pending)
{
    struct lease_ask *ask = pending->ask;
    assert(ask != NULL);
    pending->ask = NULL;
    list_remove(&pending->node);
    ask->pending = NULL;
    ask->done(ask, ask->arg);
}

/* ---- the answer in time ---- */

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
    for (unsigned i = 0; i < ask->count; i++) {
        unsigned k = pending->claim_of[i];
        lease_fill_charge(&ask->charges[i], &pending->op.claims[k], &answer->keys[k],
                          answer->granted, answer->now_us);
    }
    /* A refusal without a reason is no answer. */
    if (!answer->granted && !has_refused(ask))
        lease_local_decide(pending->worker, ask);
    else
        lease_tell(ask, answer->now_us);
    ask_done(pending);
}

/* ---- too late ---- */

static void leave_late(struct lease_pending *pending)
{
    pending->is_late = true;
    pending->worker->late++;
}

/* Remember what the request was told, for the grant that may still come. */
static void note_fates(struct lease_pending *pending)
{
    const struct lease_ask *ask = pending->ask;
    bool is_admitted = ask->decision.verdict == QUOTA_DEGRADED_ALLOW;
    for (unsigned i = 0; i < ask->count; i++) {
        const struct quota_charge *charge = &ask->charges[i];
        unsigned k = pending->claim_of[i];
        if (is_admitted && charge->is_skipped)
            pending->late[k].fate = LEASE_LATE_KEEP;
        else if (is_admitted && charge->is_charged)
            pending->late[k].fate = LEASE_LATE_LOCAL;
        for (unsigned w = 0; w < charge->quota->limit_count; w++)
            pending->late[k].starts[quota_limit_place(charge->quota, w)] =
                charge->readings[w].start_s;
    }
}

/* The answer is not waited for any longer, or came too late. */
static void decide_late(struct lease_pending *pending)
{
    metrics_add(pending->worker->loop->metrics, METRICS_STORE_TIMEOUTS, 1);
    lease_local_decide(pending->worker, pending->ask);
    note_fates(pending);
    leave_late(pending);
    ask_done(pending);
}

/* ---- the answer, or its absence ---- */

/* The cell of a claim.  That of a guarded subject is made when the store has let it in. */
static struct store_cell *find_cell(const struct lease_pending *pending, unsigned k,
                                    const struct store_redis_answer *answer)
{
    const struct lease_table *table = &pending->worker->lease->table;
    const struct store_redis_claim *claim = &pending->op.claims[k];
    bool may_make = pending->late[k].is_guarded && answer != NULL && answer->granted;
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
    if (held == NULL)
        return;
    struct lease_cell *cell = store_cell_body(held);
    if (answer == NULL) {
        lease_cell_unclaim(cell, claim);
    } else {
        lease_cell_learn(cell, claim, &answer->keys[k], answer->now_us, pending->op.sent_at_us);
        if (answer->granted)
            lease_cell_note_grant(cell);
        else
            lease_cell_note_refusal(cell, claim, worker->loop->mono_us, pending->op.sent_at_us);
        bool is_over = pending->ask == NULL && pending->late[k].fate != LEASE_LATE_KEEP;
        if (answer->granted && is_over)
            lease_cell_late_grant(
                cell, claim, &answer->keys[k],
                pending->late[k].fate == LEASE_LATE_LOCAL ? pending->late[k].starts : NULL);
    }
    if (lease_cell_has_debt(cell))
        lease_settle_note(worker, claim->key, cell);
    store_cell_unlock(held);
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

static void on_answer(struct store_redis_op *op, enum store_answer result,
                      const struct store_redis_answer *answer)
{
    struct lease_pending *pending = (struct lease_pending *)(void *)op;
    struct lease_worker *worker = pending->worker;
    (void)result;
    if (answer != NULL)
        lease_learn_clock(worker, answer);
    if (pending->ask != NULL && answer != NULL && is_stale(pending, answer))
        decide_late(pending);
    for (unsigned k = 0; k < op->count; k++)
        lease_learn(pending, k, answer);
    if (pending->is_late && --worker->late == 0)
        loop_task_schedule(worker->loop, &worker->settle);
    if (pending->ask != NULL && answer != NULL) {
        decide_answered(pending, answer);
    } else if (pending->ask != NULL) {
        lease_local_decide(worker, pending->ask);
        ask_done(pending);
    }
    lease_pending_return(pending);
}

/* ---- asking ---- */

/* The claim of charge i: its own, or that of an earlier charge of the same key. */
static struct store_redis_claim *claim_for(struct lease_pending *pending, unsigned i,
                                           const struct quota_charge *charge)
{
    struct store_redis_op *op = &pending->op;
    unsigned k = 0;
    while (k < op->count && memcmp(op->claims[k].key, charge->key, sizeof(charge->key)) != 0)
        k++;
    pending->claim_of[i] = (uint8_t)k;
    return &op->claims[k];
}

/* A subject without a cell claims nothing but its cost. */
static void claim_blank(struct store_redis_claim *claim, const struct quota *quota)
{
    struct lease_cell blank = {0};
    lease_cell_settle(&blank, quota, 0);
    lease_cell_claim(&blank, quota, 0, false, claim);
}

void lease_claim(struct lease_pending *pending, unsigned i, const struct quota_charge *charge)
{
    struct lease_worker *worker = pending->worker;
    uint64_t now_s = lease_now_us(worker->lease, worker->loop) / 1000000;
    struct store_redis_claim *claim = claim_for(pending, i, charge);
    if (pending->claim_of[i] != pending->op.count) {
        claim->cost += charge->cost;
        return;
    }
    memcpy(claim->key, charge->key, sizeof(claim->key));
    pending->late[pending->op.count].is_guarded = charge->is_guarded;
    /* A gate keeps what comes too late: else who goes away in time would never have passed it. */
    pending->late[pending->op.count++].fate =
        charge->quota->is_gate ? LEASE_LATE_KEEP : LEASE_LATE_BACK;
    struct store_cell *held = charge->is_guarded
                                  ? lease_table_find(&worker->lease->table, charge->key)
                                  : lease_table_take(&worker->lease->table, charge->key, now_s);
    if (held == NULL) {
        claim_blank(claim, charge->quota);
    } else {
        lease_cell_settle(store_cell_body(held), charge->quota, now_s);
        lease_cell_claim(store_cell_body(held), charge->quota, 0, worker->late == 0, claim);
        store_cell_unlock(held);
    }
    claim->cost = charge->cost;
}

/* Who has waited before, for its tier, its project or its slots, is due earlier. */
static bool is_due_later(const struct list *one, const struct list *other)
{
    return LIST_OF(one, struct lease_pending, node)->ask->asked_at_us >
           LIST_OF(other, struct lease_pending, node)->ask->asked_at_us;
}

static void wait_for_answer(struct lease_pending *pending, struct list *list)
{
    struct lease_worker *worker = pending->worker;
    uint64_t timeout_us = worker->lease->redis->conf.decision_timeout_us;
    pending->ask->pending = pending;
    list_push_ordered(list, &pending->node, is_due_later);
    if (list->next == &pending->node)
        loop_alarm_set(worker->alarm, pending->ask->asked_at_us + timeout_us);
}

/* False: it was not sent. */
static bool send_ask(struct lease_pending *pending)
{
    const struct lease_ask *ask = pending->ask;
    assert(ask != NULL);
    pending->op.done = on_answer;
    for (unsigned i = 0; i < ask->count; i++)
        lease_claim(pending, i, &ask->charges[i]);
    if (store_redis_link_charge(pending->worker->link, &pending->op) == STORE_PENDING) {
        wait_for_answer(pending, &pending->worker->waiting);
        return true;
    }
    for (unsigned k = 0; k < pending->op.count; k++)
        lease_learn(pending, k, NULL);
    return false;
}

static void park(struct lease_pending *pending)
{
    pending->is_parked = true;
    pending->worker->parked_count++;
    wait_for_answer(pending, &pending->worker->parked);
}

static void unpark(struct lease_pending *pending)
{
    pending->is_parked = false;
    pending->worker->parked_count--;
    list_remove(&pending->node);
}

/* True: the ask waits for an answer. */
static bool ask_store(struct lease_worker *worker, struct lease_ask *ask)
{
    bool is_open = store_redis_link_is_open(worker->link);
    bool can_park = store_redis_link_is_starting(worker->link) &&
                    worker->parked_count < STORE_REDIS_INFLIGHT_MAX;
    if (!is_open && !can_park)
        return false;
    struct lease_pending *pending = lease_pending_take(worker);
    if (pending == NULL)
        return false;
    pending->ask = ask;
    if (!is_open)
        park(pending);
    else if (!send_ask(pending)) {
        lease_pending_return(pending);
        return false;
    }
    return true;
}

/* Decide without the store what was never sent. */
static void give_up(struct lease_pending *pending)
{
    lease_local_decide(pending->worker, pending->ask);
    ask_done(pending);
    lease_pending_return(pending);
}

/* The first handshake has ended, well or not. */
static void leave_parking(struct lease_worker *worker)
{
    while (!list_is_empty(&worker->parked)) {
        struct lease_pending *pending = LIST_OF(worker->parked.next, struct lease_pending, node);
        unpark(pending);
        if (!store_redis_link_is_open(worker->link) || !send_ask(pending))
            give_up(pending);
    }
}

/* ---- refused lately ---- */

static void read_other(const struct lease_cell *cell, struct quota_charge *charge, uint64_t now_us,
                       bool may_refuse)
{
    const struct quota *quota = charge->quota;
    for (unsigned w = 0; w < quota->limit_count; w++) {
        struct quota_terms terms = quota_terms_of(quota, w, cell->extra, 1);
        struct quota_state state = {0};
        if (cell->windows[0].period_s != 0)
            state = lease_cell_state(cell, quota, w);
        quota_state_settle(&terms, &state, now_us);
        bool is_refused = may_refuse && !quota_state_has_room(&terms, &state, now_us, charge->cost);
        quota_state_tell(&terms, &state, now_us, charge->cost, is_refused, charge, w);
    }
}

bool lease_read_cell(struct lease_worker *worker, struct quota_charge *charge, uint64_t now_us)
{
    uint64_t now_s = now_us / 1000000;
    struct store_cell *held = lease_table_find(&worker->lease->table, charge->key);
    charge->is_charged = charge->is_degraded = charge->is_skipped = false;
    charge->source = QUOTA_SOURCE_LEASE;
    if (held == NULL && charge->quota->algorithm != QUOTA_FIXED) {
        const struct lease_cell blank = {0};
        read_other(&blank, charge, now_us, false);
        return false;
    }
    if (held == NULL) {
        for (unsigned w = 0; w < charge->quota->limit_count; w++)
            charge->readings[w] = (struct quota_reading){
                .start_s = quota_window_start(charge->quota->limits[w].period_s, now_s),
                .limit = charge->quota->limits[w].limit,
            };
        return false;
    }
    struct lease_cell *cell = store_cell_body(held);
    lease_cell_settle(cell, charge->quota, now_s);
    bool is_refused = lease_cell_refuses(cell, charge->quota, charge->cost, worker->loop->mono_us);
    if (charge->quota->algorithm != QUOTA_FIXED) {
        read_other(cell, charge, now_us, is_refused);
        store_cell_unlock(held);
        return is_refused;
    }
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        const struct lease_window *window = &cell->windows[w];
        uint32_t limit = lease_limit(cell, charge->quota->limits[w].limit);
        charge->readings[w] = (struct quota_reading){
            .start_s = window->start_s,
            .used = window->seen,
            .limit = limit,
            .refused = is_refused && (uint64_t)window->seen + charge->cost > limit,
        };
    }
    store_cell_unlock(held);
    return is_refused;
}

/* A flood over the limit costs the store nothing. */
bool lease_is_refused_lately(struct lease_worker *worker, struct lease_ask *ask)
{
    uint64_t now_us = lease_now_us(worker->lease, worker->loop);
    bool is_refused = false;
    for (unsigned i = 0; i < ask->count; i++)
        is_refused |= lease_read_cell(worker, &ask->charges[i], now_us);
    if (is_refused)
        lease_tell(ask, now_us);
    return is_refused;
}

static void decide_in_memory(struct lease_worker *worker, struct lease_ask *ask)
{
    unsigned overflowed = 0;
    if (ask->has_gates && lease_gate_refuses_in_memory(worker, ask))
        return;
    store_memory_charge(worker->lease->memory, ask->charges, ask->count, worker->loop->wall_us,
                        &overflowed);
    for (unsigned i = 0; i < ask->count; i++) {
        ask->charges[i].is_degraded = ask->charges[i].is_skipped = false;
        ask->charges[i].source = QUOTA_SOURCE_STORE;
    }
    if (overflowed != 0)
        metrics_add(worker->loop->metrics, METRICS_STORE_OVERFLOW, overflowed);
    lease_tell(ask, worker->loop->wall_us);
}

bool lease_decide(struct lease_worker *worker, struct lease_ask *ask)
{
    ask->pending = NULL;
    ask->asked_at_us = ask->since_us != 0 ? ask->since_us : worker->loop->mono_us;
    if (ask->hold == NULL && ask->count != 0 && worker->lease->memory != NULL) {
        decide_in_memory(worker, ask); /* the usual case; fills the decision */
        return true;
    }
    ask->decision = (struct quota_decision){.verdict = QUOTA_NONE};
    if (ask->hold != NULL)
        return lease_hold_decide(worker, ask);
    return lease_decide_charges(worker, ask);
}

bool lease_decide_charges(struct lease_worker *worker, struct lease_ask *ask)
{
    if (ask->count == 0)
        return true;
    if (worker->lease->memory != NULL) {
        decide_in_memory(worker, ask);
        return true;
    }
    if (lease_is_refused_lately(worker, ask))
        return true;
    if (ask_store(worker, ask))
        return false;
    lease_local_decide(worker, ask);
    return true;
}

/* ---- not waiting any longer ---- */

/* The ask that has waited longest in a list, if its time is over.  Sets the alarm for it otherwise. */
static struct lease_pending *first_overdue(struct lease_worker *worker, struct list *list)
{
    uint64_t timeout_us = worker->lease->redis->conf.decision_timeout_us;
    if (list_is_empty(list))
        return NULL;
    struct lease_pending *pending = LIST_OF(list->next, struct lease_pending, node);
    assert(pending->ask != NULL); /* who has no ask left waits in no list */
    uint64_t due_us = pending->ask->asked_at_us + timeout_us;
    if (due_us <= worker->loop->mono_us)
        return pending;
    loop_alarm_set(worker->alarm, due_us);
    return NULL;
}

static void on_decision_time(void *arg)
{
    struct lease_worker *worker = arg;
    struct lease_pending *pending;
    store_redis_link_poll(worker->link); /* it may be we who were late */
    while ((pending = first_overdue(worker, &worker->parked)) != NULL) {
        metrics_add(worker->loop->metrics, METRICS_STORE_TIMEOUTS, 1);
        unpark(pending);
        give_up(pending);
    }
    while ((pending = first_overdue(worker, &worker->waiting)) != NULL) {
        decide_late(pending);
    }
}

void lease_cancel(struct lease_worker *worker, struct lease_ask *ask)
{
    struct lease_pending *pending = ask->pending;
    (void)worker;
    if (ask->hold != NULL)
        lease_release(ask->hold);
    if (pending == NULL)
        return;
    ask->pending = NULL;
    pending->ask = NULL;
    if (pending->is_parked) {
        unpark(pending);
        lease_pending_return(pending);
        return;
    }
    list_remove(&pending->node);
    leave_late(pending);
}

/* ---- making ---- */

static void on_change(void *arg, bool is_up)
{
    struct lease_worker *worker = arg;
    leave_parking(worker);
    if (worker->lookups != NULL)
        lease_lookups_on_change(worker->lookups, is_up);
    lease_seats_on_change(worker->seats, is_up);
    if (is_up)
        loop_task_schedule(worker->loop, &worker->settle);
}

struct lease_worker *lease_worker_new(struct lease *lease, struct loop *loop)
{
    struct lease_worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL)
        return NULL;
    worker->lease = lease;
    worker->loop = loop;
    list_init(&worker->waiting);
    list_init(&worker->parked);
    list_init(&worker->spare);
    loop_task_init(&worker->settle, lease_settle_run, worker);
    if (lease->memory != NULL) {
        atomic_fetch_add(&lease->workers, 1);
        metrics_set(loop->metrics, METRICS_STORE_UP, 1);
        return worker;
    }
    worker->debtors = malloc(LEASE_DEBTORS_MAX * sizeof(*worker->debtors));
    worker->alarm = loop_alarm_new(loop, on_decision_time, worker);
    worker->seats = lease_seats_new(worker);
    if (worker->seats != NULL)
        worker->link = store_redis_link_new(lease->redis, loop, on_change, worker);
    if (worker->link != NULL)
        worker->lookups = lease_lookups_new(lease, loop, worker->link);
    if (worker->debtors == NULL || worker->alarm == NULL || worker->lookups == NULL) {
        lease_worker_free(worker);
        return NULL;
    }
    return worker;
}

void lease_worker_free(struct lease_worker *worker)
{
    if (worker == NULL)
        return;
    if (worker->lease->memory != NULL)
        atomic_fetch_sub(&worker->lease->workers, 1);
    lease_seats_leave(worker->seats);
    store_redis_link_free(worker->link);
    lease_lookups_free(worker->lookups);
    lease_seats_free(worker->seats);
    loop_task_cancel(&worker->settle);
    loop_alarm_free(worker->alarm);
    LIST_EACH_SAFE (node, &worker->spare) {
        free(LIST_OF(node, struct lease_pending, node));
    }
    free(worker->debtors);
    free(worker);
}
