/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_private.h - the servers of a worker, for upstream.c, which has their connections, upstream_take.c, which
 * chooses among them, and upstream_seen.c, which tells of them. */
#ifndef SLUICE_UPSTREAM_UPSTREAM_PRIVATE_H
#define SLUICE_UPSTREAM_UPSTREAM_PRIVATE_H

#include "upstream/upstream.h"
#include "upstream/upstream_conn.h"
#include "upstream/upstream_proxied.h"

/* Owner: the worker.  Freed by: upstream_set_free.  Thread: the worker's. */
struct upstream_set {
    struct loop *loop;
    struct net_resolver *resolver;
    struct upstream_health *health;
    struct list servers;
    struct list spare;              /* connection objects to use again */
    struct upstream_places *places; /* of the process */
    struct upstream_bell bell;
};

/* What the pool that it is taken for wants to know of it. */
static inline void upstream_conn_take_notes(struct upstream_conn *conn,
                                            const struct upstream_pool *pool, bool is_extra)
{
    conn->notes = pool->notes;
    if (is_extra)
        conn->notes |= UPSTREAM_NOTE_EXTRA;
    conn->health = &pool->conf->health;
}

void upstream_server_unref(struct upstream_server *server);
/* Close all kept connections: their references go, and perhaps the server. */
void upstream_server_drop_idle(struct upstream_server *server);
/* Close the kept connection that has been idle longest.  False: none is kept. */
bool upstream_server_close_oldest(struct upstream_server *server);
/* A kept connection, or NULL.  A server may have closed it a moment ago, unseen yet: `careful` asks the kernel once more. */
struct upstream_conn *upstream_server_take_idle(struct upstream_server *server, bool careful);
/* The same of a server whose connections name a client: one that began with this header. */
struct upstream_conn *upstream_server_take_proxied(struct upstream_server *server,
                                                   const struct upstream_want *want);
/* A new one, whose place is counted already; NULL, with errno: its place is given up. */
struct upstream_conn *upstream_server_connect(struct upstream_server *server,
                                              const struct upstream_pool *pool, struct span header);
/* In progress from now on, as far as the choice counts. */
void upstream_conn_count(struct upstream_conn *conn);

#endif
