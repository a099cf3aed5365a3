/* SPDX-License-Identifier: Apache-2.0 */
/* lease_sweep.c - leases that are of no more use go back: those that nobody spends, and all of them when the
 * configuration changes or the process leaves.  Takes: the table, a part at a time.  Gives: debts for lease_settle.c.
 * Any worker walks; one at a time. */
#include "base/base_clock.h"
#include "lease/lease_private.h"

#define PARTS    32 /* of the table, one each LOOP_TICK_US: the whole within 8 s */
#define LEAVE_US 1000000

/* True: it owes something. */
static bool look_at(struct lease_worker *worker, struct store_cell *held, bool is_all)
{
    struct lease_cell *cell = store_cell_body(held);
    uint64_t now_s = lease_now_us(worker->lease, worker->loop) / 1000000;
    uint64_t mono_us = worker->loop->mono_us;
    bool is_over = cell->held != 0 && mono_us >= cell->held_until_us;
    bool is_idle = cell->touched_s + (uint64_t)LEASE_UNUSED_S <= now_s;
    if (cell->held != 0 && (is_all || is_over || is_idle))
        lease_tokens_release(cell);
    bool has_debt = lease_cell_has_debt(cell);
    if (cell->held != 0 || has_debt)
        lease_sweep_note(worker->lease);
    if (!has_debt)
        return false;
    uint8_t key[16];
    store_cell_key(held, key);
    lease_settle_note(worker, key, cell);
    return true;
}

/* Under sweep.lock. */
static void walk(struct lease_worker *worker)
{
    struct lease *lease = worker->lease;
    const struct store_cells *cells = &lease->table.subjects;
    uint64_t until =
        lease->sweep.position + (uint64_t)cells->block_count * STORE_CELLS_WAYS / PARTS + 1;
    unsigned noted = 0;
    if (lease->sweep.position == 0)
        atomic_store(&lease->sweep.is_worth, false); /* what is met on the way says otherwise */
    while (noted < LEASE_DEBTORS_MAX / 2 &&
           (lease->sweep.is_all || lease->sweep.position < until)) {
        struct store_cell *held = store_cells_next(cells, &lease->sweep.position);
        if (held == NULL) {
            lease->sweep.position = 0;
            atomic_store(&lease->sweep.is_all, false);
            return;
        }
        store_cell_lock(cells, held);
        if (store_cells_is_held(cells, held))
            noted += look_at(worker, held, lease->sweep.is_all);
        store_cell_unlock(held);
    }
}

void lease_sweep_step(struct lease_worker *worker)
{
    struct lease *lease = worker->lease;
    bool can_send = store_redis_route_is_open(worker->route) &&
                    worker->debtor_next - worker->debtor_first < LEASE_DEBTORS_MAX / 2;
    if (!can_send || pthread_mutex_trylock(&lease->sweep.lock) != 0)
        return;
    if (lease->sweep.position != 0 || atomic_load(&lease->sweep.is_worth) ||
        atomic_load(&lease->sweep.is_all))
        walk(worker);
    pthread_mutex_unlock(&lease->sweep.lock);
}

void lease_sweep_on_time(void *arg)
{
    struct lease_worker *worker = arg;
    loop_timer_set(worker->loop, &worker->sweep_timer, worker->loop->mono_us + LOOP_TICK_US);
    lease_sweep_step(worker);
    lease_anew_step(worker);
}

void lease_worker_return_all(struct lease_worker *worker)
{
    struct lease *lease = worker->lease;
    if (lease->redis == NULL)
        return;
    pthread_mutex_lock(&lease->sweep.lock);
    lease->sweep.position = 0;
    atomic_store(&lease->sweep.is_all, true);
    walk(worker);
    pthread_mutex_unlock(&lease->sweep.lock);
}

bool lease_worker_leave(struct lease_worker *worker)
{
    if (worker->lease->redis == NULL || !store_redis_route_is_open(worker->route))
        return true;
    if (worker->leaving_at_us == 0) {
        worker->leaving_at_us = worker->loop->mono_us;
        lease_worker_return_all(worker);
    }
    bool is_clear = !atomic_load(&worker->lease->sweep.is_all) && worker->settling == 0 &&
                    worker->debtor_first == worker->debtor_next;
    return is_clear || worker->loop->mono_us - worker->leaving_at_us >= LEAVE_US;
}

void lease_sweep_count(const struct lease *lease, uint64_t *leases, uint64_t *leased)
{
    const struct store_cells *cells = &lease->table.subjects;
    uint64_t position = 0, mono_us = clock_mono_us();
    struct store_cell *held;
    *leases = *leased = 0;
    while ((held = store_cells_next(cells, &position)) != NULL) {
        store_cell_lock(cells, held);
        const struct lease_cell *cell = store_cell_body(held);
        bool is_counted =
            store_cells_is_held(cells, held) && cell->held != 0 && mono_us < cell->held_until_us;
        *leases += is_counted;
        *leased += is_counted ? cell->held : 0;
        store_cell_unlock(held);
    }
}
