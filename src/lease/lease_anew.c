/* SPDX-License-Identifier: Apache-2.0 */
/* lease_anew.c - a server that has taken over, or was started again, may have lost what it granted last.  Takes: news that
 * it is connected.  Gives: what this process has seen of every subject, told to it (lease_settle.c); and for a while no claim that
 * wants something: the other proxies need that long to be there and tell what they have seen. */
#include "lease/lease_private.h"

/* Sentinels and nodes are asked ten times a second, and hear of each other's news in about a tenth; as much again to
 * connect and for a busy machine.  Where servers are only tried in turn, each waits for its own next attempt. */
#define ANEW_FOUND_US 400000
#define ANEW_TRIED_US 500000
#define SAME_US       100000 /* workers find the same server within this */
#define LOOKS_MAX     8192 /* subjects looked at in a turn of the loop, which has others to serve */

uint64_t lease_anew_wait_us(const struct store_redis *redis)
{
    return redis->conf.topology == STORE_REDIS_STANDALONE ? ANEW_TRIED_US : ANEW_FOUND_US;
}

static bool is_wanting(const struct store_redis_claim *claim)
{
    return claim->cost != 0 || claim->want != 0;
}

bool lease_anew_holds(const struct lease_worker *worker, const struct store_redis_op *op)
{
    const struct store_redis *redis = worker->lease->redis;
    if (redis->conf.fleet_size < 2 && !atomic_load(&redis->has_company))
        return false; /* nobody else knows more */
    for (unsigned k = 0; k < op->count; k++) {
        uint64_t since_us = store_redis_route_anew_at_us(worker->route, op->claims[k].key);
        if (since_us != 0 && worker->loop->mono_us < since_us + lease_anew_wait_us(redis) &&
            is_wanting(&op->claims[k]))
            return true;
    }
    return false;
}

void lease_anew_begin(struct lease_worker *worker)
{
    struct lease *lease = worker->lease;
    uint64_t since_us = store_redis_route_newest_us(worker->route);
    if (since_us == 0 || since_us < atomic_load(&lease->anew.since_us) + SAME_US)
        return;
    pthread_mutex_lock(&lease->anew.lock);
    lease->anew.position = 0;
    atomic_store(&lease->anew.since_us, since_us);
    atomic_store(&lease->anew.is_telling, true);
    pthread_mutex_unlock(&lease->anew.lock);
    lease_anew_step(worker);
}

/* Under anew.lock. */
static void tell_some(struct lease_worker *worker)
{
    struct lease *lease = worker->lease;
    const struct store_cells *cells = &lease->table.subjects;
    uint64_t now_s = lease_now_us(lease, worker->loop) / 1000000;
    unsigned noted = 0;
    for (unsigned looks = 0; looks < LOOKS_MAX && noted < LEASE_DEBTORS_MAX / 2; looks++) {
        struct store_cell *held = store_cells_next(cells, &lease->anew.position);
        uint8_t key[16];
        if (held == NULL) {
            atomic_store(&lease->anew.is_telling, false);
            return;
        }
        store_cell_lock(cells, held);
        struct lease_cell *cell = store_cell_body(held);
        if (store_cells_is_held(cells, held) && lease_cell_has_seen(cell, now_s)) {
            store_cell_key(held, key);
            cell->must_tell = 1;
            lease_settle_note(worker, key, cell);
            noted++;
        }
        store_cell_unlock(held);
    }
    if (noted < LEASE_DEBTORS_MAX / 2) /* else it goes on when these are settled */
        loop_task_schedule(worker->loop, &worker->tell_more);
}

void lease_anew_step(void *arg)
{
    struct lease_worker *worker = arg;
    struct lease *lease = worker->lease;
    bool can_send = store_redis_route_is_open(worker->route) &&
                    worker->debtor_next - worker->debtor_first < LEASE_DEBTORS_MAX / 2;
    if (!atomic_load_explicit(&lease->anew.is_telling, memory_order_relaxed) || !can_send ||
        pthread_mutex_trylock(&lease->anew.lock) != 0)
        return;
    if (atomic_load(&lease->anew.is_telling))
        tell_some(worker);
    pthread_mutex_unlock(&lease->anew.lock);
}
