/* SPDX-License-Identifier: Apache-2.0 */
/* client_private.h - a client's connection, for the files of this module only. */
#ifndef SLUICE_CLIENT_PRIVATE_H
#define SLUICE_CLIENT_PRIVATE_H

#include "base/base_buf.h"
#include "client/client.h"
#include "exchange/exchange.h"
#include "http/http_body.h"
#include "net/net_stream.h"

#define CLIENT_CORK_BYTES    (256u * 1024)
#define CLIENT_GATHER_BYTES  4096
#define CLIENT_OUT_MAX_BYTES (1u << 20)

enum client_state {
    CLIENT_IDLE,   /* between requests, nothing read */
    CLIENT_HEAD,   /* part of a head has come */
    CLIENT_BUSY,   /* an exchange is in progress */
    CLIENT_LINGER, /* our side is finished; what the client still sends is read away */
    CLIENT_CLOSED, /* to be freed at the end of the callback */
};

/* How the body of the response in progress is written. */
enum client_framing {
    CLIENT_RAW,
    CLIENT_CHUNKED,
    CLIENT_NOTHING, /* HEAD, 204, 304: data is left away */
};

/* Owner: its env.  Freed by: itself.  Thread: the worker's. */
struct client_conn {
    struct client_env *env;
    struct client_door *door; /* a reference */
    struct net_stream stream;
    struct list node;
    struct loop_timer timer;
    struct loop_task task; /* after a failed write, at the end of the turn */
    enum client_state state;
    struct exchange *x;
    struct ip peer_ip;
    bool peer_is_unix;
    bool is_driving; /* client_drive is on the stack */
    bool is_broken;  /* a write failed */
    bool keep_alive; /* the client's wish */
    bool is_1_0;
    bool will_close;   /* the response in progress says so */
    bool request_done; /* the request in progress has been read whole */
    bool at_is_kept;   /* at points into `in`, else into the loop's scratch (this callback only) */
    enum client_framing framing;
    struct buf in, out;
    size_t held_bytes; /* counted in env->head_bytes */
    size_t scanned;
    char *at;
    size_t left;
    uint64_t began_us;   /* first byte of the head */
    uint64_t waiting_us; /* since when the body is waited for; 0: it is not */
    uint64_t waited_us;  /* for this body, before that */
    uint64_t stalled_us; /* when a client that takes nothing of `out` has had its time */
    uint64_t linger_until_us;
    struct http_body body;
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

void client_set_state(struct client_conn *conn, enum client_state state);

/* Bytes to look at in conn->at: how many, 0 to wait, negative when the client has ended or failed. */
ssize_t client_fill(struct client_conn *conn);
/* Bytes that were read but not looked at move out of the scratch, which is everybody's. */
bool client_keep_rest(struct client_conn *conn);
void client_drop_input(struct client_conn *conn);

/* One request head: true when an exchange was begun or the connection changed state. */
bool client_read_head(struct client_conn *conn);
/* Begin an exchange that only refuses: no later byte of this connection can be trusted to begin a request. */
bool client_refuse(struct client_conn *conn, struct exchange_request *request);

/* Send what waits. */
void client_flush(struct client_conn *conn);
/* The parts of CLIENT_OPS that other files of this module hold. */
enum exchange_body client_read_body(void *arg, struct span *data, struct http_fault *fault,
                                    struct arena *arena);
void client_finished(void *arg, enum exchange_after after);
/* A body that waits too long at this moment? */
bool client_body_is_slow(const struct client_conn *conn);

#endif
