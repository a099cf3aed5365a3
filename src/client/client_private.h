/* SPDX-License-Identifier: Apache-2.0 */
/* client_private.h - a client's connection, for the files of this module only. */
#ifndef SLUICE_CLIENT_PRIVATE_H
#define SLUICE_CLIENT_PRIVATE_H

#include "client/client.h"
#include "client/client_work.h"
#include "exchange/exchange.h"
#include "net/net_stream.h"

#define CLIENT_CORK_BYTES    (256u * 1024)
#define CLIENT_GATHER_BYTES  4096
#define CLIENT_OUT_MAX_BYTES (1u << 20)

enum client_state {
    CLIENT_IDLE,   /* between requests; without work: nothing read, nothing to write */
    CLIENT_HEAD,   /* part of a head has come */
    CLIENT_BUSY,   /* an exchange is in progress */
    CLIENT_LINGER, /* our side is finished; what the client still sends is read away */
    CLIENT_CLOSED, /* to be freed at the end of the callback */
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
    enum client_state state;
    bool peer_is_unix;
    bool is_driving; /* client_drive is on the stack */
    bool is_broken;  /* a write failed */
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
