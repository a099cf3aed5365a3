/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_take.c - which server a request is sent to, whether it may be tried once more, and who waits.  Takes: what is known
 * of the servers, the plan.  Gives: connections.  Never decides whether a request may be sent twice. */
#include <errno.h>

#include "upstream/upstream_private.h"

static bool server_is_full(const struct upstream_server *server, uint32_t max)
{
    return max != 0 && server->idle_count == 0 && atomic_load(&server->tally->open) >= max;
}

/* A server that others have brought back begins slowly, as one that answers again does. */
static void server_note_return(struct upstream_server *server, bool is_well, uint64_t now_us)
{
    if (server->was_out && is_well)
        server->back_at_us = now_us;
    server->was_out = !is_well;
}

/* What is true of the servers now. */
static void pool_look(struct upstream_pool *pool, struct upstream_field *field)
{
    const struct upstream_conf *conf = pool->conf;
    const uint64_t now_us = pool->set->loop->mono_us;
    uint64_t well = 0; /* usable, and not only because of a panic */
    uint64_t away = 0; /* by order: not even the last resort */
    *field = (struct upstream_field){.primaries = pool->primaries, .backups = pool->backups};
    for (unsigned i = 0; i < pool->server_count; i++) {
        struct upstream_server *server = pool->servers[i];
        const uint64_t bit = UINT64_C(1) << i;
        const unsigned state = upstream_vital_state(server->vital);
        const bool is_usable = server->down_until_us <= now_us && (state & UPSTREAM_VITAL_OUT) == 0;
        const bool is_well = is_usable && (state & UPSTREAM_VITAL_ILL) == 0;
        away |= (state & UPSTREAM_VITAL_AWAY) != 0 ? bit : 0;
        server_note_return(server, is_well, now_us);
        field->usable |= is_usable ? bit : 0;
        well |= is_well ? bit : 0;
        if (server_is_full(server, conf->servers[i].max_connections))
            field->full |= bit;
        if (conf->slow_start_us != 0)
            pool->candidates[i].weight = upstream_pick_weight(
                conf->servers[i].weight, server->back_at_us, now_us, conf->slow_start_us);
        if (conf->balance == UPSTREAM_LEAST_CONNECTIONS)
            pool->candidates[i].busy = atomic_load(&server->tally->busy);
    }
    field->primaries &= ~away;
    field->backups &= ~away;
    /* A panic is for servers that are too few; where no primary is left, a backup that is well is better. */
    if ((pool->primaries & well) == 0 && (pool->backups & well) != 0)
        field->usable = well;
}

static bool pool_may_retry(struct upstream_pool *pool)
{
    const uint64_t now_us = pool->set->loop->mono_us;
    struct metrics_block *metrics = pool->set->loop->metrics;
    const uint64_t since_us = pool->asked_at_us;
    const uint64_t requests = pool->requests;
    pool->requests = 0;
    pool->asked_at_us = now_us;
    const bool may = upstream_vital_may_retry(pool->servers[0]->vital, &pool->conf->retries,
                                              requests, since_us, now_us);
    metrics_add(metrics, may ? METRICS_UPSTREAM_EXTRA_TRIES : METRICS_UPSTREAM_EXTRA_REFUSED, 1);
    return may;
}

/* A place for one more connection: a free one, or that of a kept one that does not serve. */
static bool server_claim(struct upstream_server *server, uint32_t max)
{
    while (!upstream_tally_claim(server->tally, max))
        if (!upstream_server_close_oldest(server))
            return false;
    return true;
}

static inline void pool_hand_over(const struct upstream_pool *pool, unsigned index,
                                  const struct upstream_want *want, struct upstream_conn *conn,
                                  bool is_extra)
{
    upstream_conn_take_notes(conn, pool, is_extra);
    conn->user = want->user;
    conn->server_name = pool->conf->servers[index].address_text;
}

struct pool_opened {
    bool is_extra; /* asked: another try was made before */
    bool is_kept;
    bool was_full; /* another worker has taken the last place */
};

/* A connection to this server; NULL: none, with errno unless it was full. */
static struct upstream_conn *pool_open(struct upstream_pool *pool, unsigned index,
                                       const struct upstream_want *want, struct pool_opened *opened)
{
    struct upstream_server *server = pool->servers[index];
    struct upstream_conn *conn = NULL;
    if (!want->is_fresh)
        conn = server->proxied != NULL ? upstream_server_take_proxied(server, want)
                                       : upstream_server_take_idle(server, want->is_careful);
    opened->is_kept = conn != NULL;
    opened->was_full =
        conn == NULL && !server_claim(server, pool->conf->servers[index].max_connections);
    if (conn == NULL && !opened->was_full)
        conn = upstream_server_connect(server, pool, want->header);
    if (conn == NULL)
        return NULL;
    pool_hand_over(pool, index, want, conn, opened->is_extra);
    if (pool->is_counted)
        upstream_conn_count(conn);
    return conn;
}

static enum upstream_take pool_told(const struct upstream_pool *pool, bool is_kept)
{
    if (!is_kept)
        return UPSTREAM_CONNECTING;
    metrics_add(pool->set->loop->metrics, METRICS_UPSTREAM_REUSED, 1);
    return UPSTREAM_KEPT;
}

/* Servers that were asked, but have other addresses, are asked again: every server once, and where a name leads to several
 * addresses, as often as it has some. */
static bool pool_has_other_addresses(const struct upstream_pool *pool, unsigned tries,
                                     uint64_t *tried)
{
    const uint64_t before = *tried;
    unsigned most = 0;
    for (unsigned i = 0; i < pool->server_count; i++)
        most += pool->servers[i]->names.count > 1 ? pool->servers[i]->names.count : 1;
    for (unsigned i = 0; tries < most && i < pool->server_count; i++) {
        const struct upstream_server *server = pool->servers[i];
        if (server->names.count > 1 && upstream_server_is_usable(server, pool->set->loop->mono_us))
            *tried &= ~(UINT64_C(1) << i);
    }
    return *tried != before;
}

/* A try that is not the first of its exchange needs the budget's leave.  Only here it is asked for, and what it gave stands in
 * is_extra: it comes back with the end of the connection, or of the try (pool_end_try). */
static bool pool_may_try(struct upstream_pool *pool, bool has_tried, struct pool_opened *opened)
{
    opened->is_extra = has_tried;
    return !has_tried || pool_may_retry(pool);
}

/* What becomes of an extra try that has led to no connection: no try was made where the server was full. */
static void pool_end_try(const struct upstream_server *server, const struct pool_opened *opened)
{
    if (opened->is_extra)
        upstream_vital_retried(server->vital, opened->was_full);
}

static __attribute__((noinline)) enum upstream_take pool_choose(struct upstream_pool *pool,
                                                                const struct upstream_want *want,
                                                                uint64_t *tried, unsigned *tries,
                                                                struct upstream_conn **taken)
{
    struct upstream_field field;
    struct pool_opened opened;
    int error = EHOSTUNREACH;
    pool_look(pool, &field);
    for (;;) {
        const bool has_tried = *tried != 0 || *tries != 0;
        field.tried = *tried;
        const int index = upstream_pick(pool->candidates, &field, pool->conf->balance, want->key);
        const bool is_last_resort = index < 0 || (field.backups >> index & 1) != 0;
        if (is_last_resort && pool_has_other_addresses(pool, *tries, tried))
            continue;
        if (index < 0 || !pool_may_try(pool, has_tried, &opened)) {
            errno = error;
            return index == UPSTREAM_PICK_FULL ? UPSTREAM_FULL : UPSTREAM_NONE;
        }
        const uint64_t bit = UINT64_C(1) << index;
        *taken = pool_open(pool, (unsigned)index, want, &opened);
        *tried |= opened.was_full ? 0 : bit;
        if (*taken != NULL)
            return pool_told(pool, opened.is_kept);
        if (opened.was_full)
            field.full |= bit;
        else
            error = errno;
        *tries += opened.was_full ? 0 : 1;
        pool_end_try(pool->servers[index], &opened);
    }
}

static void pool_leave(struct upstream_pool *pool, struct upstream_waiter *waiter, bool has_used)
{
    upstream_queue_leave(waiter, has_used);
    if (--pool->waiting == 0)
        loop_timer_cancel(&pool->stir);
    metrics_sub(pool->set->loop->metrics, METRICS_UPSTREAM_QUEUE, 1);
}

/* While a request waits for one server, another that failed it may have come back. */
static bool pool_forgive(const struct upstream_pool *pool, uint64_t *tried)
{
    const uint64_t before = *tried;
    for (unsigned i = 0; before != 0 && i < pool->server_count; i++) {
        if (upstream_server_is_usable(pool->servers[i], pool->set->loop->mono_us))
            *tried &= ~(UINT64_C(1) << i);
    }
    return *tried != before;
}

/* Other workers keep connections that nobody uses: one of them would be a place. */
static bool pool_has_unused(const struct upstream_pool *pool)
{
    for (unsigned i = 0; i < pool->server_count; i++) {
        struct upstream_tally *tally = pool->servers[i]->tally;
        if (pool->conf->servers[i].max_connections != 0 &&
            atomic_load(&tally->open) > atomic_load(&tally->busy))
            return true;
    }
    return false;
}

/* Room of which no event has told, since a server is usable again or allows more, is filled by one after the other. */
static void pool_call_next(struct upstream_pool *pool)
{
    struct upstream_field field;
    if (!upstream_queue_has_waiters(pool->queue))
        return;
    pool_look(pool, &field);
    if ((field.primaries & field.usable & ~field.full) != 0)
        upstream_queue_call(pool->queue);
}

/* While somebody waits nobody else takes a place. */
static __attribute__((noinline)) enum upstream_take
pool_choose_in_line(struct upstream_pool *pool, const struct upstream_want *want, uint64_t *tried,
                    struct upstream_conn **taken)
{
    struct upstream_waiter *waiter = want->waiter;
    if (waiter == NULL ? upstream_queue_has_waiters(pool->queue) : !upstream_waiter_may_try(waiter))
        return UPSTREAM_FULL;
    unsigned tries = want->tries;
    enum upstream_take how = pool_choose(pool, want, tried, &tries, taken);
    if (how == UPSTREAM_FULL && waiter != NULL && pool_forgive(pool, tried)) {
        /* NONE: the budget had no leave; it waits on for the one that is full. */
        how = pool_choose(pool, want, tried, &tries, taken);
        if (how == UPSTREAM_NONE)
            how = UPSTREAM_FULL;
    }
    if (waiter == NULL)
        return how;
    if (how == UPSTREAM_FULL) {
        if (pool_has_unused(pool))
            upstream_queue_ask_others(pool->queue, &pool->set->bell);
        upstream_queue_pass(waiter);
        return how;
    }
    const int error = errno;
    pool_leave(pool, waiter, how != UPSTREAM_NONE);
    if (how != UPSTREAM_NONE)
        pool_call_next(pool);
    errno = error;
    return how;
}

enum upstream_take upstream_take(struct upstream_pool *pool, const struct upstream_want *want,
                                 uint64_t *tried, struct upstream_conn **taken)
{
    unsigned tries = want->tries;
    if (tries == 0 && *tried == 0 && want->waiter == NULL)
        pool->requests++;
    /* Most often there is one server, and a kept connection to it. */
    if (pool->is_single && *tried == 0 && !want->is_fresh &&
        (upstream_vital_state(pool->servers[0]->vital) & UPSTREAM_VITAL_AWAY) == 0 &&
        (*taken = upstream_server_take_idle(pool->servers[0], want->is_careful)) != NULL) {
        *tried = 1;
        pool_hand_over(pool, 0, want, *taken, false);
        return pool_told(pool, true);
    }
    return pool->queue == NULL ? pool_choose(pool, want, tried, &tries, taken)
                               : pool_choose_in_line(pool, want, tried, taken);
}

/* ---- waiting ---- */

bool upstream_wait(struct upstream_pool *pool, struct upstream_waiter *waiter, uint64_t since_us,
                   unsigned max, void (*on_ready)(void *arg), void *arg)
{
    *waiter = (struct upstream_waiter){.since_us = since_us, .on_ready = on_ready, .arg = arg};
    if (!upstream_queue_enter(pool->queue, waiter, &pool->set->bell, max))
        return false;
    if (pool->waiting++ == 0)
        loop_timer_set(pool->set->loop, &pool->stir, pool->set->loop->mono_us + LOOP_TICK_US);
    metrics_add(pool->set->loop->metrics, METRICS_UPSTREAM_QUEUE, 1);
    return true;
}

void upstream_wait_no_more(struct upstream_pool *pool, struct upstream_waiter *waiter)
{
    if (waiter->queue != NULL)
        pool_leave(pool, waiter, false);
}
