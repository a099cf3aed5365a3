/* SPDX-License-Identifier: Apache-2.0 */
/* client_tls.c - what comes before the first request where a listener speaks TLS.  Takes: an accepted connection.  Gives:
 * one that is served like any other; a plain answer to who speaks plain HTTP; the end to everybody else.
 *
 *     accepted --> HANDSHAKE --> IDLE and what follows
 *                    |  '--> a plain request: 400, without TLS
 *                    '-----> closed: it fails, takes too long, or is the oldest of too many
 *
 * Until the first byte has come a connection costs little more than its socket. */
#include "base/base_ascii.h"
#include "base/base_log.h"
#include "client/client_private.h"
#include "net/net_tls_server.h"

static void client_on_handshake(struct net_stream *stream, void *arg);

static void client_tls_count(const struct client_conn *conn, enum metrics_id result)
{
    metrics_add(client_loop(conn)->metrics, result, 1);
}

/* Who is silent, or slow, loses against who comes: a newcomer that were refused instead would be so until the silent
 * ones have had their time. */
static void client_tls_make_room(struct client_env *env)
{
    struct client_conn *oldest = LIST_OF(env->handshakes.next, struct client_conn, node);
    client_tls_count(oldest, METRICS_TLS_SHED);
    client_end(oldest, METRICS_CLOSED_TLS_HANDSHAKE);
}

bool client_tls_begin(struct client_conn *conn)
{
    struct client_env *env = conn->env;
    if (net_tls_serve(&conn->stream, conn->door->listener.tls, env->shared.tickets) != ERR_OK ||
        net_stream_watch(&conn->stream) != ERR_OK)
        return false;
    if (env->handshake_count >= client_limits(conn)->tls_handshakes_max)
        client_tls_make_room(env);
    conn->stream.on_ready = client_on_handshake;
    list_remove(&conn->node);
    list_push_back(&env->handshakes, &conn->node);
    env->handshake_count++;
    metrics_add(client_loop(conn)->metrics, METRICS_TLS_HANDSHAKES_OPEN, 1);
    conn->is_handshaking = true;
    client_set_state(conn, CLIENT_HANDSHAKE);
    return true;
}

void client_tls_leave(struct client_conn *conn)
{
    conn->is_handshaking = false;
    conn->env->handshake_count--;
    metrics_sub(client_loop(conn)->metrics, METRICS_TLS_HANDSHAKES_OPEN, 1);
}

void client_tls_on_timeout(struct client_conn *conn)
{
    client_tls_count(conn, METRICS_TLS_TIMEOUT);
    client_end(conn, METRICS_CLOSED_TLS_HANDSHAKE);
}

/* From here on it is one of those that are served. */
static void client_tls_move(struct client_conn *conn)
{
    client_tls_leave(conn);
    list_remove(&conn->node);
    list_push_back(&conn->env->conns, &conn->node);
    conn->stream.on_ready = client_on_ready;
    client_set_state(conn, CLIENT_IDLE);
}

void client_tls_drain(struct client_env *env)
{
    LIST_EACH_SAFE (node, &env->handshakes) {
        struct client_conn *conn = LIST_OF(node, struct client_conn, node);
        if (net_stream_has_input(&conn->stream))
            continue;
        net_tls_drop(&conn->stream);
        client_tls_move(conn);
        client_part(conn);
    }
}

static void client_tls_done(struct client_conn *conn)
{
    client_tls_count(conn,
                     net_tls_is_resumed(&conn->stream) ? METRICS_TLS_RESUMED : METRICS_TLS_OK);
    client_tls_count(conn, METRICS_TLS_OPEN);
    conn->is_secured = true;
    client_tls_move(conn);
    if (conn->env->is_draining && !conn->env->is_patient && !net_stream_has_input(&conn->stream))
        client_part(conn);
    else
        client_drive(conn);
}

static bool client_tls_is_method(const struct client_work *work)
{
    return ascii_is_upper(work->at[0]);
}

/* The stream is plain.  A request gets an answer that its client understands, anything else the end. */
static void client_tls_plain(struct client_conn *conn)
{
    struct exchange_request request;
    client_tls_move(conn);
    if (!client_has_work(conn) || client_fill(conn) <= 0 || !client_tls_is_method(conn->work)) {
        client_tls_count(conn, METRICS_TLS_JUNK);
        client_end(conn, METRICS_CLOSED_TLS_HANDSHAKE);
        return;
    }
    client_tls_count(conn, METRICS_TLS_PLAIN);
    client_ends_by(conn, METRICS_CLOSED_TLS_HANDSHAKE);
    conn->work->began_us = client_loop(conn)->mono_us;
    client_request(conn, &request);
    request.fault = (struct http_fault){HTTP_FAULT_PLAIN_ON_TLS, 0};
    client_refuse(conn, &request);
    client_drive(conn);
}

static void client_tls_failed(struct client_conn *conn)
{
    char peer[IP_TEXT_MAX] = "unix";
    int peer_len = conn->peer_is_unix ? 4 : (int)ip_format(peer, &conn->peer_ip);
    const char *why = net_tls_why(&conn->stream);
    log_debug("no TLS with %.*s on %.*s: %s", peer_len, peer, (int)conn->door->listener.name.len,
              conn->door->listener.name.ptr, why == NULL ? "out of memory" : why);
    client_tls_count(conn, METRICS_TLS_FAILED);
    client_end(conn, METRICS_CLOSED_TLS_HANDSHAKE);
}

static void client_on_handshake(struct net_stream *stream, void *arg)
{
    struct client_conn *conn = arg;
    switch (net_tls_shake(stream)) {
    case ERR_OK:
        client_tls_done(conn);
        break;
    case ERR_AGAIN:
        break;
    case ERR_INVALID:
        client_tls_plain(conn);
        break;
    default:
        client_tls_failed(conn);
        break;
    }
}
