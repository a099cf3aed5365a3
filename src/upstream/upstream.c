/* SPDX-License-Identifier: Apache-2.0 */
/* upstream.c - servers and their kept connections.  Takes: upstream_conf.  Gives: connections to the servers that
 * upstream_pick names.  Never decides whether a request may be sent twice. */
#include "upstream/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_log.h"
#include "upstream/upstream_private.h"

#define POOL_BEGIN_MAX   1024    /* turns of the round robin that are passed over at first */
#define UPSTREAM_DOWN_US 1000000 /* a server that refused a connection is left alone this long */

/* Others wait for servers to which this worker keeps connections that it does not use. */
static void set_let_go(void *arg)
{
    struct upstream_set *set = arg;
    LIST_EACH_SAFE (node, &set->servers) {
        struct upstream_server *server = LIST_OF(node, struct upstream_server, node);
        server->refs++;
        unsigned wanted = server->queue == NULL ? 0 : atomic_load(&server->queue->waiting);
        for (; wanted != 0 && !list_is_empty(&server->idle); wanted--) {
            struct upstream_conn *conn = LIST_OF(server->idle.prev, struct upstream_conn, node);
            upstream_close(&conn);
        }
        upstream_server_unref(server);
    }
}

struct upstream_set *upstream_set_new(struct loop *loop, struct net_resolver *resolver,
                                      struct upstream_places *places,
                                      struct upstream_health *health)
{
    struct upstream_set *set = calloc(1, sizeof(*set));
    if (set == NULL)
        return NULL;
    set->loop = loop;
    set->resolver = resolver;
    set->health = health;
    list_init(&set->servers);
    list_init(&set->spare);
    set->places = places;
    upstream_bell_open(&set->bell, places, loop, set_let_go, set);
    return set;
}

void upstream_set_free(struct upstream_set *set)
{
    if (set == NULL)
        return;
    LIST_EACH_SAFE (node, &set->spare)
        free(LIST_OF(node, struct upstream_conn, node));
    upstream_bell_close(&set->bell);
    free(set);
}

/* ---- servers ---- */

void upstream_server_drop_idle(struct upstream_server *server)
{
    while (!list_is_empty(&server->idle)) {
        struct upstream_conn *conn = LIST_OF(server->idle.next, struct upstream_conn, node);
        upstream_close(&conn);
    }
}

void upstream_server_unref(struct upstream_server *server)
{
    if (--server->refs != 0)
        return;
    net_watch_free(server->watch);
    upstream_vital_unref(server->vital);
    list_remove(&server->node);
    net_tls_kept_drop(&server->session);
    net_tls_free(server->tls);
    upstream_queue_unref(server->queue);
    upstream_tally_unref(server->tally);
    upstream_proxied_table_free(server->proxied);
    free(server->upstream);
    free(server->name);
    free(server->tls_name);
    free(server);
}

/* Its name leads elsewhere: connections to addresses that are gone serve nobody any more. */
static void server_drop_strays(struct upstream_server *server)
{
    LIST_EACH_SAFE (node, &server->idle) {
        struct upstream_conn *conn = LIST_OF(node, struct upstream_conn, node);
        if (!upstream_names_has(&server->names, conn->address_id))
            upstream_close(&conn);
    }
}

static void server_on_addresses(void *arg, const struct net_address *addresses, unsigned count)
{
    struct upstream_server *server = arg;
    const bool is_first = server->names.count == 0;
    if (!upstream_names_set(&server->names, addresses, count))
        return;
    if (is_first) {
        server->down_until_us = 0;
        server->was_out = false; /* it is not back, but there for the first time */
        return;
    }
    metrics_add(server->set->loop->metrics, METRICS_UPSTREAM_NAMES_CHANGED, 1);
    log_info("server %s of upstream %s: its name leads to other addresses (%u in all)",
             server->name, server->upstream, server->names.count);
    server->refs++; /* the last kept connection must not take it along */
    server_drop_strays(server);
    upstream_server_unref(server);
}

/* Connections and sessions of a server that was verified otherwise, or not at all, must not serve this plan: such a
 * server is another one.  So is one whose connections begin otherwise. */
static struct upstream_server *server_find(struct upstream_set *set,
                                           const struct upstream_conf *conf,
                                           const struct upstream_server_conf *server_conf)
{
    LIST_EACH (node, &set->servers) {
        struct upstream_server *server = LIST_OF(node, struct upstream_server, node);
        if (span_eq(span_of(server->upstream), conf->name) &&
            span_eq(span_of(server->name), server_conf->address_text) &&
            server->proxy == conf->proxy && net_tls_is_same(server->tls, conf->tls) &&
            span_eq(span_of(server->tls_name), server_conf->tls_name))
            return server;
    }
    return NULL;
}

/* Until its name is answered it has what was found when the plan was made, else what is known of a server of the same name. */
static bool server_watch(struct upstream_server *server, const struct upstream_server_conf *conf)
{
    (void)upstream_names_set(&server->names, conf->found, conf->found_count);
    LIST_EACH (node, &server->set->servers) {
        const struct upstream_server *other = LIST_OF(node, struct upstream_server, node);
        if (server->names.count == 0 && strcmp(other->name, server->name) == 0)
            (void)upstream_names_set(&server->names, other->names.addresses, other->names.count);
    }
    server->down_until_us = server->names.count == 0 ? UINT64_MAX : 0;
    server->watch = net_watch_new(server->set->resolver, conf->host, conf->address.port,
                                  server_on_addresses, server);
    net_watch_know(server->watch, server->names.addresses, server->names.count);
    return server->watch != NULL;
}

static struct upstream_server *server_new(struct upstream_set *set,
                                          const struct upstream_conf *upstream,
                                          const struct upstream_server_conf *conf)
{
    struct upstream_server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return NULL;
    server->set = set;
    list_init(&server->idle);
    list_init(&server->node);
    server->refs = 1;
    server->upstream = strndup(upstream->name.ptr, upstream->name.len);
    server->name = strndup(conf->address_text.ptr, conf->address_text.len);
    server->tls_name =
        conf->tls_name.len == 0 ? strdup("") : strndup(conf->tls_name.ptr, conf->tls_name.len);
    server->tls = net_tls_ref(upstream->tls);
    server->weight = conf->weight;
    server->tally = upstream_tally_ref(set->places, upstream->name, conf->address_text);
    server->vital = upstream_vital_ref(set->health, upstream, conf);
    server->proxy = (enum net_proxy_version)upstream->proxy;
    if (server->proxy != NET_PROXY_NONE)
        server->proxied = upstream_proxied_table_new();
    if (server->upstream == NULL || server->name == NULL || server->tls_name == NULL ||
        server->tally == NULL || server->vital == NULL ||
        (server->proxied == NULL && server->proxy != NET_PROXY_NONE))
        goto fail;
    if (conf->address.len != 0) {
        (void)upstream_names_set(&server->names, &conf->address, 1);
    } else if (!server_watch(server, conf)) {
        goto fail;
    }
    list_push_back(&set->servers, &server->node);
    return server;
fail:
    upstream_server_unref(server);
    return NULL;
}

/* What the plan in force says about it. */
static void server_obey(struct upstream_server *server, const struct upstream_conf *conf,
                        const struct upstream_server_conf *server_conf)
{
    if (server->weight == 0 && server_conf->weight != 0)
        server->back_at_us = server->set->loop->mono_us;
    server->weight = server_conf->weight;
    server->idle_max = conf->pool_max;
    server->idle_us = conf->pool_idle_us;
    net_watch_set_interval(server->watch, conf->resolve_us);
    server->slot_ok = server_conf->slot_ok;
    server->slot_failed = server_conf->slot_failed;
    server->slot_open = server_conf->slot_open;
}

/* What its name leads to was asked when the plan was made; without an answer it is asked again. */
static void server_learn(struct upstream_server *server,
                         const struct upstream_server_conf *server_conf)
{
    if (server_conf->found_count != 0)
        net_watch_tell(server->watch, server_conf->found, server_conf->found_count);
    else
        net_watch_hurry(server->watch);
}

/* The server of this name; one that is new begins with what its first plan says. */
static struct upstream_server *server_ref(struct upstream_set *set,
                                          const struct upstream_conf *conf,
                                          const struct upstream_server_conf *server_conf)
{
    struct upstream_server *server = server_find(set, conf, server_conf);
    if (server != NULL) {
        server->refs++;
        server_learn(server, server_conf);
    } else {
        server = server_new(set, conf, server_conf);
        if (server == NULL)
            return NULL;
        server_obey(server, conf, server_conf);
    }
    server->pools++;
    return server;
}

/* A server that no plan names any more keeps no connection. */
static void server_leave(struct upstream_server *server)
{
    if (--server->pools == 0)
        upstream_server_drop_idle(server);
    upstream_server_unref(server);
}

/* ---- pools ---- */

/* What of the plan the choice needs to know. */
static void pool_set_candidate(struct upstream_pool *pool, unsigned index)
{
    const struct upstream_server_conf *conf = &pool->conf->servers[index];
    struct upstream_candidate *candidate = &pool->candidates[index];
    candidate->seed = upstream_pick_seed(conf->address_text);
    candidate->weight = conf->weight * UPSTREAM_WEIGHT_ONE;
    if (conf->weight != 0)
        *(conf->is_backup ? &pool->backups : &pool->primaries) |= UINT64_C(1) << index;
}

/* A queue belongs to the upstream: whoever has a connection to one of its servers calls those who wait. */
static bool pool_open_queue(struct upstream_pool *pool)
{
    bool is_bounded = false;
    for (unsigned i = 0; i < pool->conf->server_count; i++)
        is_bounded = is_bounded || pool->conf->servers[i].max_connections != 0;
    if (is_bounded)
        pool->queue = upstream_queue_ref(pool->set->places, pool->conf->name);
    return !is_bounded || pool->queue != NULL;
}

static void pool_on_stir(void *arg)
{
    struct upstream_pool *pool = arg;
    loop_timer_set(pool->set->loop, &pool->stir, pool->set->loop->mono_us + LOOP_TICK_US);
    upstream_queue_stir(pool->queue, &pool->set->bell);
}

/* Workers begin at different servers, or all of them would crowd on the first one. */
static void pool_begin_somewhere(struct upstream_pool *pool)
{
    const struct upstream_field field = {
        .primaries = pool->primaries, .backups = pool->backups, .usable = UINT64_MAX};
    uint64_t round = 0;
    for (unsigned i = 0; i < pool->server_count; i++)
        round += pool->conf->servers[i].weight;
    if (pool->primaries == 0 || round == 0)
        return;
    if (round > POOL_BEGIN_MAX)
        round = POOL_BEGIN_MAX;
    for (uint64_t n = rng_below(&pool->set->loop->rng, round); n != 0; n--)
        (void)upstream_pick(pool->candidates, &field, UPSTREAM_ROUND_ROBIN, NULL);
}

struct upstream_pool *upstream_pool_new(struct upstream_set *set, const struct upstream_conf *conf)
{
    struct upstream_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return NULL;
    pool->set = set;
    pool->conf = conf;
    loop_timer_init(&pool->stir, pool_on_stir, pool);
    /* Of one server none can be ejected. */
    if (conf->server_count > 1 && conf->health.failures != 0)
        pool->notes = UPSTREAM_NOTE_HEALTH;
    pool->asked_at_us = set->loop->mono_us;
    pool->servers = calloc(conf->server_count + 1u, sizeof(struct upstream_server *));
    pool->candidates = calloc(conf->server_count + 1u, sizeof(struct upstream_candidate));
    if (pool->servers == NULL || pool->candidates == NULL || !pool_open_queue(pool))
        goto fail;
    for (unsigned i = 0; i < conf->server_count; i++) {
        struct upstream_server *server = server_ref(set, conf, &conf->servers[i]);
        if (server == NULL)
            goto fail;
        pool->servers[pool->server_count++] = server;
        pool_set_candidate(pool, i);
        if (pool->queue != NULL && server->queue == NULL)
            server->queue = upstream_queue_ref_again(pool->queue);
    }
    pool->is_single = pool->server_count == 1 && pool->queue == NULL &&
                      conf->servers[0].weight != 0 && conf->proxy == NET_PROXY_NONE;
    pool->is_counted =
        pool->queue != NULL || (!pool->is_single && conf->balance == UPSTREAM_LEAST_CONNECTIONS);
    pool_begin_somewhere(pool);
    return pool;
fail:
    upstream_pool_free(pool);
    return NULL;
}

static void server_close_idle(struct upstream_server *server)
{
    server->refs++;
    upstream_server_drop_idle(server);
    upstream_server_unref(server);
}

/* What was kept on other terms never serves this plan, but takes places of it: who waits for one would wait for this very
 * worker, which closes only what the server keeps that it knows. */
static void server_supersede(const struct upstream_server *server)
{
    LIST_EACH_SAFE (node, &server->set->servers) {
        struct upstream_server *other = LIST_OF(node, struct upstream_server, node);
        if (other == server || other->tally != server->tally)
            continue;
        other->idle_us = 0; /* exchanges of the plan before keep none either */
        server_close_idle(other);
    }
}

void upstream_pool_enter(struct upstream_pool *pool)
{
    for (unsigned i = 0; i < pool->server_count; i++) {
        server_obey(pool->servers[i], pool->conf, &pool->conf->servers[i]);
        server_supersede(pool->servers[i]);
    }
}

void upstream_pool_free(struct upstream_pool *pool)
{
    if (pool == NULL)
        return;
    loop_timer_cancel(&pool->stir);
    for (unsigned i = 0; i < pool->server_count; i++)
        server_leave(pool->servers[i]);
    upstream_queue_unref(pool->queue);
    free(pool->candidates);
    free(pool->servers);
    free(pool);
}

void upstream_set_close_idle(struct upstream_set *set)
{
    LIST_EACH_SAFE (node, &set->servers)
        server_close_idle(LIST_OF(node, struct upstream_server, node));
}

/* ---- connections ---- */

/* A server has nothing to say on a kept connection: bytes or an end make it useless.  Tickets of TLS are no bytes. */
static bool conn_is_spoilt(struct upstream_conn *conn)
{
    return conn->stream.saw_end ||
           (conn->stream.is_readable && net_stream_has_input(&conn->stream));
}

/* Not inlined: a busy one needs no frame. */
static __attribute__((noinline)) void conn_on_ready_idle(struct upstream_conn *conn)
{
    if (conn_is_spoilt(conn))
        upstream_close(&conn);
}

static void conn_on_ready(struct net_stream *stream, void *arg)
{
    struct upstream_conn *conn = arg;
    (void)stream;
    if (conn->state == UPSTREAM_CONN_IDLE)
        conn_on_ready_idle(conn);
    else
        conn->user.on_ready(conn->user.arg);
}

static void conn_on_timer(void *arg)
{
    struct upstream_conn *conn = arg;
    if (conn->state == UPSTREAM_CONN_IDLE)
        upstream_close(&conn);
    else
        conn->user.on_deadline(conn->user.arg);
}

static struct upstream_conn *conn_new(struct upstream_server *server)
{
    struct upstream_set *set = server->set;
    struct upstream_conn *conn;
    if (list_is_empty(&set->spare)) {
        conn = malloc(sizeof(*conn));
        if (conn == NULL)
            return NULL;
    } else {
        conn = LIST_OF(set->spare.next, struct upstream_conn, node);
        list_remove(&conn->node);
    }
    memset(conn, 0, sizeof(*conn));
    conn->stream.fd = -1;
    list_init(&conn->node);
    loop_timer_init(&conn->timer, conn_on_timer, conn);
    conn->server = server;
    server->refs++;
    return conn;
}

/* An exchange has it, or has it no more. */
void upstream_conn_count(struct upstream_conn *conn)
{
    atomic_fetch_add(&conn->server->tally->busy, 1);
    conn->is_counted = true;
}

static void conn_uncount(struct upstream_conn *conn)
{
    atomic_fetch_sub(&conn->server->tally->busy, 1);
    conn->is_counted = false;
}

void upstream_close(struct upstream_conn **taken)
{
    struct upstream_conn *conn = *taken;
    if (conn == NULL)
        return;
    *taken = NULL;
    struct upstream_server *server = conn->server;
    struct metrics_block *metrics = server->set->loop->metrics;
    if ((conn->notes & UPSTREAM_NOTE_EXTRA) != 0)
        upstream_vital_retried(server->vital, false);
    if (conn->state == UPSTREAM_CONN_IDLE) {
        server->idle_count--;
        metrics_sub(metrics, METRICS_UPSTREAM_IDLE, 1);
    }
    if (conn->is_counted)
        conn_uncount(conn);
    metrics_sub(metrics, server->slot_open, 1);
    list_remove(&conn->node);
    loop_timer_cancel(&conn->timer);
    net_stream_close(&conn->stream);
    net_pipe_give(&conn->pipe);
    buf_free(&conn->out);
    buf_free(&conn->in);
    upstream_proxied_end(conn);
    list_push_front(&server->set->spare, &conn->node);
    /* Its descriptor is closed: the next one may connect. */
    atomic_fetch_sub(&server->tally->open, 1);
    if (server->queue != NULL && upstream_queue_has_waiters(server->queue))
        upstream_queue_call(server->queue);
    upstream_server_unref(server);
}

void upstream_abort(struct upstream_conn **taken)
{
    net_stream_abort(&(*taken)->stream);
    upstream_close(taken);
}

/* To one who waits in another worker a connection that is kept here is of no use. */
static bool server_may_keep(const struct upstream_server *server)
{
    return server->queue == NULL || !upstream_queue_has_waiters(server->queue) ||
           !upstream_queue_goes_elsewhere(server->queue, &server->set->bell);
}

bool upstream_server_close_oldest(struct upstream_server *server)
{
    if (list_is_empty(&server->idle))
        return false;
    struct upstream_conn *oldest = LIST_OF(server->idle.prev, struct upstream_conn, node);
    upstream_close(&oldest);
    return true;
}

/* Where each connection serves one client, those of clients that have left are of no use: the one used last is kept.  False:
 * all are as good as the next. */
static bool server_make_room(struct upstream_server *server)
{
    return server->proxied != NULL && upstream_server_close_oldest(server);
}

void upstream_return(struct upstream_conn **taken)
{
    struct upstream_conn *conn = *taken;
    struct upstream_server *server = conn->server;
    metrics_add(server->set->loop->metrics, server->slot_ok, 1);
    if (server->pools == 0 || server->idle_us == 0 || !upstream_conn_is_reusable(conn) ||
        (upstream_vital_state(server->vital) & UPSTREAM_VITAL_DOWN) != 0 || conn_is_spoilt(conn) ||
        !server_may_keep(server) ||
        (server->watch != NULL && !upstream_names_has(&server->names, conn->address_id)) ||
        (server->idle_count >= server->idle_max && !server_make_room(server))) {
        upstream_close(taken);
        return;
    }
    *taken = NULL;
    if (conn->is_counted)
        conn_uncount(conn);
    metrics_add(server->set->loop->metrics, METRICS_UPSTREAM_IDLE, 1);
    conn->state = UPSTREAM_CONN_IDLE;
    server->idle_count++;
    list_push_front(&server->idle, &conn->node);
    loop_timer_set(server->set->loop, &conn->timer, server->set->loop->mono_us + server->idle_us);
    /* Behind conn_uncount: who has begun to wait since sees that it is kept. */
    if (server->queue != NULL && upstream_queue_has_waiters(server->queue))
        upstream_queue_call(server->queue);
}

static void server_count_outcome(const struct upstream_server *server,
                                 enum upstream_outcome outcome)
{
    struct metrics_block *metrics = server->set->loop->metrics;
    if (outcome == UPSTREAM_OUTCOME_EJECTED)
        metrics_add(metrics, METRICS_UPSTREAM_EJECTED, 1);
    if (outcome == UPSTREAM_OUTCOME_CAPPED)
        metrics_add(metrics, METRICS_UPSTREAM_EJECT_CAPPED, 1);
}

void upstream_note_failure(struct upstream_conn *conn, enum upstream_failure how)
{
    struct upstream_server *server = conn->server;
    const uint64_t now_us = server->set->loop->mono_us;
    if ((conn->notes & UPSTREAM_NOTE_HEALTH) != 0)
        server_count_outcome(server,
                             upstream_vital_failed(server->vital, conn->health, how, now_us));
    else
        upstream_vital_remember(server->vital, how, now_us);
}

void upstream_note_answer(struct upstream_conn *conn, unsigned status)
{
    struct upstream_server *server = conn->server;
    if ((conn->notes & UPSTREAM_NOTE_EXTRA) != 0)
        upstream_vital_retried(server->vital, true);
    conn->notes &= (uint8_t)~UPSTREAM_NOTE_EXTRA;
    if ((conn->notes & UPSTREAM_NOTE_HEALTH) != 0)
        server_count_outcome(server, upstream_vital_answered(server->vital, conn->health, status,
                                                             server->set->loop->mono_us));
}

void upstream_failed(struct upstream_conn **taken)
{
    struct upstream_conn *conn = *taken;
    struct upstream_server *server = conn->server;
    const uint64_t now_us = server->set->loop->mono_us;
    if (upstream_names_failed(&server->names, conn->address_id, now_us, now_us + UPSTREAM_DOWN_US))
        server->back_at_us = server->down_until_us = now_us + UPSTREAM_DOWN_US;
    net_watch_hurry(server->watch);
    upstream_note_failure(conn, UPSTREAM_FAILURE_CONNECT);
    metrics_add(server->set->loop->metrics, METRICS_UPSTREAM_CONNECT_FAILURES, 1);
    metrics_add(server->set->loop->metrics, server->slot_failed, 1);
    upstream_close(taken);
}

/* False: it is of no use any more, and closed. */
static inline bool conn_take_idle(struct upstream_conn *conn, bool careful)
{
    struct upstream_server *server = conn->server;
    if ((careful && net_stream_has_input(&conn->stream)) || conn_is_spoilt(conn)) {
        upstream_close(&conn);
        return false;
    }
    list_remove(&conn->node);
    server->idle_count--;
    metrics_sub(server->set->loop->metrics, METRICS_UPSTREAM_IDLE, 1);
    conn->state = UPSTREAM_CONN_BUSY;
    conn->is_reused = true;
    return true;
}

struct upstream_conn *upstream_server_take_idle(struct upstream_server *server, bool careful)
{
    while (!list_is_empty(&server->idle)) {
        struct upstream_conn *conn = LIST_OF(server->idle.next, struct upstream_conn, node);
        if (conn_take_idle(conn, careful))
            return conn;
    }
    return NULL;
}

struct upstream_conn *upstream_server_take_proxied(struct upstream_server *server,
                                                   const struct upstream_want *want)
{
    struct upstream_conn *conn;
    while ((conn = upstream_proxied_find_idle(server->proxied, want->header)) != NULL) {
        if (conn_take_idle(conn, want->is_careful))
            return conn;
    }
    return NULL;
}

/* TLS begins once the connection stands; the session of the last one is offered.  False: no memory. */
static bool conn_secure(struct upstream_conn *conn)
{
    struct upstream_server *server = conn->server;
    if (server->tls == NULL)
        return true;
    if (net_tls_begin(&conn->stream, server->tls, span_of(server->tls_name)) != ERR_OK) {
        errno = ENOMEM;
        return false;
    }
    net_tls_keep(&conn->stream, &server->session);
    return true;
}

/* What it begins with, where its server wants to know for whom it is. */
static bool conn_name_client(struct upstream_conn *conn, struct span header)
{
    struct upstream_proxied_table *table = conn->server->proxied;
    if (table == NULL || upstream_proxied_begin(conn, table, header))
        return true;
    errno = ENOMEM;
    return false;
}

struct upstream_conn *upstream_server_connect(struct upstream_server *server,
                                              const struct upstream_pool *pool, struct span header)
{
    struct loop *loop = server->set->loop;
    const int index = upstream_names_next(&server->names, loop->mono_us);
    struct upstream_conn *conn = index < 0 ? NULL : conn_new(server);
    if (conn == NULL) {
        errno = index < 0 ? EHOSTUNREACH : ENOMEM;
        atomic_fetch_sub(&server->tally->open, 1);
        return NULL;
    }
    metrics_add(loop->metrics, server->slot_open, 1);
    metrics_add(loop->metrics, METRICS_UPSTREAM_CONNECTS, 1);
    conn->address_id = server->names.ids[index];
    upstream_conn_take_notes(conn, pool, false); /* it may fail at once */
    if (net_stream_connect(&conn->stream, loop, &server->names.addresses[index], conn_on_ready,
                           conn) != ERR_OK ||
        !conn_name_client(conn, header) || !conn_secure(conn)) {
        int error = errno;
        if (net_stream_is_shortage(error))
            upstream_close(&conn); /* our want: nothing is known of the server */
        else
            upstream_failed(&conn);
        errno = error;
        return NULL;
    }
    conn->state = UPSTREAM_CONN_CONNECTING;
    return conn;
}

struct span upstream_server_name(const struct upstream_conn *conn)
{
    return conn->server_name;
}
