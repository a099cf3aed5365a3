/* SPDX-License-Identifier: Apache-2.0 */
/* client_private.h - a client's connection, for the files of this module only. */
#ifndef SLUICE_CLIENT_PRIVATE_H
#define SLUICE_CLIENT_PRIVATE_H

#include "client/client.h"
#include "client/client_work.h"
#include "exchange/exchange.h"
#include "net/net_stream.h"
#include "net/net_tls.h"

#define CLIENT_CORK_BYTES (256u * 1024)
#define CLIENT_HEAD_OWN_BYTES                                                                      \
    160 /* of a response: the status line without its reason, the framing */
#define CLIENT_GATHER_BYTES  4096
#define CLIENT_OUT_MAX_BYTES (1u << 20)
#define CLIENT_FAR_AWAY_US   3600000000u /* a deadline that something nearer will replace */
#define CLIENT_IN_MAX_BYTES  (1u << 20)  /* beyond every limit of heads that can be configured */

enum client_state {
    CLIENT_PROXY,     /* a PROXY header is awaited; without work */
    CLIENT_HANDSHAKE, /* of TLS; without work; in env->handshakes */
    CLIENT_IDLE,      /* between requests; without work: nothing read, nothing to write */
    CLIENT_HEAD,      /* part of a head has come */
    CLIENT_BUSY,      /* an exchange is in progress */
    CLIENT_LINGER,    /* our side is finished; what the client still sends is read away */
    CLIENT_CLOSED,    /* to be freed at the end of the callback */
};

/* How the body of the response in progress is written. */
enum client_framing {
    CLIENT_RAW,
    CLIENT_CHUNKED,
    CLIENT_NOTHING, /* HEAD, 204, 304: data is left away */
};

/* Small: idle ones are counted in thousands.  Owner: its env.  Freed by: itself.  Thread: the worker's. */
struct client_conn {
    struct client_env *env;
    struct client_door *door; /* a reference */
    struct net_stream stream;
    struct list node;
    struct loop_timer timer;
    struct client_work *work; /* NULL between callbacks while it is idle */
    struct exchange *x;
    struct ip peer_ip;
    struct ip named_destination; /* where is_named: as its PROXY header says, with the ports */
    uint16_t named_source_port, named_destination_port;
    bool is_named;
    enum client_state state;
    enum client_framing framing;
    bool peer_is_unix;
    bool is_driving; /* client_drive is on the stack */
    bool is_broken;  /* a write failed */
    bool keep_alive; /* the client's wish */
    bool is_1_0;
    bool is_lingering; /* counted as such */
    bool is_last; /* no request behind the one in progress is begun, whatever the client wishes */
    bool will_close;       /* the response in progress says so */
    bool request_done;     /* the request in progress has been read whole; never in a tunnel */
    bool is_handshaking;   /* in env->handshakes */
    bool is_secured;       /* counted as such */
    bool is_counted;       /* by its address, in env->shared.addresses */
    bool has_skipped_crlf; /* before the request that is awaited */
    bool sends_much; /* its last request had a body, or a head for which a landing is too small */
    uint16_t why; /* enum metrics_id: what ends the connection; 0: the client, until it is known */
    uint32_t requests;    /* that were begun */
    bool is_refused;      /* a quota has refused the last request */
    bool is_held;         /* a response that was sent early waits in `out`, or cannot be sent */
    uint8_t early_misses; /* looks in vain (exchange_early.h), one after the other */
    uint8_t early_waits;  /* requests until the next look */
};

extern const struct exchange_client CLIENT_OPS;

static inline struct loop *client_loop(const struct client_conn *conn)
{
    return conn->env->exchanges->loop;
}

/* Of the configuration in force; a request in progress has its own in conn->x. */
static inline const struct plan_limits *client_limits(const struct client_conn *conn)
{
    return &conn->env->exchanges->snapshot->plan->limits;
}

/* What every request of this connection brings to its exchange, and that it has no head. */
static inline void client_request(const struct client_conn *conn, struct exchange_request *request)
{
    request->head = NULL;
    request->fault = (struct http_fault){HTTP_FAULT_NONE, 0};
    request->refuse = END_OK;
    request->listener = &conn->door->listener;
    request->peer_ip = conn->peer_ip;
    request->peer_is_unix = conn->peer_is_unix;
    const bool is_tls = conn->stream.tls != NULL;
    request->tls_record = is_tls ? net_tls_record(&conn->stream) : SPAN_NONE;
    request->certificate = is_tls ? net_tls_fingerprint(&conn->stream) : SPAN_NONE;
    request->is_last = false;
    request->is_after_refusal = conn->is_refused;
    request->began_us = conn->work->began_us;
}

void client_set_state(struct client_conn *conn, enum client_state state);

/* Bytes to look at in conn->work->at: how many, 0 to wait, or negative. */
enum client_fill {
    CLIENT_FILL_WAIT = 0,
    CLIENT_FILL_END = -1,   /* FIN */
    CLIENT_FILL_ERROR = -2, /* reset */
};
ssize_t client_fill(struct client_conn *conn);
/* Bytes that were read but not looked at move out of the scratch, which is everybody's. */
bool client_move_rest(struct client_conn *conn);
static inline bool client_keep_rest(struct client_conn *conn)
{
    return conn->work->left == 0 || conn->work->at_is_kept || client_move_rest(conn);
}

/* One request head, or a part of one; false when there is nothing to read. */
bool client_read_head(struct client_conn *conn);
/* Begin an exchange that only refuses: no later byte of this connection can be trusted to begin a request. */
void client_refuse(struct client_conn *conn, struct exchange_request *request);

/* Send what waits. */
void client_flush(struct client_conn *conn);
/* The loop tells of its socket from now on; without memory for that nothing can be sent any more. */
void client_watch(struct client_conn *conn);
void client_look(void *arg);
/* A response that no exchange has made; nothing may wait before it. */
void client_send_whole(struct client_conn *conn, struct span response);
/* The parts of CLIENT_OPS that other files of this module hold. */
enum exchange_body client_read_body(void *arg, struct span *data, struct http_fault *fault,
                                    struct arena *arena);
enum exchange_body client_read_tunnel(void *arg, struct span *data);
bool client_gives_pipe(const void *arg);
enum exchange_body client_read_pipe(void *arg, struct net_pipe *pipe);
void client_finished(void *arg, enum exchange_after after);

/* Why the connection ends, for its counter; the first reason stands. */
static inline void client_ends_by(struct client_conn *conn, enum metrics_id why)
{
    if (conn->why == 0)
        conn->why = (uint16_t)why;
}

/* The request's body is waited for from now on; some of it has come. */
void client_pace_await_body(struct client_conn *conn);
void client_pace_got_body(struct client_conn *conn);
/* The client takes less than there is: bytes are unsent from now on. */
void client_pace_blocked(struct client_conn *conn);
/* Is the client too slow at this moment?  END_OK: no. */
enum exchange_end client_pace_judge(struct client_conn *conn);
/* Look again when it could be. */
void client_pace_set_timer(struct client_conn *conn);

/* client_conn.c: what is to be done when the stream is ready; go on as far as possible, may free the connection. */
void client_on_ready(struct net_stream *stream, void *arg);
void client_drive(struct client_conn *conn);
/* End it at once; frees it. */
void client_end(struct client_conn *conn, enum metrics_id why);
bool client_has_work(struct client_conn *conn);
/* One at rest is told that it ends, and a request that crosses this on its way is read away: a reset would tell its
 * client nothing (RFC 9112 section 9.6).  May free it. */
void client_part(struct client_conn *conn);

/* client_conn.c: a connection at rest is told that it is not served, where its client would understand, and ended. */
void client_begin_refusal(struct client_conn *conn, enum exchange_end end);

/* client_proxy.c: does this peer have to begin with a PROXY header? */
bool client_proxy_is_due(const struct client_conn *conn);
/* It comes before anything else; false: no memory. */
bool client_proxy_begin(struct client_conn *conn);
/* The part of CLIENT_OPS that is kept of it. */
void client_ends(const void *arg, struct net_proxy_ends *ends);
void client_proxy_on_timeout(struct client_conn *conn);

/* client_tls.c: the handshake comes before anything else; false: no memory. */
bool client_tls_begin(struct client_conn *conn);
void client_tls_on_timeout(struct client_conn *conn);
/* Who has not begun a handshake need not. */
void client_tls_drain(struct client_env *env);
/* A connection that is closed, or serves requests from here on, is in no handshake. */
void client_tls_leave(struct client_conn *conn);

/* The peer's address is known only now: false when it has too many connections. */
bool client_enter_address(struct client_conn *conn);
/* Serve this socket (taken); the object has been told whose it is. */
void client_begin_serving(struct client_conn *conn, int fd);
/* A connection that is closed is counted no more, and its object is spare. */
void client_leave(struct client_conn *conn);

#endif
