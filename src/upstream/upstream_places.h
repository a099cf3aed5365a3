/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_places.h - how many connections the process has to each server, and who waits for one.  Shared by all workers:
 * counts are atomic, so that max_connections is exact whatever worker connects; the queues have one lock, which is
 * touched only while somebody waits.  They outlive reloads.
 *
 * Who waits stands in the queue of the upstream, not of one server: whichever has room first takes the first in line.  A
 * place that becomes free calls the first who was not called, by a letter to that worker.  The called one tries; when it
 * cannot use the place (it is for a server that failed it before), it calls the next behind it.  While somebody waits, no
 * other request takes a place. */
#ifndef SLUICE_UPSTREAM_PLACES_H
#define SLUICE_UPSTREAM_PLACES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base_list.h"
#include "base/base_span.h"
#include "loop/loop.h"

struct upstream_places;

/* One server.  Owner: the places; counted.  Freed by: the last upstream_tally_unref.  Thread: any. */
struct upstream_tally {
    struct upstream_places *places;
    struct list node;
    unsigned refs; /* under the lock */
    char *upstream, *server;
    atomic_uint open; /* connections, kept ones too */
    atomic_uint busy; /* of those that are counted: exchanges have them */
};

/* The line of one upstream.  Owner: the places; counted.  Freed by: the last upstream_queue_unref.  Thread: any. */
struct upstream_queue {
    struct upstream_places *places;
    struct list node;
    unsigned refs; /* under the lock, like the next two */
    char *upstream;
    struct list waiters; /* who came first is first */
    unsigned called;
    atomic_uint waiting;
};

/* Where the letters for one worker arrive.  Owner: that worker's set.  Thread: the worker's, but for what is said. */
struct upstream_bell {
    struct upstream_places *places;
    struct loop *loop;
    struct list node;
    struct list called;        /* waiters; under the lock, like the next two */
    bool is_rung;              /* a letter is on its way */
    bool is_asked;             /* to let kept connections go */
    void (*let_go)(void *arg); /* close kept connections that others wait for */
    void *arg;
};

/* One who waits.  Owner: an exchange.  Thread: the worker's; the rest is under the lock. */
struct upstream_waiter {
    struct upstream_queue *queue; /* NULL: not in line */
    struct upstream_bell *bell;
    uint64_t since_us;
    void (*on_ready)(void *arg); /* called: try */
    void *arg;
    bool is_called;
    struct list node, called_node;
};

/* Owner: the main thread, longer than any worker.  NULL when out of memory. */
struct upstream_places *upstream_places_new(void);
void upstream_places_free(struct upstream_places *places);

void upstream_bell_open(struct upstream_bell *bell, struct upstream_places *places,
                        struct loop *loop, void (*let_go)(void *arg), void *arg);
void upstream_bell_close(struct upstream_bell *bell);

/* The tally of a server, made when there is none; NULL when out of memory. */
struct upstream_tally *upstream_tally_ref(struct upstream_places *places, struct span upstream,
                                          struct span server);
void upstream_tally_unref(struct upstream_tally *tally);

/* Count one more connection unless there are `max` (0: no limit). */
static inline bool upstream_tally_claim(struct upstream_tally *tally, unsigned max)
{
    unsigned open = atomic_load(&tally->open);
    if (max == 0) {
        atomic_fetch_add(&tally->open, 1);
        return true;
    }
    while (open < max) {
        if (atomic_compare_exchange_weak(&tally->open, &open, open + 1))
            return true;
    }
    return false;
}

/* The queue of an upstream, made when there is none; NULL when out of memory. */
struct upstream_queue *upstream_queue_ref(struct upstream_places *places, struct span upstream);
struct upstream_queue *upstream_queue_ref_again(struct upstream_queue *queue);
void upstream_queue_unref(struct upstream_queue *queue);

static inline bool upstream_queue_has_waiters(struct upstream_queue *queue)
{
    return atomic_load(&queue->waiting) != 0;
}

/* Stand in line: behind all who wait since an earlier time.  False: `max` wait already.  The caller tries once more
 * afterwards (see upstream_waiter_may_try): room that came about in between has called nobody. */
bool upstream_queue_enter(struct upstream_queue *queue, struct upstream_waiter *waiter,
                          struct upstream_bell *bell, unsigned max);
/* Leave it, served or not.  What it was called for and did not use, the next one may: `has_used` says. */
void upstream_queue_leave(struct upstream_waiter *waiter, bool has_used);
/* A called one found no room: the next behind it may. */
void upstream_queue_pass(struct upstream_waiter *waiter);
bool upstream_waiter_may_try(struct upstream_waiter *waiter);

/* There is a free place, or something else has changed: call the first. */
void upstream_queue_call(struct upstream_queue *queue);
/* Now and then: the same, unless somebody is called already; and answer calls whose letter could not be sent. */
void upstream_queue_stir(struct upstream_queue *queue, struct upstream_bell *bell);
/* Is the one who would be called next of another worker? */
bool upstream_queue_goes_elsewhere(struct upstream_queue *queue, const struct upstream_bell *bell);
/* Workers other than this one: let kept connections go. */
void upstream_queue_ask_others(struct upstream_queue *queue, const struct upstream_bell *bell);

#endif
