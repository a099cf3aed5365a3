/* SPDX-License-Identifier: Apache-2.0 */
/* lease_local.c - a decision while the store is away, by each quota's on_failure.  Takes: a request and
 * what the cells know.  Gives: a verdict, at once.  All or nothing here too.
 *
 * local: of what was left when the store was last seen, and of the whole limit in later windows, this
 * process admits floor(left / proxies).  The number of proxies is the larger of those seen alive last and
 * of fleet_size: a proxy that starts during the outage knows only the latter, and the shares of all
 * together must not pass the limit. */
#include "lease/lease_private.h"

#define UNAVAILABLE_RETRY_S 5

uint32_t lease_proxies(const struct lease *lease)
{
    uint32_t seen = atomic_load(&lease->redis->fleet);
    uint32_t stated = lease->redis->conf.fleet_size;
    return seen > stated ? seen : stated;
}

static void clear_charge(struct quota_charge *charge)
{
    charge->is_charged = false;
    charge->is_degraded = true;
    charge->is_skipped = false;
    charge->source = QUOTA_SOURCE_LOCAL;
    for (unsigned w = 0; w < QUOTA_WINDOWS_MAX; w++)
        charge->readings[w] = (struct quota_reading){0};
    for (unsigned w = 0; w < QUOTA_WINDOWS_MAX; w++)
        charge->outlooks[w] = (struct quota_outlook){0};
}

void lease_decide_unavailable(struct loop *loop, struct lease_ask *ask)
{
    ask->decision = (struct quota_decision){
        .verdict = QUOTA_UNAVAILABLE,
        .retry_after_s = 1 + (uint32_t)rng_below(&loop->rng, UNAVAILABLE_RETRY_S),
    };
}

static uint32_t capped(uint64_t number)
{
    return number > INT32_MAX ? INT32_MAX : (uint32_t)number;
}

/* What is left of a sliding quota counts the others' last window as if it had been like ours. */
static void look_sliding(const struct lease_held *held, struct quota_charge *charge, unsigned w,
                         uint32_t count, uint64_t now_us)
{
    const struct lease_cell *cell = store_cell_body(held->cell);
    const struct lease_window *window = &cell->windows[quota_limit_place(charge->quota, w)];
    struct quota_terms terms = quota_terms_of(charge->quota, w, cell->extra, 1);
    struct quota_state state = lease_cell_state(cell, charge->quota, w);
    state.before = capped(state.before + lease_window_owed(window + 1) * count);
    quota_state_settle(&terms, &state, now_us);
    uint32_t used = quota_state_used(&terms, &state, now_us);
    uint32_t share = used >= terms.limit ? 0 : (terms.limit - used) / count;
    uint64_t owed = lease_window_owed(window);
    charge->readings[w] = (struct quota_reading){
        .start_s = window->start_s,
        .used = owed < share ? (uint32_t)owed : share,
        .limit = share,
        .refused = owed + held->cost > share,
    };
    charge->outlooks[w] = (struct quota_outlook){
        .left = share - charge->readings[w].used,
        .end_us = ((uint64_t)window->start_s + terms.period_s) * 1000000,
    };
}

/* A bucket is drained as if every proxy did what this one does. */
static void look_bucket(const struct lease_held *held, struct quota_charge *charge, unsigned w,
                        uint32_t count, uint64_t now_us)
{
    const struct lease_cell *cell = store_cell_body(held->cell);
    struct quota_terms terms = quota_terms_of(charge->quota, w, cell->extra, 1);
    struct quota_state state = lease_cell_state(cell, charge->quota, w);
    uint64_t cost = (uint64_t)held->cost * count;
    quota_state_settle(&terms, &state, now_us);
    bool is_refused = !quota_state_has_room(&terms, &state, now_us, cost);
    quota_state_tell(&terms, &state, now_us, cost, is_refused, charge, w);
    charge->readings[w].limit /= count;
    charge->readings[w].used /= count;
    charge->outlooks[w].left /= count;
}

bool lease_local_look(const struct lease_held *held, struct quota_charge *charge, uint32_t count,
                      uint64_t now_us)
{
    const struct lease_cell *cell = store_cell_body(held->cell);
    bool has_room = true;
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        if (charge->quota->algorithm != QUOTA_FIXED) {
            if (charge->quota->algorithm == QUOTA_BUCKET)
                look_bucket(held, charge, w, count, now_us);
            else
                look_sliding(held, charge, w, count, now_us);
            has_room = has_room && !charge->readings[w].refused;
            continue;
        }
        const struct lease_window *window = &cell->windows[w];
        uint32_t share = lease_cell_share(cell, w, charge->quota->limits[w].limit, count);
        uint64_t owed = lease_window_owed(window);
        charge->readings[w] = (struct quota_reading){
            .start_s = window->start_s,
            .used = owed < share ? (uint32_t)owed : share,
            .limit = share,
            .refused = owed + held->cost > share,
        };
        has_room = has_room && !charge->readings[w].refused;
    }
    return has_room;
}

static void charge_cell(struct lease_worker *worker, const struct lease_held *held, uint32_t count,
                        uint64_t now_us)
{
    struct lease_cell *cell = store_cell_body(held->cell);
    for (unsigned w = 0; w < held->quota->limit_count; w++) {
        struct lease_window *window = &cell->windows[quota_limit_place(held->quota, w)];
        window->local = capped((uint64_t)window->local + held->cost);
        if (held->quota->algorithm != QUOTA_BUCKET)
            continue;
        struct quota_terms terms = quota_terms_of(held->quota, w, cell->extra, 1);
        struct quota_state state = lease_cell_state(cell, held->quota, w);
        quota_state_settle(&terms, &state, now_us);
        quota_state_take(&terms, &state, now_us, (uint64_t)held->cost * count);
        window->start_s = state.at_s;
        window->seen = state.count;
    }
    if (!held->is_overflow)
        lease_settle_note(worker, held->key, cell);
    else
        metrics_add(worker->loop->metrics, METRICS_STORE_OVERFLOW, 1);
}

/* Under the locks of all cells.  True: admitted. */
static bool charge_all(struct lease_worker *worker, struct lease_ask *ask, const bool *wanted,
                       struct lease_held *held, unsigned held_count, const uint8_t *held_of)
{
    uint64_t now_us = lease_now_us(worker->lease, worker->loop);
    uint32_t count = lease_proxies(worker->lease);
    bool has_room = true;
    for (unsigned h = 0; h < held_count; h++)
        lease_cell_settle(store_cell_body(held[h].cell), held[h].quota, now_us / 1000000);
    for (unsigned i = 0; i < ask->count; i++) {
        if (wanted[i])
            has_room &= lease_local_look(&held[held_of[i]], &ask->charges[i], count, now_us);
    }
    if (!has_room)
        return false;
    for (unsigned h = 0; h < held_count; h++)
        charge_cell(worker, &held[h], count, now_us);
    for (unsigned i = 0; i < ask->count; i++) {
        struct quota_charge *charge = &ask->charges[i];
        if (!wanted[i])
            continue;
        charge->is_charged = true;
        if (charge->quota->algorithm != QUOTA_FIXED)
            (void)lease_local_look(&held[held_of[i]], charge, count, now_us);
        for (unsigned w = 0; w < charge->quota->limit_count; w++) {
            charge->readings[w].refused = false; /* whether another would pass is not asked */
            if (charge->quota->algorithm == QUOTA_FIXED)
                charge->readings[w].used += held[held_of[i]].cost;
        }
    }
    return true;
}

void lease_local_decide(struct lease_worker *worker, struct lease_ask *ask)
{
    struct lease_held held[QUOTA_MAX_PER_ROUTE];
    uint8_t held_of[QUOTA_MAX_PER_ROUTE];
    bool wanted[QUOTA_MAX_PER_ROUTE] = {false};
    uint64_t now_us = lease_now_us(worker->lease, worker->loop);
    bool knows_fleet = lease_proxies(worker->lease) != 0;
    bool has_deny = false, has_local = false;
    atomic_store_explicit(&worker->lease->table.is_away, true, memory_order_relaxed);

    for (unsigned i = 0; i < ask->count; i++) {
        struct quota_charge *charge = &ask->charges[i];
        clear_charge(charge);
        wanted[i] = charge->quota->on_failure == QUOTA_FAIL_LOCAL;
        charge->is_skipped = charge->quota->on_failure == QUOTA_FAIL_ALLOW;
        has_local |= wanted[i];
        has_deny |= charge->quota->on_failure == QUOTA_FAIL_DENY || (wanted[i] && !knows_fleet);
    }
    if (has_deny) {
        lease_decide_unavailable(worker->loop, ask);
        return;
    }
    if (ask->has_gates &&
        lease_gate_refuses_locally(worker, ask, wanted, lease_proxies(worker->lease)))
        return;
    if (has_local) {
        unsigned held_count = lease_table_hold(&worker->lease->table, ask->charges, ask->count,
                                               wanted, now_us / 1000000, held, held_of);
        if (held_count == 0) {
            lease_decide_unavailable(worker->loop, ask);
            return;
        }
        charge_all(worker, ask, wanted, held, held_count, held_of);
        lease_table_let_go(held, held_count);
    }
    lease_tell(ask, now_us);
}
