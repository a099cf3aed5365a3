/* SPDX-License-Identifier: Apache-2.0 */
/* client.h - the clients' HTTP/1.1 connections of one worker.  Takes: accepted sockets.  Gives: requests to
 * exchanges, one after the other, and their responses back in that order. */
#ifndef SLUICE_CLIENT_CLIENT_H
#define SLUICE_CLIENT_CLIENT_H

#include <stdatomic.h>

#include "base/base_list.h"
#include "client/client_addresses.h"
#include "exchange/exchange_env.h"
#include "net/net_address.h"

/* A listener as its connections remember it, whatever plan comes.  Owner: counted.  Freed by:
 * client_door_unref.  Thread: the worker's. */
struct client_door {
    unsigned refs;
    struct plan_listener listener; /* name and address_text are its own, tls is a reference */
};

struct client_door *client_door_new(const struct plan_listener *listener);
void client_door_unref(struct client_door *door);

struct client_work;
struct net_tls_tickets;

/* What the workers of the process count together; all borrowed. */
struct client_shared {
    atomic_uint *connections;     /* client connections that are open */
    _Atomic uint64_t *head_bytes; /* held by incomplete heads */
    struct client_addresses *addresses;
    const struct net_tls_tickets *tickets; /* may be NULL */
};

#define CLIENT_REFUSED_MAX 16

/* A socket that was told 503 and waits for its client to read it; fd -1: none. */
struct client_refused {
    int fd;
    uint64_t until_us;
};

/* Owner: the worker.  Freed by: client_env_fini.  Thread: the worker's. */
struct client_env {
    struct exchange_env *exchanges; /* borrowed */
    struct client_shared shared;
    struct list conns, spare;
    struct list handshakes; /* those in a TLS handshake, the oldest first */
    unsigned handshake_count;
    struct client_work *spare_work; /* a list */
    unsigned count, spare_work_count;
    unsigned lingering; /* of count: those whose last response has gone */
    bool is_draining;
    bool is_patient; /* while draining: who is between two requests may ask once more */
    /* A connection was closed, so that there is a descriptor again; may be NULL. */
    void (*on_closed)(void *arg);
    void *on_closed_arg;
    struct client_refused refused[CLIENT_REFUSED_MAX]; /* a ring */
    unsigned refused_next;
    struct loop_timer refused_timer;
    char *cork; /* a response head and small data wait here for the end of the callback */
    size_t cork_len;
};

MUST_USE enum err client_env_init(struct client_env *env, struct exchange_env *exchanges,
                                  const struct client_shared *shared);
void client_env_fini(struct client_env *env); /* every connection must be closed */

/* Serve this socket (taken).  One too many is told 503 and closed, and has a line in the access log: beyond
 * limits.connections (TOO_MANY_CONNECTIONS), or limits.connections_per_address (ADDRESS_CONNECTIONS), which Unix
 * sockets and trusted proxies are exempt from. */
void client_accept(struct client_env *env, struct client_door *door, int fd,
                   const struct net_address *peer);

/* Idle connections are told the end, and closed when their clients have closed them or a moment has passed; the others
 * end with their response. */
void client_drain(struct client_env *env);
/* While draining: how many connections are owed a response. */
unsigned client_owed(const struct client_env *env);
/* Close everything now. */
void client_close_all(struct client_env *env);

#endif
