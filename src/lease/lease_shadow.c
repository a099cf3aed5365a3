/* SPDX-License-Identifier: Apache-2.0 */
/* lease_shadow.c - quotas that are tried, not enforced.  Takes: a charge.  Gives: the verdict that it would
 * have got, in its quota's metrics and, when it comes in time, to the exchange.  Never: makes anybody
 * wait, decides without the store. */
#include <stdio.h>
#include <string.h>

#include "base/base_fmt_json.h"
#include "lease/lease_private.h"
#include "store/store_memory.h"

static void count(const struct lease_worker *worker, uint32_t slot)
{
    metrics_add(worker->loop->metrics, slot, 1);
}

static void tell(struct lease_worker *worker, struct lease_shadow *shadow, bool is_charged)
{
    const struct quota *quota = shadow->charge.quota;
    shadow->state = is_charged ? LEASE_SHADOW_ALLOW : LEASE_SHADOW_REFUSE;
    count(worker, is_charged ? quota->slot_allow : quota->slot_refuse);
}

static void skip(struct lease_worker *worker, struct lease_shadow *shadow)
{
    shadow->state = LEASE_SHADOW_SKIPPED;
    shadow->charge.is_charged = false;
    shadow->charge.is_skipped = true;
    count(worker, shadow->charge.quota->slot_degraded);
}

/* The request's line was written without it. */
static void tell_refusal(const struct lease_pending *pending)
{
    char json[64 + LEASE_SHADOW_ID + 6 * LEASE_SHADOW_NAME_MAX];
    const struct store_redis *redis = pending->worker->lease->redis;
    bool cut = false, bytes = false;
    if (redis->on_event == NULL)
        return;
    const struct span name = {pending->late_shadow.name, pending->late_shadow.name_len};
    int len = snprintf(json, sizeof(json), "\"event\":\"shadow_refusal\",\"id\":\"%.*s\",\"q\":\"",
                       LEASE_SHADOW_ID, pending->late_shadow.id);
    char *out = fmt_json_text(json + len, json + sizeof(json) - 2, name, &cut, &bytes);
    memcpy(out, "\"", 2);
    redis->on_event(redis->event_arg, json);
}

/* What the response said before the store had answered. */
static int32_t correct_late(const struct lease_pending *pending,
                            const struct store_redis_answer *answer)
{
    struct lease_worker *worker = pending->worker;
    const struct store_redis_claim *claim = &pending->op.claims[0];
    int32_t delta = pending->late_shadow.delta;
    struct store_cell *held =
        delta == 0 ? NULL : lease_table_find(&worker->lease->table, claim->key);
    if (held == NULL)
        return 0;
    struct lease_cell *cell = store_cell_body(held);
    bool is_done = lease_cell_correct_late(cell, claim, &answer->keys[0], delta);
    if (is_done)
        lease_settle_note(worker, claim->key, cell);
    store_cell_unlock(held);
    if (!is_done)
        return 0;
    if (delta < 0)
        metrics_add(worker->loop->metrics, METRICS_QUOTA_REFUNDED, (uint64_t) - (int64_t)delta);
    else
        metrics_add(worker->loop->metrics, METRICS_QUOTA_ADDED, (uint64_t)delta);
    return delta;
}

static void on_answer(struct store_redis_op *op, enum store_answer result,
                      const struct store_redis_answer *answer)
{
    struct lease_pending *pending = (struct lease_pending *)(void *)op;
    struct lease_worker *worker = pending->worker;
    struct lease_shadow *shadow = pending->shadow;
    (void)result;
    if (answer != NULL) {
        lease_learn_clock(worker, answer);
        count(worker,
              answer->granted ? pending->late_shadow.slot_allow : pending->late_shadow.slot_refuse);
    }
    lease_learn(pending, 0, answer);
    int32_t corrected = answer != NULL && answer->granted ? correct_late(pending, answer) : 0;
    if (shadow != NULL) {
        shadow->pending = NULL;
        if (answer == NULL) {
            skip(worker, shadow);
        } else {
            shadow->charge.corrected = corrected;
            shadow->state = answer->granted ? LEASE_SHADOW_ALLOW : LEASE_SHADOW_REFUSE;
        }
    } else if (answer != NULL && !answer->granted) {
        tell_refusal(pending);
    }
    lease_pending_return(pending);
}

static void note_quota(struct lease_pending *pending, const struct lease_shadow *shadow)
{
    const struct quota *quota = shadow->charge.quota;
    size_t len = quota->name.len;
    pending->late_shadow.slot_allow = quota->slot_allow;
    pending->late_shadow.slot_refuse = quota->slot_refuse;
    pending->late_shadow.name_len =
        (unsigned)(len < LEASE_SHADOW_NAME_MAX ? len : LEASE_SHADOW_NAME_MAX);
    memcpy(pending->late_shadow.name, quota->name.ptr, pending->late_shadow.name_len);
    memcpy(pending->late_shadow.id, shadow->id, LEASE_SHADOW_ID);
}

static void claim(struct lease_pending *pending, const struct quota_charge *charge)
{
    struct lease_worker *worker = pending->worker;
    struct lease_held held;
    uint64_t now_s = lease_now_us(worker->lease, worker->loop) / 1000000;
    lease_table_hold_one(&worker->lease->table, charge, now_s, &held);
    if (held.cell != NULL)
        lease_cell_settle(store_cell_body(held.cell), held.quota, now_s);
    lease_claim(pending, &held, held.cost, 0);
    lease_table_let_go(&held, 1);
}

static void ask_store(struct lease_worker *worker, struct lease_shadow *shadow)
{
    struct lease_pending *pending =
        store_redis_route_is_open(worker->route) ? lease_pending_take(worker) : NULL;
    if (pending == NULL) {
        skip(worker, shadow);
        return;
    }
    pending->op.done = on_answer;
    note_quota(pending, shadow);
    pending->late_shadow.delta = 0;
    claim(pending, &shadow->charge);
    pending->late[0].fate = LEASE_LATE_KEEP; /* granted is charged, whoever still waits for it */
    if (store_redis_route_charge(worker->route, &pending->op) == STORE_PENDING) {
        pending->shadow = shadow;
        shadow->pending = pending;
        shadow->state = LEASE_SHADOW_ASKED;
        return;
    }
    lease_learn(pending, 0, NULL);
    lease_pending_return(pending);
    skip(worker, shadow);
}

void lease_shadow_ask(struct lease_worker *worker, struct lease_shadow *shadow)
{
    shadow->pending = NULL;
    if (worker->lease->memory != NULL) {
        unsigned overflowed = 0;
        enum store_answer answer = store_memory_charge(worker->lease->memory, &shadow->charge, 1,
                                                       worker->loop->wall_us, &overflowed);
        if (overflowed != 0)
            metrics_add(worker->loop->metrics, METRICS_STORE_OVERFLOW, overflowed);
        if (answer == STORE_AWAY)
            skip(worker, shadow);
        else
            tell(worker, shadow, answer == STORE_CHARGED);
        return;
    }
    enum lease_found found = lease_spend(worker, &shadow->charge, 1);
    if (found == LEASE_FOUND || found == LEASE_REFUSED)
        tell(worker, shadow, found == LEASE_FOUND);
    else
        ask_store(worker, shadow);
}

void lease_shadow_settle(struct lease_worker *worker, struct lease_shadow *shadow, int32_t delta)
{
    if (shadow->pending != NULL)
        shadow->pending->late_shadow.delta = delta;
    else if (delta != 0)
        shadow->charge.corrected = lease_correct(worker, &shadow->charge, delta);
}

void lease_shadow_leave(struct lease_shadow *shadow)
{
    if (shadow->pending == NULL)
        return;
    shadow->pending->shadow = NULL;
    shadow->pending = NULL;
}
