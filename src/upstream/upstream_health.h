/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_health.h - what the whole process knows of its servers' health.  Takes: outcomes of requests from workers,
 * results of checks from the main thread.  Gives: a word per server, which workers read without a lock, and for the main
 * thread what has changed, with the reason.  Never asks a server itself (see upstream_check.h), never logs.
 *
 * Bounded by the servers of the plans in use.  A lock is held when a server or a plan comes or goes, when a server is
 * ejected or brought back, and for an extra try; never for a request that goes well. */
#ifndef SLUICE_UPSTREAM_HEALTH_H
#define SLUICE_UPSTREAM_HEALTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "metrics/metrics.h"
#include "upstream/upstream_conf.h"
#include "upstream/upstream_orders.h"

/* Owner: the process.  Freed by: upstream_health_free, when nobody has a reference.  Thread: any. */
struct upstream_health;
struct upstream_health_group;

/* Bits of its state. */
enum {
    UPSTREAM_VITAL_OUT = 1,  /* leave it alone */
    UPSTREAM_VITAL_ILL = 2,  /* the same, whether there is panic or not */
    UPSTREAM_VITAL_AWAY = 4, /* ordered away: not even if there is no other */
    UPSTREAM_VITAL_DOWN = 8, /* and keep no connection to it */
};

/* One server of one upstream, as all workers see it.  Owner: counted.  Freed by: the last upstream_vital_unref.  Thread:
 * any reads and writes the words; the rest belongs to upstream_health.c. */
struct upstream_vital {
    atomic_uint state;             /* UPSTREAM_VITAL bits */
    atomic_uint failed_run;        /* failures in a row */
    atomic_uint last_failure;      /* enum upstream_failure and one; 0: there was none */
    _Atomic uint64_t failed_at_us; /* when that was */
    struct upstream_health_group *group;
};

static inline unsigned upstream_vital_state(struct upstream_vital *vital)
{
    return atomic_load_explicit(&vital->state, memory_order_relaxed);
}

enum upstream_failure {
    UPSTREAM_FAILURE_CONNECT,
    UPSTREAM_FAILURE_RESET,
    UPSTREAM_FAILURE_TIMEOUT,
    UPSTREAM_FAILURE_RESPONSE, /* no HTTP */
    UPSTREAM_FAILURE_STATUS,   /* one of eject_on */
    UPSTREAM_FAILURES
};

/* What follows from an outcome. */
enum upstream_outcome {
    UPSTREAM_OUTCOME_NOTED,
    UPSTREAM_OUTCOME_EJECTED, /* the server is */
    UPSTREAM_OUTCOME_CAPPED,  /* it would be, but enough others are */
};

/* orders (borrowed) outlive the process; NULL: they end with it. */
struct upstream_health *upstream_health_new(struct upstream_orders *orders);
void upstream_health_free(struct upstream_health *health);

/* ---- workers ---- */

/* A reference; NULL: no memory. */
struct upstream_vital *upstream_vital_ref(struct upstream_health *health,
                                          const struct upstream_conf *conf,
                                          const struct upstream_server_conf *server);
void upstream_vital_unref(struct upstream_vital *vital);

/* Remember a failure for who asks why; nothing follows from it. */
static inline void upstream_vital_remember(struct upstream_vital *vital, enum upstream_failure how,
                                           uint64_t now_us)
{
    atomic_store_explicit(&vital->last_failure, (unsigned)how + 1, memory_order_relaxed);
    atomic_store_explicit(&vital->failed_at_us, now_us, memory_order_relaxed);
}

/* A request to it has failed without an answer. */
enum upstream_outcome upstream_vital_failed(struct upstream_vital *vital,
                                            const struct upstream_health_conf *conf,
                                            enum upstream_failure how, uint64_t now_us);
/* It has answered. */
enum upstream_outcome upstream_vital_answered(struct upstream_vital *vital,
                                              const struct upstream_health_conf *conf,
                                              unsigned status, uint64_t now_us);

/* May a request be tried once more?  `requests`: those that this worker began since it asked last, at since_us. */
bool upstream_vital_may_retry(struct upstream_vital *vital, const struct upstream_retry_conf *conf,
                              uint64_t requests, uint64_t since_us, uint64_t now_us);
/* Such a try is over. */
void upstream_vital_retried(struct upstream_vital *vital, bool is_answered);

/* ---- the main thread ---- */

/* These are in force: their servers count, others do not. */
MUST_USE enum err upstream_health_serve(struct upstream_health *health,
                                        const struct upstream_conf *upstreams, unsigned count);

/* How a check ended. */
struct upstream_checked {
    bool is_good;
    unsigned status;    /* that was answered; 0: none */
    const char *reason; /* a static sentence: why it was bad; NULL: the status says */
    uint64_t at_us;
};

/* A check has ended.  `reason` is a static sentence: why it was bad; status: the one that was answered, else 0. */
void upstream_vital_checked(struct upstream_vital *vital, const struct upstream_check_conf *conf,
                            bool is_good, const char *reason, unsigned status, uint64_t now_us);

/* What has changed: a server (then `server` is not empty) or the upstream as a whole. */
struct upstream_change {
    enum {
        UPSTREAM_CHANGE_DOWN,
        UPSTREAM_CHANGE_UP,
        UPSTREAM_CHANGE_PANIC,
        UPSTREAM_CHANGE_CALM,
        UPSTREAM_CHANGE_EMPTY, /* orders have taken its last server */
        UPSTREAM_CHANGE_FILLED,
    } kind;
    struct span upstream, server;
    char reason[128];
    uint64_t for_us; /* ejected: how long; else 0 */
    unsigned usable, servers;
};

/* fn is called once when something changes, from any thread and with the lock held: it sees to it that the tick below
 * comes soon, and says whether it could. */
void upstream_health_on_stir(struct upstream_health *health, bool (*fn)(void *arg), void *arg);
/* Brings back whose time is over, and tells what has changed since the last call.  Gives when it has to be called again
 * even if nothing is stirred; 0: not at all. */
uint64_t upstream_health_tick(struct upstream_health *health, uint64_t now_us,
                              struct metrics_block *metrics,
                              void (*tell)(void *arg, const struct upstream_change *change),
                              void *arg);

#endif
