/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_queue.c - which server a request belongs to by its identity, and waiting while all that could serve it are
 * full.  Takes: an exchange at CONNECT.  Gives: a key; a place in the queue of its upstream, until there is room, or it
 * has waited long enough, or its client leaves.  Never: keeps a request that no server could serve. */
#include <limits.h>
#include <string.h>

#include "base/base_clock.h"
#include "base/base_log.h"
#include "exchange/exchange_private.h"

/* Owner: the exchange, in its arena.  Thread: the worker's. */
struct exchange_waiting {
    struct upstream_waiter waiter;
    struct upstream_pool *pool; /* of the exchange's snapshot */
    struct loop_timer timer;
};

/* A subject that others share is nobody's, and all of them at one server would be too many. */
bool exchange_hash_key(struct exchange *x, uint64_t *key)
{
    struct exchange_subject *subject = exchange_subject(x, (uint16_t)x->route->hash_identity);
    if (subject->result != IDENTITY_FOUND || subject->value.is_shared ||
        !exchange_subject_mark(x, subject))
        return false;
    memcpy(key, subject->mark.mac, sizeof(*key));
    return true;
}

static void waiting_on_ready(void *arg)
{
    exchange_run(arg);
}

static void waiting_on_timer(void *arg)
{
    struct exchange *x = arg;
    const struct upstream_conf *conf = x->waiting->pool->conf;
    log_warn("upstream %.*s: no server had room in time", (int)conf->name.len, conf->name.ptr);
    exchange_stop(x, END_QUEUE_TIMEOUT);
}

bool exchange_wait_in_line(struct exchange *x)
{
    struct upstream_pool *pool = x->snapshot->pools[x->route->upstream];
    struct loop *loop = x->env->loop;
    struct exchange_waiting *waiting = arena_take(&x->arena, sizeof(*waiting));
    x->end = END_SHED;
    if (waiting == NULL)
        return false;
    x->end = END_QUEUE_FULL;
    /* Who was called, and found a server that does not work after all, has its place still. */
    const bool is_first = x->queue_us == 0;
    const unsigned max = is_first ? pool->conf->queue_max : UINT_MAX;
    /* Not the turn's clock: another worker's turn may have begun later, and its request come earlier. */
    const uint64_t since_us = is_first ? clock_mono_us() : x->connect_us;
    if (!upstream_wait(pool, &waiting->waiter, since_us, max, waiting_on_ready, x)) {
        metrics_add(loop->metrics, METRICS_UPSTREAM_QUEUE_FULL, 1);
        log_warn("upstream %.*s: every server is full, and so is the queue",
                 (int)pool->conf->name.len, pool->conf->name.ptr);
        return false;
    }
    x->end = END_OK;
    x->waiting = waiting;
    waiting->pool = pool;
    loop_timer_init(&waiting->timer, waiting_on_timer, x);
    loop_timer_set(loop, &waiting->timer, x->connect_us + pool->conf->queue_timeout_us);
    return true;
}

struct upstream_waiter *exchange_waiter(const struct exchange *x)
{
    return &x->waiting->waiter;
}

void exchange_wait_is_over(struct exchange *x, bool is_served)
{
    struct exchange_waiting *waiting = x->waiting;
    struct loop *loop = x->env->loop;
    enum metrics_id how = METRICS_UPSTREAM_QUEUE_LEFT;
    if (is_served)
        how = METRICS_UPSTREAM_QUEUE_SERVED;
    else if (x->end == END_QUEUE_TIMEOUT)
        how = METRICS_UPSTREAM_QUEUE_TIMEOUT;
    x->waiting = NULL;
    x->queue_us = loop->mono_us - x->connect_us;
    x->queue_us += x->queue_us == 0; /* that there was a wait shows */
    metrics_add(loop->metrics, how, 1);
    loop_timer_cancel(&waiting->timer);
    upstream_wait_no_more(waiting->pool, &waiting->waiter);
}
