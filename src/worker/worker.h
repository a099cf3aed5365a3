/* SPDX-License-Identifier: Apache-2.0 */
/* worker.h - one serving thread: its loop, listeners, pools, and the plan it serves.  Takes: orders from
 * the main thread by mail.  Gives: numbers through its metrics block.  Shares nothing else. */
#ifndef SLUICE_WORKER_WORKER_H
#define SLUICE_WORKER_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_err.h"
#include "lease/lease.h"
#include "loop/loop_log.h"
#include "metrics/metrics.h"
#include "plan/plan.h"

struct worker;
struct client_addresses;
struct exchange_verified;
struct net_tls_tickets;
struct upstream_places;
struct upstream_health;

/* What every worker is given; borrowed, must outlive them. */
struct worker_env {
    struct metrics_registry *metrics;
    struct loop_log *log; /* worker i writes to ring i */
    struct lease *lease;
    atomic_uint *connections;              /* open client connections of the process */
    _Atomic uint64_t *head_bytes;          /* memory held by incomplete heads, process-wide */
    _Atomic uint64_t *body_bytes;          /* the same by buffered bodies */
    struct client_addresses *addresses;    /* how many connections each address has, process-wide */
    struct exchange_verified *verified;    /* who was accepted lately, process-wide */
    struct upstream_places *places;        /* connections to each server, process-wide */
    struct upstream_health *health;        /* of servers, process-wide */
    const struct net_tls_tickets *tickets; /* keys of TLS sessions, of the parent; may be NULL */
    bool is_held;                          /* it accepts from worker_go on, not before */
};

/* The listening sockets of one worker for one plan: fds[i] belongs to plan->listeners[i]. */
struct worker_listeners {
    unsigned count;
    int *fds;
};

/* Start the thread with a plan (a reference is taken) and its listeners (the descriptors are taken).
 * Signals are blocked in it.  NULL when it cannot start. */
struct worker *worker_start(unsigned index, const struct worker_env *env, struct plan *plan,
                            const struct worker_listeners *listeners);

/* Another plan, in two steps, so that several workers change together or not at all; each waits until the worker has
 * done it.
 * Prepare makes everything that the plan needs and can fail.  `listeners` lists a descriptor for every listener of the
 * new plan; one that is open already keeps its number.  When it fails nothing has changed.
 * Settle follows every prepare that was good, and cannot fail.  is_wanted: serve the plan from the next turn on: new
 * exchanges use it, those in progress keep theirs, pools of unchanged servers and listeners whose descriptor is kept go
 * on, descriptors that were not listed are closed after their queue is drained.  Otherwise: forget it; descriptors that
 * were not open before are the caller's to close. */
MUST_USE enum err worker_prepare(struct worker *worker, struct plan *plan,
                                 const struct worker_listeners *listeners);
void worker_settle(struct worker *worker, bool is_wanted);

/* Run look(exchanges, arg) on the worker's thread, between two turns, and wait until it is done: what a worker owns is looked
 * at there.  ERR_NOMEM: it was not run. */
struct exchange_env;
MUST_USE enum err worker_look(struct worker *worker,
                              void (*look)(const struct exchange_env *exchanges, void *arg),
                              void *arg);
/* Is the thread alive?  It will answer with this number at its next turn.  False: there is no memory to ask. */
bool worker_ping(struct worker *worker, uint32_t number);
uint32_t worker_pong(const struct worker *worker); /* the last number that it answered */

/* A worker that is held accepts from here on, what waits in the queues first; another one does so already. */
void worker_go(struct worker *worker);

/* Others serve what comes from here on: close the listeners, whose queues are theirs too, and let connections end with
 * their next response.  Those between two requests stay open.  worker_drain follows. */
void worker_give_way(struct worker *worker);

/* Stop accepting, close idle connections, let responses in flight finish.  Returns at once; the caller
 * waits for worker_is_idle as long as it likes and then stops the worker, which closes what is left. */
void worker_drain(struct worker *worker);
bool worker_is_idle(const struct worker *worker); /* nothing left to finish */
/* How many connections are owed a response, a moment ago; 0: none, or it does not drain yet. */
unsigned worker_owed(const struct worker *worker);

/* End the thread and free everything. */
void worker_stop(struct worker **worker);

#endif
