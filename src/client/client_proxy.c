/* SPDX-License-Identifier: Apache-2.0 */
/* client_proxy.c - the header that a trusted proxy puts before everything else, TLS included.  Takes: an accepted
 * connection.  Gives: one whose peer is whom the header names, and that goes on as if it had just been accepted; the end
 * where no good header comes in time.  No byte behind the header is taken from the socket.
 *
 *     accepted --> PROXY --> IDLE or HANDSHAKE
 *                    '-----> closed */
#include <errno.h>

#include "base/base_log.h"
#include "client/client_private.h"
#include "exchange/exchange_refusal.h"
#include "identity/identity.h"
#include "net/net_proxy.h"

static void client_on_proxy(struct net_stream *stream, void *arg);

bool client_proxy_is_due(const struct client_conn *conn)
{
    const struct identity_trust *trust = &conn->env->exchanges->snapshot->plan->trust;
    return conn->door->listener.takes_proxy &&
           identity_trust_has(trust, &conn->peer_ip, conn->peer_is_unix);
}

bool client_proxy_begin(struct client_conn *conn)
{
    if (net_stream_watch(&conn->stream) != ERR_OK)
        return false;
    conn->stream.on_ready = client_on_proxy;
    client_set_state(conn, CLIENT_PROXY);
    return true;
}

static void client_proxy_fail(struct client_conn *conn, const char *why)
{
    char peer[IP_TEXT_MAX] = "unix";
    int peer_len = conn->peer_is_unix ? 4 : (int)ip_format(peer, &conn->peer_ip);
    log_warn("the trusted proxy %.*s began a connection to %.*s without a good PROXY header: %s",
             peer_len, peer, (int)conn->door->listener.name.len, conn->door->listener.name.ptr,
             why);
    client_end(conn, METRICS_CLOSED_PROXY_HEADER);
}

void client_proxy_on_timeout(struct client_conn *conn)
{
    client_proxy_fail(conn, "it did not come in time");
}

/* Told nothing, but there is a line that says why: so it is with one that came without such a header. */
static void client_proxy_close(struct client_conn *conn)
{
    struct exchange_refusal refusal = {
        .listener = &conn->door->listener,
        .peer_ip = conn->peer_ip,
        .end = END_ADDRESS_CONNECTIONS,
    };
    record_id_make(&refusal.id, &client_loop(conn)->rng);
    exchange_refusal_record(conn->env->exchanges, &refusal, 0);
    client_end(conn, METRICS_CLOSED_RESPONSE);
}

/* Under TLS a refusal would be no answer, and a handshake costs too much. */
static void client_proxy_refuse(struct client_conn *conn)
{
    if (conn->door->listener.tls != NULL || !client_has_work(conn)) {
        client_proxy_close(conn);
        return;
    }
    conn->work->began_us = client_loop(conn)->mono_us;
    client_begin_refusal(conn, END_ADDRESS_CONNECTIONS);
}

/* Who is named is counted as if it had come itself. */
static void client_proxy_done(struct client_conn *conn, const struct net_proxy *header)
{
    conn->stream.on_ready = client_on_ready;
    client_set_state(conn, CLIENT_IDLE);
    if (header->has_address) {
        conn->peer_ip = header->ends.source;
        conn->peer_is_unix = false;
        conn->is_named = true;
        conn->named_destination = header->ends.destination;
        conn->named_source_port = header->ends.source_port;
        conn->named_destination_port = header->ends.destination_port;
        if (!client_enter_address(conn)) {
            client_proxy_refuse(conn);
            return;
        }
    }
    if (conn->door->listener.tls == NULL)
        client_drive(conn);
    else if (client_tls_begin(conn))
        conn->stream.on_ready(&conn->stream, conn); /* no event tells what came with the header */
    else
        client_end(conn, METRICS_CLOSED_TLS_HANDSHAKE);
}

static void client_on_proxy(struct net_stream *stream, void *arg)
{
    struct client_conn *conn = arg;
    char *bytes = client_loop(conn)->scratch;
    struct net_proxy header;
    ssize_t n = net_stream_peek(stream, bytes, NET_PROXY_MAX_BYTES);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) { /* a look whether the port is open; no header is awaited from who has left */
        client_end(conn, METRICS_CLOSED_CLIENT);
        return;
    }
    switch (net_proxy_parse(&header, (struct span){bytes, (size_t)n})) {
    case NET_PROXY_MORE:
        if (stream->saw_end)
            client_end(conn, METRICS_CLOSED_CLIENT);
        break;
    case NET_PROXY_BAD:
        client_proxy_fail(conn, header.why);
        break;
    case NET_PROXY_DONE:
        (void)net_stream_read(stream, bytes, header.len); /* they are there */
        stream->is_readable = true; /* what came with it makes no event of its own */
        client_proxy_done(conn, &header);
        break;
    }
}

void client_ends(const void *arg, struct net_proxy_ends *ends)
{
    const struct client_conn *conn = arg;
    struct net_address own, peer;
    *ends = (struct net_proxy_ends){.source = conn->peer_ip};
    if (conn->is_named) {
        ends->destination = conn->named_destination;
        ends->source_port = conn->named_source_port;
        ends->destination_port = conn->named_destination_port;
        return;
    }
    net_stream_ends(&conn->stream, &own, &peer);
    ends->destination = net_address_ip(&own);
    ends->source_port = peer.port;
    ends->destination_port = own.port;
}
