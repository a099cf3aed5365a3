/* SPDX-License-Identifier: Apache-2.0 */
/* lease.h - the one door to quotas for an exchange: answers from what this process holds, asks the
 * store, and decides without it when it is away.  Thread: struct lease belongs to the process (shared), struct lease_worker to one worker. */
#ifndef SLUICE_LEASE_LEASE_H
#define SLUICE_LEASE_LEASE_H

#include "loop/loop.h"
#include "quota/quota.h"

#define LEASE_UNAVAILABLE_RETRY_S 5 /* the longest wait that a quota that cannot decide asks for */

struct store_memory;
struct store_redis_conf;
struct lease;
struct lease_worker;
struct lease_pending;
struct lease_hold;

/* One request's question.  Owner: the exchange; it must stay until `done` has run or lease_cancel has. */
struct lease_ask {
    struct quota_charge charges[QUOTA_MAX_PER_ROUTE];
    unsigned count;
    bool has_gates;          /* one of the charges is of a gate */
    struct lease_hold *hold; /* slots that it needs too (lease_hold.h); NULL: none */
    uint64_t
        since_us; /* monotonic: when the request began to wait for the store; 0: it does not yet */
    void (*done)(struct lease_ask *ask, void *arg); /* never called from inside lease_decide */
    void *arg;
    /* out */
    struct quota_decision decision;
    uint64_t asked_at_us; /* monotonic; t_store is measured from here */

    struct lease_pending *pending; /* lease_worker's */
};

/* Over the embedded store or over Redis: one of the two is not NULL.  The memory store is borrowed, the
 * configuration copied.  NULL when out of memory or when the configuration is unusable. */
struct lease *lease_new(struct store_memory *memory, const struct store_redis_conf *redis);
void lease_free(struct lease *lease);

/* Tell when the store is lost and back: the inside of an event's JSON object ("\"event\":\"store_lost\",...").
 * From any worker's thread.  Before the first worker is made. */
void lease_on_event(struct lease *lease, void (*fn)(void *arg, const char *json), void *arg);

struct lease_worker *lease_worker_new(struct lease *lease, struct loop *loop);
void lease_worker_free(struct lease_worker *worker); /* every ask must be done or cancelled */

/* Give back what the process holds of leases: limits may have changed. */
void lease_worker_return_all(struct lease_worker *worker);
/* The worker has nothing more to ask.  True once the store has answered what is given back, or that takes too long; ask
 * again until then. */
bool lease_worker_leave(struct lease_worker *worker);

/* Changes when an operator may have made room for somebody.  Of the embedded store; 0 over Redis. */
uint32_t lease_orders(const struct lease_worker *worker);

/* True: ask->decision stands.  False: wait for done.  No ask waits longer than the decision timeout. */
bool lease_decide(struct lease_worker *worker, struct lease_ask *ask);

/* The exchange is gone: done will not be called.  What is granted late goes back once. */
void lease_cancel(struct lease_worker *worker, struct lease_ask *ask);

/* A quota in shadow: one charge that decides nothing.  Owner: the exchange; it must stay until
 * lease_shadow_leave. */
enum lease_shadow_state {
    LEASE_SHADOW_SKIPPED, /* not counted: the store is away */
    LEASE_SHADOW_ASKED,   /* on its way */
    LEASE_SHADOW_ALLOW,
    LEASE_SHADOW_REFUSE,
};

#define LEASE_SHADOW_ID 32

struct lease_shadow {
    struct quota_charge charge;
    const char *id;                /* the request's, LEASE_SHADOW_ID bytes; for an event */
    uint8_t state;                 /* out; enum lease_shadow_state */
    struct lease_pending *pending; /* lease_worker's */
};

/* Charge it if there is room, and count the verdict in the quota's metrics.  Nobody waits: with Redis the state
 * and the readings change when the answer comes.  What is answered after lease_shadow_leave still
 * counts, and a refusal is told by an event with the request's id. */
void lease_shadow_ask(struct lease_worker *worker, struct lease_shadow *shadow);
/* If it was charged, it was `delta` more or less (lease_correct): at once, or when the answer comes.  Once. */
void lease_shadow_settle(struct lease_worker *worker, struct lease_shadow *shadow, int32_t delta);
/* The exchange is gone: the answer is counted without it. */
void lease_shadow_leave(struct lease_shadow *shadow);

/* A charge that was granted turned out to be `delta` more (charged whatever the limit) or less (given back at
 * most once, and only within the windows it was charged in).  Returns what was done, and counts it. */
int32_t lease_correct(struct lease_worker *worker, const struct quota_charge *charge,
                      int32_t delta);

/* For status and logs. */
struct lease_status {
    unsigned workers_up, workers;    /* workers whose store answers */
    unsigned fleet;                  /* live proxies last seen, 0 unknown */
    uint64_t subjects, subjects_max; /* of the embedded table */
    uint64_t leases, leased;         /* subjects with something held here, and how much in all */
};
void lease_get_status(struct lease *lease, struct lease_status *status);
/* Of it the subjects alone, without a look at each of them. */
uint64_t lease_subjects(const struct lease *lease, uint64_t *max);
/* How far the store's clock is ahead of ours (below 0: behind), as its last answer said; 0 before there is one. */
int64_t lease_clock_ahead_us(const struct lease *lease, const struct loop *loop);

#endif
