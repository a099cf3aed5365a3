/* SPDX-License-Identifier: Apache-2.0 */
/* lease_worker.c - the way of one request's question.
 *
 *   lease_decide --held here, or refused lately--> answered at once (lease_spend.c)
 *        |-------the store is away---------------> lease_local.c
 *        |--> parked        while the first handshake of all goes on; then
 *        |--> following     while a lease of its subject is on its way (lease_follow.c); then
 *        `--> in flight --answer-->  done (lease_fetch.c)
 *                 |-----timeout--->  lease_local.c, done; a late grant stands for what was
 *                 |                  admitted here, or is held, or goes back, once
 *                 `-----cancelled->  a late grant is held, or goes back, once */
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
    list_init(&pending->follow);
    memset(pending->followed, 0, sizeof(pending->followed));
    pending->op.count = 0;
    pending->part_count = 0;
    pending->ask = NULL;
    pending->shadow = NULL;
    pending->is_late = pending->is_parked = pending->is_following = pending->is_spoiled = false;
    pending->sendings = 0;
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
    atomic_store_explicit(&lease->has_clock, true, memory_order_release);
    atomic_store_explicit(&lease->table.is_away, false, memory_order_relaxed);
    int64_t ahead_us = (int64_t)(answer->now_us - worker->loop->wall_us);
    if ((ahead_us > CLOCK_TOLERANCE_US || ahead_us < -CLOCK_TOLERANCE_US) &&
        !atomic_exchange(&lease->has_said_clock, true))
        log_warn("the clock of redis is %lld s %s ours; windows follow the clock of redis",
                 (long long)(ahead_us < 0 ? -ahead_us : ahead_us) / 1000000,
                 ahead_us < 0 ? "behind" : "ahead of");
}

void lease_ask_done(struct lease_pending *pending)
{
    struct lease_ask *ask = pending->ask;
    assert(ask != NULL);
    pending->ask = NULL;
    list_remove(&pending->node);
    ask->pending = NULL;
    ask->done(ask, ask->arg);
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
        unsigned k = pending->parts[pending->part_of[i]].claim;
        if (k == LEASE_NO_CLAIM)
            continue;
        if (is_admitted && charge->is_skipped)
            pending->late[k].fate = LEASE_LATE_KEEP;
        else if (is_admitted && charge->is_charged && charge->is_degraded)
            pending->late[k].fate = LEASE_LATE_LOCAL;
        for (unsigned w = 0; w < charge->quota->limit_count; w++)
            pending->late[k].starts[quota_limit_place(charge->quota, w)] =
                charge->readings[w].start_s;
    }
}

/* The answer is not waited for any longer, or came too late. */
void lease_decide_late(struct lease_pending *pending)
{
    metrics_add(pending->worker->loop->metrics, METRICS_STORE_TIMEOUTS, 1);
    lease_put_back(pending);
    lease_local_decide(pending->worker, pending->ask);
    note_fates(pending);
    leave_late(pending);
    lease_ask_done(pending);
}

/* ---- asking ---- */

/* Who has waited before, for its tier, its project or its slots, is due earlier. */
static bool is_due_later(const struct list *one, const struct list *other)
{
    return LIST_OF(one, struct lease_pending, node)->ask->asked_at_us >
           LIST_OF(other, struct lease_pending, node)->ask->asked_at_us;
}

static void wait_in(struct lease_pending *pending, struct list *list)
{
    struct lease_worker *worker = pending->worker;
    uint64_t timeout_us = worker->lease->redis->conf.decision_timeout_us;
    pending->ask->pending = pending;
    list_push_ordered(list, &pending->node, is_due_later);
    if (list->next == &pending->node)
        loop_alarm_set(worker->alarm, pending->ask->asked_at_us + timeout_us);
}

/* Who looked again waits on where it stands. */
void lease_wait(struct lease_pending *pending)
{
    if (list_is_empty(&pending->node))
        wait_in(pending, &pending->worker->waiting);
}

static void park(struct lease_pending *pending)
{
    pending->is_parked = true;
    pending->worker->parked_count++;
    wait_in(pending, &pending->worker->parked);
}

static void unpark(struct lease_pending *pending)
{
    pending->is_parked = false;
    pending->worker->parked_count--;
    list_remove(&pending->node);
}

/* True: decided. */
static bool ask_store(struct lease_worker *worker, struct lease_ask *ask)
{
    bool is_open = store_redis_route_is_open(worker->route);
    bool can_park = store_redis_route_is_starting(worker->route) &&
                    worker->parked_count < STORE_REDIS_INFLIGHT_MAX;
    struct lease_pending *pending = is_open || can_park ? lease_pending_take(worker) : NULL;
    if (pending == NULL) {
        lease_local_decide(worker, ask);
        return true;
    }
    pending->ask = ask;
    if (!is_open) {
        park(pending);
        return false;
    }
    if (!lease_fetch(pending, 0))
        return false;
    pending->ask = NULL;
    lease_pending_return(pending);
    return true;
}

static void unfollow(struct lease_pending *pending)
{
    pending->is_following = false;
    list_remove(&pending->follow);
    list_remove(&pending->node);
}

/* Decide without the store what was never sent. */
static void give_up(struct lease_pending *pending)
{
    lease_local_decide(pending->worker, pending->ask);
    lease_ask_done(pending);
    lease_pending_return(pending);
}

/* The first handshake has ended, well or not. */
static void leave_parking(struct lease_worker *worker)
{
    while (!list_is_empty(&worker->parked)) {
        struct lease_pending *pending = LIST_OF(worker->parked.next, struct lease_pending, node);
        unpark(pending);
        if (!lease_fetch(pending, 0))
            continue;
        lease_ask_done(pending);
        lease_pending_return(pending);
    }
}

/* ---- deciding ---- */

static __attribute__((noinline)) void decide_any_in_memory(struct lease_worker *worker,
                                                           struct lease_ask *ask)
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

static inline void decide_in_memory(struct lease_worker *worker, struct lease_ask *ask)
{
    struct quota_charge *charge = ask->charges;
    const uint64_t now_us = worker->loop->wall_us;
    if (ask->count != 1 || ask->has_gates ||
        !store_memory_charge_known(worker->lease->memory, &worker->hints, charge, now_us)) {
        decide_any_in_memory(worker, ask);
        return;
    }
    charge->is_degraded = charge->is_skipped = false;
    quota_decide_one(&ask->decision, charge, now_us);
}

uint32_t lease_orders(const struct lease_worker *worker)
{
    return worker->lease->memory == NULL ? 0 : store_memory_orders(worker->lease->memory);
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
        decide_any_in_memory(worker, ask);
        return true;
    }
    enum lease_found found = lease_spend(worker, ask->charges, ask->count);
    if (found != LEASE_FOUND && found != LEASE_REFUSED)
        return ask_store(worker, ask);
    lease_tell(ask, lease_now_us(worker->lease, worker->loop));
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
    store_redis_route_poll(worker->route); /* it may be we who were late */
    while ((pending = first_overdue(worker, &worker->parked)) != NULL) {
        metrics_add(worker->loop->metrics, METRICS_STORE_TIMEOUTS, 1);
        unpark(pending);
        give_up(pending);
    }
    while ((pending = first_overdue(worker, &worker->waiting)) != NULL) {
        if (!pending->is_following) {
            lease_decide_late(pending);
            continue;
        }
        metrics_add(worker->loop->metrics, METRICS_STORE_TIMEOUTS, 1);
        unfollow(pending);
        give_up(pending);
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
    if (pending->is_following) {
        unfollow(pending);
        lease_pending_return(pending);
        return;
    }
    lease_put_back(pending);
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
    if (!is_up)
        return;
    lease_anew_begin(worker);
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
    loop_task_init(&worker->send_batch, lease_prefetch_send, worker);
    loop_task_init(&worker->tell_more, lease_anew_step, worker);
    if (lease->memory != NULL) {
        atomic_fetch_add(&lease->workers, 1);
        metrics_set(loop->metrics, METRICS_STORE_UP, 1);
        return worker;
    }
    lease_follow_begin(worker);
    worker->debtors = malloc(LEASE_DEBTORS_MAX * sizeof(*worker->debtors));
    worker->alarm = loop_alarm_new(loop, on_decision_time, worker);
    worker->seats = lease_seats_new(worker);
    if (worker->seats != NULL)
        worker->route = store_redis_route_new(lease->redis, loop, on_change, worker);
    if (worker->route != NULL)
        worker->lookups = lease_lookups_new(lease, loop, worker->route);
    loop_timer_init(&worker->sweep_timer, lease_sweep_on_time, worker);
    bool is_deaf = worker->route != NULL && !atomic_exchange(&lease->has_listener, true);
    if (is_deaf) {
        worker->listener = store_redis_listener_new(lease->redis, loop, worker->route,
                                                    lease_recall_on_news, worker);
        is_deaf = worker->listener == NULL;
        atomic_store(&lease->has_listener, !is_deaf);
    }
    if (is_deaf || worker->debtors == NULL || worker->alarm == NULL || worker->lookups == NULL) {
        lease_worker_free(worker);
        return NULL;
    }
    loop_timer_set(loop, &worker->sweep_timer, loop->mono_us + LOOP_TICK_US);
    return worker;
}

void lease_worker_free(struct lease_worker *worker)
{
    if (worker == NULL)
        return;
    if (worker->lease->memory != NULL)
        atomic_fetch_sub(&worker->lease->workers, 1);
    else
        lease_follow_end(worker);
    if (worker->lease->redis != NULL)
        loop_timer_cancel(&worker->sweep_timer);
    if (worker->listener != NULL)
        atomic_store(&worker->lease->has_listener, false);
    store_redis_listener_free(worker->listener);
    if (worker->batch != NULL)
        lease_prefetch_drop(worker);
    lease_seats_leave(worker->seats);
    store_redis_route_free(worker->route);
    lease_lookups_free(worker->lookups);
    lease_seats_free(worker->seats);
    loop_task_cancel(&worker->settle);
    loop_task_cancel(&worker->send_batch);
    loop_task_cancel(&worker->tell_more);
    loop_alarm_free(worker->alarm);
    LIST_EACH_SAFE (node, &worker->spare) {
        free(LIST_OF(node, struct lease_pending, node));
    }
    free(worker->debtors);
    free(worker);
}
