/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_orders.h - what operators have ordered of servers, in memory that outlives the serving process: who takes one
 * out for repairs does not want it back because of a crash elsewhere.  Takes: names of upstreams and servers.  Gives: the
 * order that holds.  Bounded: UPSTREAM_ORDERS_MAX at a time, then one more is refused. */
#ifndef SLUICE_UPSTREAM_ORDERS_H
#define SLUICE_UPSTREAM_ORDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_hash.h"
#include "base/base_span.h"

#define UPSTREAM_ORDERS_MAX 256

enum upstream_order {
    UPSTREAM_ORDER_NONE,  /* as checks and failures say */
    UPSTREAM_ORDER_DRAIN, /* no new requests */
    UPSTREAM_ORDER_DOWN,  /* the same, and no connection is kept */
    UPSTREAM_ORDER_COUNT
};

struct upstream_ordered {
    enum upstream_order order;
    uint64_t at_us; /* wall clock */
};

/* Owner: the parent, which makes it before it forks.  Freed by: upstream_orders_free.  Thread: the main thread of the
 * serving process writes, the parent reads. */
struct upstream_orders;

/* Shared with every process that is forked from here on.  NULL: no memory. */
struct upstream_orders *upstream_orders_new(void);
void upstream_orders_free(struct upstream_orders *orders);

struct hash128 upstream_orders_key(struct span upstream, struct span server);
/* Order NONE: there is no other. */
struct upstream_ordered upstream_orders_find(const struct upstream_orders *orders,
                                             struct hash128 key);
/* False: there are as many as there may be, and nothing has changed. */
bool upstream_orders_set(struct upstream_orders *orders, struct hash128 key,
                         struct upstream_ordered ordered);
/* Those of which is_known says false are forgotten. */
void upstream_orders_keep(struct upstream_orders *orders,
                          bool (*is_known)(void *arg, struct hash128 key), void *arg);

/* One as it is handed over to another program.  The next from *place on (0 at first); false: there is none. */
struct upstream_orders_row {
    struct hash128 key;
    struct upstream_ordered ordered;
};
bool upstream_orders_next(const struct upstream_orders *orders, unsigned *place,
                          struct upstream_orders_row *row);

#endif
