/* SPDX-License-Identifier: Apache-2.0 */
/* upstream.c - servers and their kept connections.  Takes: upstream_conf.  Gives: connections, round robin
 * over the servers that are not known to be down.  Never decides whether a request may be sent twice. */
#include "upstream/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_log.h"
#include "upstream/upstream_conn.h"

#define UPSTREAM_DOWN_US 1000000 /* a server that refused a connection is left alone this long */

/* Owner: the worker.  Freed by: upstream_set_free.  Thread: the worker's. */
struct upstream_set {
    struct loop *loop;
    struct net_resolver *resolver;
    struct list servers;
    struct list spare; /* connection objects to use again */
};

struct upstream_set *upstream_set_new(struct loop *loop, struct net_resolver *resolver)
{
    struct upstream_set *set = calloc(1, sizeof(*set));
    if (set == NULL)
        return NULL;
    set->loop = loop;
    set->resolver = resolver;
    list_init(&set->servers);
    list_init(&set->spare);
    return set;
}

void upstream_set_free(struct upstream_set *set)
{
    if (set == NULL)
        return;
    LIST_EACH_SAFE (node, &set->spare)
        free(LIST_OF(node, struct upstream_conn, node));
    free(set);
}

/* ---- servers ---- */

static void server_drop_idle(struct upstream_server *server)
{
    while (!list_is_empty(&server->idle)) {
        struct upstream_conn *conn = LIST_OF(server->idle.next, struct upstream_conn, node);
        upstream_close(&conn);
    }
}

static void server_unref(struct upstream_server *server)
{
    if (--server->refs != 0)
        return;
    net_watch_free(server->watch);
    list_remove(&server->node);
    net_tls_kept_drop(&server->session);
    net_tls_free(server->tls);
    free(server->upstream);
    free(server->name);
    free(server->tls_name);
    free(server);
}

static void server_on_addresses(void *arg, const struct net_address *addresses, unsigned count)
{
    struct upstream_server *server = arg;
    if (count > NET_RESOLVE_ADDRESSES_MAX)
        count = NET_RESOLVE_ADDRESSES_MAX;
    memcpy(server->addresses, addresses, count * sizeof(*addresses));
    server->address_count = count;
    server->next_address = 0;
}

/* Connections and sessions of a server that was verified otherwise, or not at all, must not serve this plan: such a
 * server is another one. */
static struct upstream_server *server_find(struct upstream_set *set,
                                           const struct upstream_conf *conf,
                                           const struct upstream_server_conf *server_conf)
{
    LIST_EACH (node, &set->servers) {
        struct upstream_server *server = LIST_OF(node, struct upstream_server, node);
        if (span_eq(span_of(server->upstream), conf->name) &&
            span_eq(span_of(server->name), server_conf->address_text) &&
            net_tls_is_same(server->tls, conf->tls) &&
            span_eq(span_of(server->tls_name), server_conf->tls_name))
            return server;
    }
    return NULL;
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
    if (server->upstream == NULL || server->name == NULL || server->tls_name == NULL)
        goto fail;
    if (conf->address.len != 0) {
        server->addresses[0] = conf->address;
        server->address_count = 1;
    } else {
        server->watch = net_watch_new(set->resolver, conf->host, conf->address.port,
                                      server_on_addresses, server);
        if (server->watch == NULL)
            goto fail;
    }
    list_push_back(&set->servers, &server->node);
    return server;
fail:
    server_unref(server);
    return NULL;
}

/* The server of this name, with what the newest plan says about it. */
static struct upstream_server *server_ref(struct upstream_set *set,
                                          const struct upstream_conf *conf,
                                          const struct upstream_server_conf *server_conf)
{
    struct upstream_server *server = server_find(set, conf, server_conf);
    if (server == NULL)
        server = server_new(set, conf, server_conf);
    else
        server->refs++;
    if (server == NULL)
        return NULL;
    server->pools++;
    server->idle_max = conf->pool_max;
    server->idle_us = conf->pool_idle_us;
    server->slot_ok = server_conf->slot_ok;
    server->slot_failed = server_conf->slot_failed;
    server->slot_open = server_conf->slot_open;
    return server;
}

/* A server that no plan names any more keeps no connection. */
static void server_leave(struct upstream_server *server)
{
    if (--server->pools == 0)
        server_drop_idle(server);
    server_unref(server);
}

/* ---- pools ---- */

struct upstream_pool *upstream_pool_new(struct upstream_set *set, const struct upstream_conf *conf)
{
    struct upstream_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return NULL;
    pool->set = set;
    pool->conf = conf;
    pool->servers = calloc(conf->server_count + 1u, sizeof(struct upstream_server *));
    if (pool->servers == NULL)
        goto fail;
    for (unsigned i = 0; i < conf->server_count; i++) {
        pool->servers[i] = server_ref(set, conf, &conf->servers[i]);
        if (pool->servers[i] == NULL)
            goto fail;
        pool->server_count++;
    }
    /* Workers begin at different servers, or all of them would crowd on the first one. */
    if (pool->server_count != 0)
        pool->next = (unsigned)rng_below(&set->loop->rng, pool->server_count);
    return pool;
fail:
    upstream_pool_free(pool);
    return NULL;
}

void upstream_pool_free(struct upstream_pool *pool)
{
    if (pool == NULL)
        return;
    for (unsigned i = 0; i < pool->server_count; i++)
        server_leave(pool->servers[i]);
    free(pool->servers);
    free(pool);
}

void upstream_set_close_idle(struct upstream_set *set)
{
    LIST_EACH_SAFE (node, &set->servers) {
        struct upstream_server *server = LIST_OF(node, struct upstream_server, node);
        server->refs++;
        server_drop_idle(server);
        server_unref(server);
    }
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

void upstream_close(struct upstream_conn **taken)
{
    struct upstream_conn *conn = *taken;
    if (conn == NULL)
        return;
    *taken = NULL;
    struct upstream_server *server = conn->server;
    struct metrics_block *metrics = server->set->loop->metrics;
    if (conn->state == UPSTREAM_CONN_IDLE) {
        server->idle_count--;
        metrics_sub(metrics, METRICS_UPSTREAM_IDLE, 1);
    }
    metrics_sub(metrics, server->slot_open, 1);
    list_remove(&conn->node);
    loop_timer_cancel(&conn->timer);
    net_stream_close(&conn->stream);
    net_pipe_give(&conn->pipe);
    buf_free(&conn->out);
    buf_free(&conn->in);
    list_push_front(&server->set->spare, &conn->node);
    server_unref(server);
}

void upstream_abort(struct upstream_conn **taken)
{
    net_stream_abort(&(*taken)->stream);
    upstream_close(taken);
}

void upstream_return(struct upstream_conn **taken)
{
    struct upstream_conn *conn = *taken;
    struct upstream_server *server = conn->server;
    metrics_add(server->set->loop->metrics, server->slot_ok, 1);
    if (server->pools == 0 || server->idle_count >= server->idle_max || server->idle_us == 0 ||
        !upstream_conn_is_reusable(conn) || conn_is_spoilt(conn)) {
        upstream_close(taken);
        return;
    }
    *taken = NULL;
    metrics_add(server->set->loop->metrics, METRICS_UPSTREAM_IDLE, 1);
    conn->state = UPSTREAM_CONN_IDLE;
    server->idle_count++;
    list_push_front(&server->idle, &conn->node);
    loop_timer_set(server->set->loop, &conn->timer, server->set->loop->mono_us + server->idle_us);
}

void upstream_failed(struct upstream_conn **taken)
{
    struct upstream_server *server = (*taken)->server;
    server->down_until_us = server->set->loop->mono_us + UPSTREAM_DOWN_US;
    metrics_add(server->set->loop->metrics, METRICS_UPSTREAM_CONNECT_FAILURES, 1);
    metrics_add(server->set->loop->metrics, server->slot_failed, 1);
    upstream_close(taken);
}

/* A kept connection, or NULL.  A server may have closed it a moment ago, unseen yet: `careful` asks the
 * kernel once more. */
static struct upstream_conn *server_take_idle(struct upstream_server *server, bool careful)
{
    while (!list_is_empty(&server->idle)) {
        struct upstream_conn *conn = LIST_OF(server->idle.next, struct upstream_conn, node);
        if ((careful && net_stream_has_input(&conn->stream)) || conn_is_spoilt(conn)) {
            upstream_close(&conn);
            continue;
        }
        list_remove(&conn->node);
        server->idle_count--;
        metrics_sub(server->set->loop->metrics, METRICS_UPSTREAM_IDLE, 1);
        conn->state = UPSTREAM_CONN_BUSY;
        conn->is_reused = true;
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

static struct upstream_conn *server_connect(struct upstream_server *server)
{
    struct metrics_block *metrics = server->set->loop->metrics;
    errno = EHOSTUNREACH;
    if (server->address_count == 0)
        return NULL;
    struct upstream_conn *conn = conn_new(server);
    if (conn == NULL)
        return NULL;
    metrics_add(metrics, server->slot_open, 1);
    metrics_add(metrics, METRICS_UPSTREAM_CONNECTS, 1);
    const struct net_address *address =
        &server->addresses[server->next_address++ % server->address_count];
    if (net_stream_connect(&conn->stream, server->set->loop, address, conn_on_ready, conn) !=
            ERR_OK ||
        !conn_secure(conn)) {
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

/* The index of the next server in turn; those that just failed only when there is no other. */
static unsigned pool_next(struct upstream_pool *pool)
{
    uint64_t now_us = pool->set->loop->mono_us;
    unsigned index = 0;
    for (unsigned i = 0; i < pool->server_count; i++) {
        index = pool->next;
        pool->next = index + 1 < pool->server_count ? index + 1 : 0;
        if (upstream_server_is_usable(pool->servers[index], now_us))
            break;
    }
    return index;
}

enum upstream_take upstream_take(struct upstream_pool *pool, bool fresh, bool careful,
                                 const struct upstream_user *user, unsigned *tried,
                                 struct upstream_conn **taken)
{
    struct metrics_block *metrics = pool->set->loop->metrics;
    if (*tried >= pool->server_count)
        errno = EHOSTUNREACH;
    while (*tried < pool->server_count) {
        const unsigned index = pool_next(pool);
        struct upstream_server *server = pool->servers[index];
        ++*tried;
        struct upstream_conn *conn = fresh ? NULL : server_take_idle(server, careful);
        bool is_kept = conn != NULL;
        if (!is_kept)
            conn = server_connect(server);
        if (conn == NULL)
            continue;
        conn->user = *user;
        conn->server_name = pool->conf->servers[index].address_text;
        *taken = conn;
        if (!is_kept)
            return UPSTREAM_CONNECTING;
        metrics_add(metrics, METRICS_UPSTREAM_REUSED, 1);
        return UPSTREAM_KEPT;
    }
    return UPSTREAM_NONE;
}

struct span upstream_server_name(const struct upstream_conn *conn)
{
    return conn->server_name;
}
