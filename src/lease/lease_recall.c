/* SPDX-License-Identifier: Apache-2.0 */
/* lease_recall.c - when little is left of a limit, who holds more than it needs at once gives it back; and an
 * operator's order reaches who holds something of its subject.  Takes: news from other proxies, by Redis' channel.  Gives: news to them.  Best effort: a message that is lost costs refusals
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

/* Whoever holds something of the time before spends it no more, and asks what is true now: with leases it might not say
 * a word to Redis for seconds. */
static void take_order(struct lease_worker *worker, const struct store_redis_news *news,
                       struct lease_cell *cell)
{
    lease_cell_order(cell, news->generation, worker->loop->mono_us);
    cell->must_tell = 1;
    lease_settle_note(worker, news->key, cell);
}

static void take_recall(struct lease_worker *worker, const uint8_t key[16], bool is_lost,
                        struct lease_cell *cell)
{
    struct lease *lease = worker->lease;
    (void)lease_policy_may_recall(cell, worker->loop->mono_us); /* it was done just now */
    lease_policy_note(cell, worker->loop->mono_us);
    lease_tokens_trim(cell, lease_policy_keep(cell));
    cell->mark =
        lease_policy_mark(cell, atomic_load_explicit(&lease->round_trip_us, memory_order_relaxed));
    cell->must_tell |= is_lost;
    if (lease_cell_has_debt(cell) || is_lost)
        lease_settle_note(worker, key, cell);
}

void lease_recall_on_news(void *arg, const struct store_redis_news *news)
{
    struct lease_worker *worker = arg;
    struct store_cell *held = lease_table_find(&worker->lease->table, news->key);
    bool is_order = news->kind == STORE_REDIS_NEWS_ORDER;
    metrics_add(worker->loop->metrics,
                is_order ? METRICS_LEASE_ORDERS : METRICS_LEASE_RECALLS_RECEIVED, 1);
    if (held == NULL)
        return;
    if (is_order)
        take_order(worker, news, store_cell_body(held));
    else
        take_recall(worker, news->key, news->kind == STORE_REDIS_NEWS_LOST, store_cell_body(held));
    store_cell_unlock(held);
}
