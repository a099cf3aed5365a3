/* SPDX-License-Identifier: Apache-2.0 */
/* lease_local.c - a decision while the store is away, by each quota's on_failure.  Takes: a request and
 * what the cells know.  Gives: a verdict, at once.  All or nothing here too.
 *
 * What is held of leases is spent first, whatever on_failure says: the store has granted it.
 *
 * local: of what was left when the store was last seen, and of the whole limit in later windows, this
 * process admits floor(left / proxies).  The number of proxies is the larger of those seen alive last and
 * of fleet_size: a proxy that starts during the outage knows only the latter, and the shares of all
 * together must not pass the limit. */
#include "base/base_clock.h"
#include "lease/lease_private.h"

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
        .retry_after_s = 1 + (uint32_t)rng_below(&loop->rng, LEASE_UNAVAILABLE_RETRY_S),
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

void lease_local_take(const struct lease_held *held, uint32_t count, uint64_t now_us)
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
}

static void charge_cell(struct lease_worker *worker, const struct lease_held *held, uint32_t count,
                        uint64_t now_us)
{
    lease_local_take(held, count, now_us);
    if (!held->is_overflow)
        lease_settle_note(worker, held->key, store_cell_body(held->cell));
    else
        metrics_add(worker->loop->metrics, METRICS_STORE_OVERFLOW, 1);
}

/* A request while its cells are locked. */
struct decision {
    struct lease_worker *worker;
    struct lease_ask *ask;
    struct lease_held *held; /* QUOTA_MAX_PER_ROUTE */
    uint8_t *held_of;
    unsigned held_count;
    bool wanted[QUOTA_MAX_PER_ROUTE];    /* by charge: it has a cell */
    bool is_leased[QUOTA_MAX_PER_ROUTE]; /* by cell: what is held of a lease is enough */
    uint64_t now_us;
};

static bool is_by_lease(const struct decision *d, unsigned i)
{
    return d->wanted[i] && d->is_leased[d->held_of[i]];
}

static bool is_by_share(const struct decision *d, unsigned i)
{
    return d->ask->charges[i].quota->on_failure == QUOTA_FAIL_LOCAL && !is_by_lease(d, i);
}

/* What was leased before the loss is spent first. */
static void look_for_leases(struct decision *d)
{
    uint64_t mono_us = clock_mono_us();
    for (unsigned h = 0; h < d->held_count; h++) {
        struct lease_cell *cell = store_cell_body(d->held[h].cell);
        lease_cell_settle(cell, d->held[h].quota, d->now_us / 1000000);
        d->is_leased[h] = !d->held[h].is_overflow && lease_is_leased(d->held[h].quota) &&
                          lease_tokens_held(cell, mono_us) != 0 && cell->held >= d->held[h].cost;
    }
}

/* False: one of them is over by now. */
static bool take_leases(struct decision *d)
{
    struct lease_held with[QUOTA_MAX_PER_ROUTE];
    unsigned count = 0;
    for (unsigned h = 0; h < d->held_count; h++) {
        if (d->is_leased[h])
            with[count++] = d->held[h];
    }
    return lease_take(with, count);
}

static bool can_decide(const struct decision *d)
{
    bool knows_fleet = lease_proxies(d->worker->lease) != 0;
    for (unsigned i = 0; i < d->ask->count; i++) {
        bool is_deny = d->ask->charges[i].quota->on_failure == QUOTA_FAIL_DENY;
        if ((is_deny && !is_by_lease(d, i)) || (is_by_share(d, i) && !knows_fleet))
            return false;
    }
    return true;
}

void lease_local_tell(const struct lease_held *held, struct quota_charge *charge, uint32_t count,
                      uint64_t now_us)
{
    charge->is_charged = true;
    if (charge->quota->algorithm != QUOTA_FIXED)
        (void)lease_local_look(held, charge, count, now_us);
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        charge->readings[w].refused = false; /* whether another would pass is not asked */
        if (charge->quota->algorithm == QUOTA_FIXED)
            charge->readings[w].used += held->cost;
    }
}

/* Under the locks of all cells.  False: look again. */
static bool charge_all(struct decision *d)
{
    struct lease_ask *ask = d->ask;
    uint32_t count = lease_proxies(d->worker->lease);
    bool has_room = true;
    for (unsigned i = 0; i < ask->count; i++) {
        if (is_by_share(d, i))
            has_room &=
                lease_local_look(&d->held[d->held_of[i]], &ask->charges[i], count, d->now_us);
        ask->charges[i].is_skipped = !is_by_share(d, i) && !is_by_lease(d, i);
    }
    if (has_room && !take_leases(d))
        return false;
    for (unsigned h = 0; h < d->held_count && has_room; h++) {
        if (!d->is_leased[h] && d->held[h].quota->on_failure == QUOTA_FAIL_LOCAL)
            charge_cell(d->worker, &d->held[h], count, d->now_us);
    }
    for (unsigned i = 0; i < ask->count; i++) {
        if (is_by_lease(d, i)) {
            lease_read(store_cell_body(d->held[d->held_of[i]].cell), &ask->charges[i], 0, d->now_us,
                       false);
            ask->charges[i].is_charged = has_room;
        } else if (is_by_share(d, i) && has_room) {
            lease_local_tell(&d->held[d->held_of[i]], &ask->charges[i], count, d->now_us);
        }
    }
    return true;
}

void lease_local_decide(struct lease_worker *worker, struct lease_ask *ask)
{
    struct lease_held held[QUOTA_MAX_PER_ROUTE];
    uint8_t held_of[QUOTA_MAX_PER_ROUTE] = {0};
    struct decision d = {.worker = worker, .ask = ask, .held = held, .held_of = held_of};
    bool has_wanted = false, is_hopeless = false, is_decided;
    uint32_t count = lease_proxies(worker->lease);
    d.now_us = lease_now_us(worker->lease, worker->loop);
    atomic_store_explicit(&worker->lease->table.is_away, true, memory_order_relaxed);
    for (unsigned i = 0; i < ask->count; i++) {
        struct quota_charge *charge = &ask->charges[i];
        clear_charge(charge);
        bool is_local = charge->quota->on_failure == QUOTA_FAIL_LOCAL;
        bool may_hold = lease_is_leased(charge->quota) && !charge->is_guarded;
        d.wanted[i] = is_local || may_hold;
        has_wanted |= d.wanted[i];
        is_hopeless |=
            !may_hold && (charge->quota->on_failure == QUOTA_FAIL_DENY || (is_local && count == 0));
    }
    if (is_hopeless) {
        lease_decide_unavailable(worker->loop, ask);
        return;
    }
    if (ask->has_gates && count != 0 && lease_gate_refuses_locally(worker, ask, d.wanted, count))
        return;
    if (has_wanted)
        d.held_count = lease_table_hold(&worker->lease->table, ask->charges, ask->count, d.wanted,
                                        true, d.now_us / 1000000, held, held_of);
    is_decided = !has_wanted || d.held_count != 0;
    if (is_decided) {
        do {
            look_for_leases(&d);
            is_decided = can_decide(&d);
        } while (is_decided && !charge_all(&d));
        lease_table_let_go(d.held, d.held_count);
    }
    if (is_decided)
        lease_tell(ask, d.now_us);
    else
        lease_decide_unavailable(worker->loop, ask);
}
