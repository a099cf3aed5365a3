/* SPDX-License-Identifier: Apache-2.0 */
/* lease_recall.c - when little is left of a limit, who holds more than it needs at once gives it back.  Takes: news
 * from other proxies, by Redis' channel.  Gives: news to them.  Best effort: a message that is lost costs refusals
 * that need not have been, never quota.
 *
 * When a value was lost in Redis (flushed, evicted), whoever sees it first has the others say what they have seen: with
 * leases they might not say a word to Redis for seconds. */
#include "lease/lease_policy.h"
#include "lease/lease_private.h"

void lease_recall_send(struct lease_worker *worker, const uint8_t key[16], bool is_lost)
{
    if (store_redis_route_publish(worker->route, key, is_lost))
        metrics_add(worker->loop->metrics, METRICS_LEASE_RECALLS_SENT, 1);
}

void lease_recall_on_message(void *arg, const uint8_t key[16], bool is_lost)
{
    struct lease_worker *worker = arg;
    struct lease *lease = worker->lease;
    struct store_cell *held = lease_table_find(&lease->table, key);
    metrics_add(worker->loop->metrics, METRICS_LEASE_RECALLS_RECEIVED, 1);
    if (held == NULL)
        return;
    struct lease_cell *cell = store_cell_body(held);
    (void)lease_policy_may_recall(cell, worker->loop->mono_us); /* it was done just now */
    lease_policy_note(cell, worker->loop->mono_us);
    lease_tokens_trim(cell, lease_policy_keep(cell));
    cell->mark =
        lease_policy_mark(cell, atomic_load_explicit(&lease->round_trip_us, memory_order_relaxed));
    cell->must_tell |= is_lost;
    if (lease_cell_has_debt(cell) || is_lost)
        lease_settle_note(worker, key, cell);
    store_cell_unlock(held);
}
