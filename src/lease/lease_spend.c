/* SPDX-License-Identifier: Apache-2.0 */
/* lease_spend.c - the hot path over Redis: a request whose tokens are all held here, or that was refused lately.
 * Takes: the charges of one request.  Gives: a verdict, or that the store must be asked.  All or nothing.  Never:
 * sends, waits.
 *
 * The clock is read once more after the tokens were taken: a process that was stopped in between must not spend
 * what belongs to a window that is over. */
#include "base/base_clock.h"
#include "lease/lease_policy.h"
#include "lease/lease_private.h"

static uint32_t capped(uint64_t number)
{
    return number > INT32_MAX ? INT32_MAX : (uint32_t)number;
}

/* What is known to be spent: of what was used in the store that which is held here is not. */
static uint32_t spent_of(const struct lease_cell *cell, const struct lease_window *window)
{
    uint64_t used = lease_window_used(window) + lease_window_owed(window);
    uint32_t held = window->limit != 0 ? cell->held : 0;
    return used > held ? capped(used - held) : 0;
}

/* What the store would have to grant. */
static uint32_t need_of(const struct lease_cell *cell, uint32_t cost)
{
    return cost > cell->held ? cost - cell->held : 0;
}

static void read_other(const struct lease_cell *cell, struct quota_charge *charge, uint32_t cost,
                       uint64_t now_us, bool may_refuse)
{
    const struct quota *quota = charge->quota;
    uint32_t need = need_of(cell, cost);
    for (unsigned w = 0; w < quota->limit_count; w++) {
        struct quota_terms terms = quota_terms_of(quota, w, cell->extra, 1);
        struct quota_state state = {0};
        if (cell->windows[0].period_s != 0)
            state = lease_cell_state(cell, quota, w);
        quota_state_settle(&terms, &state, now_us);
        bool is_refused = may_refuse && !quota_state_has_room(&terms, &state, now_us, need);
        if (quota->algorithm == QUOTA_SLIDING && cell->held != 0)
            state.count -= state.count < cell->held ? state.count : cell->held;
        quota_state_tell(&terms, &state, now_us, charge->cost, is_refused, charge, w);
    }
}

static inline void read_fixed(const struct lease_cell *cell, struct quota_charge *charge,
                              unsigned w)
{
    const struct lease_window *window = &cell->windows[w];
    struct quota_reading *reading = &charge->readings[w];
    uint32_t limit = lease_limit(cell, charge->quota->limits[w].limit);
    uint32_t spent = spent_of(cell, window);
    /* What is held here is never shown as gone, whatever others owe. */
    if (window->limit != 0 && cell->held <= limit && spent > limit - cell->held)
        spent = limit - cell->held;
    reading->start_s = window->start_s;
    reading->used = spent;
    reading->limit = limit;
    reading->refused = false;
}

static void read_blank(struct quota_charge *charge, uint64_t now_us)
{
    static const struct lease_cell blank;
    if (charge->quota->algorithm != QUOTA_FIXED) {
        read_other(&blank, charge, charge->cost, now_us, false);
        return;
    }
    for (unsigned w = 0; w < charge->quota->limit_count; w++)
        charge->readings[w] = (struct quota_reading){
            .start_s = quota_window_start(charge->quota->limits[w].period_s, now_us / 1000000),
            .limit = charge->quota->limits[w].limit,
        };
}

void lease_read(const struct lease_cell *cell, struct quota_charge *charge, uint32_t cost,
                uint64_t now_us, bool may_refuse)
{
    charge->is_charged = charge->is_degraded = charge->is_skipped = false;
    charge->source = QUOTA_SOURCE_LEASE;
    if (cell == NULL) {
        read_blank(charge, now_us);
        return;
    }
    if (charge->quota->algorithm != QUOTA_FIXED) {
        read_other(cell, charge, cost, now_us, may_refuse);
        return;
    }
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        const struct lease_window *window = &cell->windows[w];
        read_fixed(cell, charge, w);
        charge->readings[w].refused =
            may_refuse &&
            (uint64_t)lease_window_used(window) + need_of(cell, cost) > charge->readings[w].limit;
    }
}

enum lease_found lease_look(struct lease_worker *worker, struct lease_held *held, uint64_t mono_us)
{
    if (held->cell == NULL)
        return LEASE_MISSING;
    struct lease_cell *cell = store_cell_body(held->cell);
    if (!lease_is_leased(held->quota))
        lease_tokens_release(cell); /* it was, before a reload */
    uint32_t there = lease_tokens_held(cell, mono_us);
    if (there != 0 && there >= held->cost)
        return LEASE_FOUND;
    if (lease_cell_has_debt(cell))
        lease_settle_note(worker, held->key, cell);
    if (lease_cell_refuses(cell, held->quota, held->cost - there, mono_us))
        return LEASE_REFUSED;
    bool may_wait = worker->desk < LEASE_WORKERS_MAX && lease_is_leased(held->quota);
    return may_wait && cell->asking != 0 ? LEASE_COMING : LEASE_MISSING;
}

bool lease_take(struct lease_held *held, unsigned count)
{
    bool is_late = false;
    for (unsigned h = 0; h < count; h++) {
        struct lease_cell *cell = store_cell_body(held[h].cell);
        cell->held -= held[h].cost;
        cell->spent += held[h].cost;
    }
    uint64_t mono_us = clock_mono_us();
    for (unsigned h = 0; h < count; h++) {
        const struct lease_cell *cell = store_cell_body(held[h].cell);
        is_late |= mono_us >= cell->held_until_us;
    }
    for (unsigned h = 0; h < count && is_late; h++) {
        struct lease_cell *cell = store_cell_body(held[h].cell);
        cell->held += held[h].cost;
        cell->spent -= held[h].cost;
    }
    return !is_late;
}

/* Of all keys: refused beats all, then coming, then missing. */
static enum lease_found look_all(struct lease_worker *worker, struct lease_held *held,
                                 unsigned count, uint64_t now_us, uint64_t mono_us)
{
    static const uint8_t ranks[] = {
        [LEASE_FOUND] = 0, [LEASE_MISSING] = 1, [LEASE_COMING] = 2, [LEASE_REFUSED] = 3};
    enum lease_found found = LEASE_FOUND;
    for (unsigned h = 0; h < count; h++) {
        if (held[h].cell != NULL)
            lease_cell_settle(store_cell_body(held[h].cell), held[h].quota, now_us / 1000000);
        enum lease_found one = lease_look(worker, &held[h], mono_us);
        if (ranks[one] > ranks[found])
            found = one;
    }
    return found;
}

/* Few are left, and the store has not been asked for more. */
static bool wants_more(const struct lease_worker *worker, const struct lease_held *held)
{
    const struct lease_cell *cell = store_cell_body(held->cell);
    return cell->held <= cell->mark && cell->mark != 0 && cell->asking == 0 &&
           worker->loop->mono_us >= cell->refused_until_us;
}

/* Fill the charges.  False: none of them says why it was refused, which is no refusal. */
static bool read_all(struct lease_worker *worker, struct quota_charge *charges, unsigned count,
                     const struct lease_held *held, const uint8_t *held_of, bool is_refused)
{
    uint64_t now_us = lease_now_us(worker->lease, worker->loop);
    bool has_reason = false;
    for (unsigned i = 0; i < count; i++) {
        const struct lease_held *own = &held[held_of[i]];
        const struct lease_cell *cell = own->cell == NULL ? NULL : store_cell_body(own->cell);
        bool may_refuse =
            is_refused && cell != NULL && worker->loop->mono_us < cell->refused_until_us;
        lease_read(cell, &charges[i], own->cost, now_us, may_refuse);
        charges[i].is_charged = !is_refused;
        for (unsigned w = 0; w < charges[i].quota->limit_count && may_refuse; w++)
            has_reason |= charges[i].readings[w].refused;
    }
    return has_reason || !is_refused;
}

enum lease_found lease_spend_held(struct lease_worker *worker, struct quota_charge *charges,
                                  unsigned count, struct lease_held *held, unsigned held_count,
                                  const uint8_t *held_of, uint64_t mono_us)
{
    uint64_t now_us = lease_now_us(worker->lease, worker->loop);
    enum lease_found found = look_all(worker, held, held_count, now_us, mono_us);
    if (found == LEASE_FOUND && !lease_take(held, held_count))
        found = LEASE_MISSING;
    if (found != LEASE_FOUND && found != LEASE_REFUSED)
        return found;
    return read_all(worker, charges, count, held, held_of, found == LEASE_REFUSED) ? found
                                                                                   : LEASE_MISSING;
}

bool lease_is_refused_lately(struct lease_worker *worker, struct lease_ask *ask)
{
    struct lease_held held[QUOTA_MAX_PER_ROUTE];
    uint8_t held_of[QUOTA_MAX_PER_ROUTE];
    uint64_t now_us = lease_now_us(worker->lease, worker->loop);
    unsigned held_count = lease_table_hold(&worker->lease->table, ask->charges, ask->count, NULL,
                                           false, now_us / 1000000, held, held_of);
    bool is_refused =
        look_all(worker, held, held_count, now_us, worker->loop->mono_us) == LEASE_REFUSED &&
        read_all(worker, ask->charges, ask->count, held, held_of, true);
    lease_table_let_go(held, held_count);
    if (is_refused)
        lease_tell(ask, now_us);
    return is_refused;
}

/* Under the cell's lock: one charge that takes some of many. */
static bool spend_plenty(struct lease_worker *worker, struct lease_cell *cell,
                         struct quota_charge *charge)
{
    const struct quota *quota = charge->quota;
    uint64_t now_s = lease_now_us(worker->lease, worker->loop) / 1000000;
    uint64_t more = (uint64_t)cell->mark + charge->cost;
    if (cell->held <= more || worker->loop->mono_us >= cell->held_until_us ||
        !lease_tokens_fit(cell, quota, now_s))
        return false;
    cell->touched_s = (uint32_t)now_s;
    cell->held -= charge->cost;
    if (clock_mono_us() >= cell->held_until_us) {
        cell->held += charge->cost;
        return false;
    }
    cell->spent += charge->cost;
    charge->is_charged = true;
    charge->is_degraded = charge->is_skipped = false;
    charge->source = QUOTA_SOURCE_LEASE;
    for (unsigned w = 0; w < quota->limit_count; w++)
        read_fixed(cell, charge, w);
    return true;
}

/* The usual case: one charge, and more than enough is held.  False: nothing was done. */
static bool spend_one(struct lease_worker *worker, struct quota_charge *charge)
{
    const struct store_cells *cells = &worker->lease->table.subjects;
    if (charge->quota->accuracy != QUOTA_LEASED || charge->quota->algorithm != QUOTA_FIXED)
        return false;
    struct store_cell *held =
        store_cells_find(cells, charge->key, store_cells_hash(cells, charge->key));
    if (held == NULL)
        return false;
    store_cell_lock(cells, held);
    bool is_spent =
        store_cell_has(held, charge->key) && spend_plenty(worker, store_cell_body(held), charge);
    store_cell_unlock(held);
    return is_spent;
}

enum lease_found lease_spend(struct lease_worker *worker, struct quota_charge *charges,
                             unsigned count)
{
    if (count == 1 && spend_one(worker, charges)) {
        metrics_add(worker->loop->metrics, METRICS_LEASE_SPENT, 1);
        return LEASE_FOUND;
    }
    struct lease_held held[QUOTA_MAX_PER_ROUTE];
    uint8_t held_of[QUOTA_MAX_PER_ROUTE], more = 0;
    uint64_t now_s = lease_now_us(worker->lease, worker->loop) / 1000000;
    unsigned held_count =
        lease_table_hold(&worker->lease->table, charges, count, NULL, false, now_s, held, held_of);
    enum lease_found found =
        lease_spend_held(worker, charges, count, held, held_count, held_of, worker->loop->mono_us);
    for (unsigned i = 0; i < count && found == LEASE_FOUND; i++) {
        if (wants_more(worker, &held[held_of[i]]))
            more |= (uint8_t)(1U << i);
    }
    lease_table_let_go(held, held_count);
    if (found == LEASE_FOUND)
        metrics_add(worker->loop->metrics, METRICS_LEASE_SPENT, 1);
    for (unsigned i = 0; more >> i != 0; i++) {
        if ((more & 1U << i) != 0)
            lease_prefetch(worker, &charges[i]);
    }
    return found;
}
