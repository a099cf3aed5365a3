/* SPDX-License-Identifier: Apache-2.0 */
/* upstream.h - the servers behind Sluice, as one worker sees them: pools of kept connections, whose turn it is,
 * what is down.  Takes: upstream_conf.  Gives: a connection to a server, new or kept, or a place in the queue for
 * one.  Servers outlive reloads that keep their address. */
#ifndef SLUICE_UPSTREAM_UPSTREAM_H
#define SLUICE_UPSTREAM_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_err.h"
#include "loop/loop.h"
#include "net/net_resolve.h"
#include "net/net_tls.h"
#include "upstream/upstream_conf.h"
#include "upstream/upstream_health.h"
#include "upstream/upstream_names.h"
#include "upstream/upstream_pick.h"
#include "upstream/upstream_places.h"

struct upstream_conn;
struct upstream_proxied_table;
struct upstream_set;

/* One server, as one worker sees it.  Owner: the set; counted by pools and connections.  Freed by: the last of them.
 * Thread: the worker's. */
struct upstream_server {
    struct upstream_set *set;
    struct list node; /* in the set */
    unsigned refs;
    char *upstream, *name; /* the upstream's name and the address as configured */
    struct net_tls *tls;   /* a reference; NULL: plain */
    char *tls_name;
    struct net_tls_kept session; /* that its last connection left */
    enum net_proxy_version proxy;
    struct upstream_proxied_table *proxied; /* where connections begin with a PROXY header */
    struct upstream_names names;
    struct net_watch *watch; /* when the address is a name */
    struct list idle;        /* kept connections, last used first */
    unsigned idle_count, idle_max, pools;
    uint64_t idle_us;
    uint64_t down_until_us;       /* UINT64_MAX: no address is known yet */
    uint64_t back_at_us;          /* since when it is usable again; 0: always was */
    bool was_out;                 /* when its upstream was looked at last */
    struct upstream_vital *vital; /* a reference: what the whole process knows of its health */
    struct upstream_tally *tally; /* a reference */
    struct upstream_queue
        *queue;      /* a reference; NULL: no plan has bounded a server of this upstream */
    uint32_t weight; /* by the plan in force */
    metrics_slot slot_ok, slot_failed, slot_open;
};

/* Is this server worth a request now, as far as is known?  One that is not is asked only when no other is. */
static inline bool upstream_server_is_usable(const struct upstream_server *server, uint64_t now_us)
{
    return server->down_until_us <= now_us &&
           (upstream_vital_state(server->vital) & UPSTREAM_VITAL_OUT) == 0;
}

/* One upstream of one plan.  Owner: the snapshot that asked for it.  Freed by: upstream_pool_free.
 * Thread: the worker's. */
struct upstream_pool {
    struct upstream_set *set;
    const struct upstream_conf *conf; /* borrowed from the plan */
    struct upstream_server **servers; /* references */
    struct upstream_candidate *candidates;
    unsigned server_count;
    bool is_single;               /* there is nothing to choose, to count and to match */
    bool is_counted;              /* requests in progress are */
    uint64_t primaries, backups;  /* masks of those that take requests */
    struct upstream_queue *queue; /* a reference; NULL: no server has max_connections */
    unsigned waiting;             /* of this pool */
    struct loop_timer stir;       /* while some are */
    uint8_t notes;                /* what is noted of its connections: UPSTREAM_NOTE_* */
    uint64_t requests;            /* first tries since asked_at_us */
    uint64_t asked_at_us;         /* when the retry budget was asked last */
};

/* All servers of one worker.  Owner: the worker. */
struct upstream_set *upstream_set_new(struct loop *loop, struct net_resolver *resolver,
                                      struct upstream_places *places,
                                      struct upstream_health *health);
void upstream_set_free(struct upstream_set *set);
void upstream_set_close_idle(struct upstream_set *set);

/* Its servers live on from one plan to the next.  Until upstream_pool_enter they do as the plan before says, which goes on
 * if this one is never put in force. */
struct upstream_pool *upstream_pool_new(struct upstream_set *set, const struct upstream_conf *conf);
void upstream_pool_enter(struct upstream_pool *pool); /* its plan is in force */
void upstream_pool_free(struct upstream_pool *pool);

enum upstream_take {
    UPSTREAM_KEPT,       /* a kept connection, ready */
    UPSTREAM_CONNECTING, /* wait for on_ready */
    UPSTREAM_NONE,       /* every server failed; errno of the last one */
    UPSTREAM_FULL,       /* every usable server has its max_connections, or others wait already */
};

/* Who uses a connection: told when it is ready for more (readable, writable, connected or dead), and
 * when its deadline has passed. */
struct upstream_user {
    void (*on_ready)(void *arg);
    void (*on_deadline)(void *arg);
    void *arg;
};

/* What an exchange wants. */
struct upstream_want {
    bool is_fresh;       /* never a kept connection */
    unsigned tries;      /* that were made for this exchange */
    bool is_careful;     /* look at a kept one once more (for requests that cannot be sent twice) */
    const uint64_t *key; /* of a hash; NULL: there is none */
    struct span header;  /* that the connection begins with, where conf->proxy says so */
    struct upstream_user user;
    struct upstream_waiter *waiter; /* in line; NULL: it is not */
};

/* A connection to the server whose turn it is.  `tried` are the servers that were asked for this exchange: bit i is
 * server i; for one who waits they are forgiven when they are usable again, and so are those that have other addresses, as
 * often as there are some.  Each try but the first needs the retry budget's leave.  A waiter leaves the queue unless the answer
 * is UPSTREAM_FULL. */
enum upstream_take upstream_take(struct upstream_pool *pool, const struct upstream_want *want,
                                 uint64_t *tried, struct upstream_conn **conn);

/* After UPSTREAM_FULL: stand in line since `since_us`, unless `max` do; take again at once, and whenever on_ready is
 * called.  False: the queue is full. */
bool upstream_wait(struct upstream_pool *pool, struct upstream_waiter *waiter, uint64_t since_us,
                   unsigned max, void (*on_ready)(void *arg), void *arg);
/* Nobody waits any longer. */
void upstream_wait_no_more(struct upstream_pool *pool, struct upstream_waiter *waiter);

/* The connect began by upstream_take has failed: say so, so that the server is left alone for a
 * second.  Closes the connection. */
void upstream_failed(struct upstream_conn **conn);

/* The request was lost without an answer, and it is the server's fault.  Before the connection is closed. */
void upstream_note_failure(struct upstream_conn *conn, enum upstream_failure how);

/* The response is complete: keep the connection for the next exchange if it can serve one. */
void upstream_return(struct upstream_conn **conn);
void upstream_close(struct upstream_conn **conn);
/* With a reset: the server sees that what it was sent is not whole. */
void upstream_abort(struct upstream_conn **conn);

struct span upstream_server_name(const struct upstream_conn *conn);

#endif
