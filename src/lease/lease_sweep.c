/* SPDX-License-Identifier: Apache-2.0 */
/* lease_sweep.c - leases that are of no more use go back: those that nobody spends, and all of them when the
 * configuration changes or the process leaves.  Takes: the table, a part at a time.  Gives: debts for lease_settle.c.
 * Any worker walks; one at a time.  A block of the table is looked at when the first of its cells is due, so that the
 * work grows with what ends, not with what is held or with the table. */
#include <stdlib.h>

#include "base/base_clock.h"
#include "lease/lease_private.h"

#define PARTS    8 /* of the blocks, one each tick of the coarse timers: all within 4 s */
#define LEAVE_US 1000000
#define US_PER_S UINT64_C(1000000)

/* ---- what is due when ---- */

bool lease_sweep_init(struct lease *lease)
{
    lease->sweep.due_s = calloc(lease->table.subjects.block_count, sizeof(*lease->sweep.due_s));
    return lease->sweep.due_s != NULL;
}

void lease_sweep_fini(struct lease *lease)
{
    free((void *)lease->sweep.due_s);
    lease->sweep.due_s = NULL;
}

/* The earliest counts.  Whoever looks at the block locks the cell behind us, and so sees why. */
static void note(struct lease *lease, const struct lease_cell *cell, uint64_t at_us)
{
    const struct store_cells *cells = &lease->table.subjects;
    uint32_t block = store_cells_number(cells, store_cell_of(cell)) / STORE_CELLS_WAYS;
    if (block >= cells->block_count)
        return; /* a cell of the overflow holds nothing, and cannot be billed */
    _Atomic uint32_t *due_s = &lease->sweep.due_s[block];
    uint32_t at_s = (uint32_t)(at_us / US_PER_S) + 1;
    uint32_t known_s = atomic_load_explicit(due_s, memory_order_relaxed);
    while ((known_s == 0 || at_s < known_s) &&
           !atomic_compare_exchange_weak_explicit(due_s, &known_s, at_s, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

static void note_until(struct lease *lease, const struct lease_cell *cell, uint64_t unused_at_us)
{
    note(lease, cell, cell->held_until_us < unused_at_us ? cell->held_until_us : unused_at_us);
}

void lease_sweep_note_held(struct lease *lease, const struct lease_cell *cell, uint64_t mono_us)
{
    if (cell->held != 0)
        note_until(lease, cell, mono_us + LEASE_UNUSED_S * US_PER_S);
}

void lease_sweep_note_owed(struct lease *lease, const struct lease_cell *cell)
{
    note(lease, cell, 0);
}

/* ---- looking ---- */

/* True: it owes something. */
static bool look_at(struct lease_worker *worker, struct store_cell *held, bool is_all)
{
    struct lease_cell *cell = store_cell_body(held);
    uint64_t now_s = lease_now_us(worker->lease, worker->loop) / US_PER_S;
    uint64_t mono_us = worker->loop->mono_us;
    uint64_t unused_s = now_s > cell->touched_s ? now_s - cell->touched_s : 0;
    bool is_over = cell->held != 0 && mono_us >= cell->held_until_us;
    bool is_idle = unused_s >= LEASE_UNUSED_S;
    if (cell->held != 0 && (is_all || is_over || is_idle))
        lease_tokens_release(cell);
    if (cell->held != 0)
        note_until(worker->lease, cell, mono_us + (LEASE_UNUSED_S - unused_s) * US_PER_S);
    if (!cell->must_tell && !lease_cell_has_debt(cell))
        return false;
    uint8_t key[16];
    store_cell_key(held, key);
    lease_settle_note(worker, key, cell);
    return true;
}

static bool look_at_held(struct lease_worker *worker, struct store_cell *held, bool is_all)
{
    const struct store_cells *cells = &worker->lease->table.subjects;
    store_cell_lock(cells, held);
    bool is_owing = store_cells_is_held(cells, held) && look_at(worker, held, is_all);
    store_cell_unlock(held);
    return is_owing;
}

/* Under sweep.lock, as what follows.  How many cells there are. */
static unsigned look_at_block(struct lease_worker *worker, uint32_t block, unsigned *noted)
{
    unsigned looks = 0;
    for (unsigned way = 0; way < STORE_CELLS_WAYS; way++) {
        struct store_cell *held = store_cells_held_at(&worker->lease->table.subjects,
                                                      (uint64_t)block * STORE_CELLS_WAYS + way);
        if (held == NULL)
            continue;
        looks++;
        *noted += look_at_held(worker, held, false);
    }
    return looks;
}

static unsigned walk_due(struct lease_worker *worker)
{
    struct lease *lease = worker->lease;
    uint32_t count = lease->table.subjects.block_count;
    uint64_t now_s = worker->loop->mono_us / US_PER_S;
    unsigned noted = 0, looks = 0;
    for (uint32_t i = 0; i <= count / PARTS && noted < LEASE_DEBTORS_MAX / 2; i++) {
        uint32_t block = lease->sweep.block;
        _Atomic uint32_t *due_s = &lease->sweep.due_s[block];
        lease->sweep.block = block + 1 == count ? 0 : block + 1;
        uint32_t at_s = atomic_load_explicit(due_s, memory_order_relaxed);
        if (at_s == 0 || at_s > now_s)
            continue;
        atomic_store(due_s, 0); /* what is met there says otherwise */
        looks += look_at_block(worker, block, &noted);
    }
    return looks;
}

static unsigned walk_all(struct lease_worker *worker)
{
    struct lease *lease = worker->lease;
    unsigned noted = 0, looks = 0;
    while (noted < LEASE_DEBTORS_MAX / 2) {
        struct store_cell *held = store_cells_next(&lease->table.subjects, &lease->sweep.position);
        if (held == NULL) {
            atomic_store(&lease->sweep.is_all, false);
            return looks;
        }
        looks++;
        noted += look_at_held(worker, held, true);
    }
    return looks;
}

unsigned lease_sweep_step(struct lease_worker *worker)
{
    struct lease *lease = worker->lease;
    bool can_send = store_redis_route_is_open(worker->route) &&
                    worker->debtor_next - worker->debtor_first < LEASE_DEBTORS_MAX / 2;
    if (!can_send || pthread_mutex_trylock(&lease->sweep.lock) != 0)
        return 0;
    unsigned looks = atomic_load(&lease->sweep.is_all) ? walk_all(worker) : walk_due(worker);
    pthread_mutex_unlock(&lease->sweep.lock);
    return looks;
}

void lease_sweep_on_time(void *arg)
{
    struct lease_worker *worker = arg;
    loop_timer_set(worker->loop, &worker->sweep_timer, worker->loop->mono_us + LOOP_TICK_US);
    (void)lease_sweep_step(worker);
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
    (void)walk_all(worker);
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
