/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_standing.h - how servers stand, for operators, and what they order.  Takes: names.  Gives: what is known of a
 * server in force; and orders that hold until another one comes, whatever checks say.  On the main thread. */
#ifndef SLUICE_UPSTREAM_STANDING_H
#define SLUICE_UPSTREAM_STANDING_H

#include "upstream/upstream_health.h"
#include "upstream/upstream_orders.h"

/* What matters most of it: an order, then checks, then failures. */
enum upstream_state {
    UPSTREAM_STATE_UP,
    UPSTREAM_STATE_EJECTED,   /* for failures of requests, until_us */
    UPSTREAM_STATE_UNHEALTHY, /* checks are bad */
    UPSTREAM_STATE_DRAINING,  /* ordered */
    UPSTREAM_STATE_DOWN,      /* ordered */
    UPSTREAM_STATES
};
extern const char *const UPSTREAM_STATE_WORDS[UPSTREAM_STATES];
extern const char *const UPSTREAM_ORDER_WORDS[UPSTREAM_ORDER_COUNT]; /* "ready", "drain", "down" */

struct upstream_standing {
    enum upstream_state state;
    char reason[128]; /* empty: it is up */
    bool is_used; /* it may get a request: so it is up, or there is panic; and it has a weight */
    uint64_t until_us;
    uint64_t ordered_at_us;        /* wall clock, like none of the others */
    struct upstream_checked check; /* at_us 0: there was none */
    const char *failure;           /* the last one of a request, a sentence; NULL: there was none */
    uint64_t failed_at_us;
    unsigned failed_run; /* in a row */
};

/* False: no server of this name is in force. */
bool upstream_standing_of(struct upstream_health *health, struct span upstream, struct span server,
                          struct upstream_standing *standing);

/* The upstream as a whole. */
struct upstream_group_standing {
    unsigned usable, servers; /* those that are ordered away count as servers */
    bool is_panic;            /* servers are used although they are not up */
    bool is_empty;            /* no server is left that may be asked: orders took the last one */
};
bool upstream_standing_of_group(struct upstream_health *health, struct span upstream,
                                struct upstream_group_standing *standing);

enum upstream_order_result {
    UPSTREAM_ORDERED,
    UPSTREAM_ORDER_UNKNOWN, /* no such server is in force */
    UPSTREAM_ORDER_LAST,    /* it is the last usable one, or the last that may be asked at all */
    UPSTREAM_ORDER_FULL,    /* UPSTREAM_ORDERS_MAX hold already */
};

/* In force for all workers when it returns: no request that begins now goes to a server that is ordered away.  Unless it is
 * forced, the last server stays.  Workers close what they keep of one that is down by upstream_set_obey. */
enum upstream_order_result upstream_health_order(struct upstream_health *health,
                                                 struct span upstream, struct span server,
                                                 struct upstream_ordered ordered, bool is_forced);

#endif
