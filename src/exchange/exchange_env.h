/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_env.h - what all exchanges of one worker share, and the snapshot of the configuration that an
 * exchange keeps from its beginning to its end. */
#ifndef SLUICE_EXCHANGE_ENV_H
#define SLUICE_EXCHANGE_ENV_H

#include "base/base_fmt.h"
#include "base/base_list.h"
#include "exchange/exchange_early.h"
#include "exchange/exchange_end.h"
#include "exchange/exchange_top.h"
#include "exchange/exchange_verified.h"
#include "http/http_framing.h"
#include "identity/identity.h"
#include "lease/lease.h"
#include "loop/loop.h"
#include "loop/loop_log.h"
#include "net/net_pipe.h"
#include "plan/plan.h"
#include "record/record.h"
#include "record/record_faults.h"
#include "record/record_refused.h"
#include "upstream/upstream.h"

#define EXCHANGE_OUT_BYTES  32768 /* room to compose a head; larger ones take the arena */
#define EXCHANGE_FIELDS_MAX 1024  /* of one message, whatever the configuration says */

/* A plan and this worker's pools for it.  Owner: counted.  Freed by: the last exchange_snapshot_unref.
 * Thread: the worker's. */
struct exchange_snapshot {
    unsigned refs;
    struct plan *plan;            /* a reference */
    struct upstream_pool **pools; /* plan->upstreams[i] */
    unsigned pool_count;
};

struct exchange_snapshot *exchange_snapshot_new(struct plan *plan, struct upstream_set *set);
void exchange_snapshot_enter(struct exchange_snapshot *snapshot); /* its plan is in force */
void exchange_snapshot_free(struct exchange_snapshot *snapshot);
static inline void exchange_snapshot_unref(struct exchange_snapshot **taken)
{
    struct exchange_snapshot *snapshot = *taken;
    *taken = NULL;
    if (snapshot != NULL && --snapshot->refs == 0)
        exchange_snapshot_free(snapshot);
}

/* The last X-request-id line: those of one millisecond differ in 32 digits. */
struct exchange_id_line {
    uint64_t from_us;    /* of the millisecond */
    uint64_t generation; /* of the plan */
    unsigned len;        /* 0: none yet */
    char text[RECORD_ID_MAX + 20];
};

/* The text of an address that is often somebody's. */
#define EXCHANGE_PEERS 64 /* a power of two */
struct exchange_peer {
    struct ip ip;
    uint8_t len; /* 0: free */
    char text[IP_TEXT_MAX + 2];
};

/* Owner: the worker.  Freed by: exchange_env_fini.  Thread: the worker's. */
struct exchange_env {
    struct loop *loop; /* borrowed, like the next five */
    struct loop_log_ring *ring;
    struct lease_worker *lease;
    struct upstream_set *upstreams;
    struct exchange_verified *verified; /* of the process */
    _Atomic uint64_t *body_bytes;       /* held by buffered bodies, of the process */
    struct identity_cache *identities;  /* owned, like the rest */
    struct exchange_snapshot *snapshot; /* what new exchanges begin with */
    struct exchange *landing;           /* where the next head is read to; NULL: made when one is */
    struct list live;                   /* exchanges in progress, the newest last */
    struct loop_timer look;             /* see exchange_look.c */
    uint64_t looked_us;                 /* those of before are done with */
    struct list spare;                  /* exchanges to use again */
    unsigned spare_count;
    unsigned open; /* how many are live */
    struct net_pipes pipes;
    char *out;                 /* EXCHANGE_OUT_BYTES */
    struct http_field *fields; /* EXCHANGE_FIELDS_MAX, for responses */
    uint64_t date_s;           /* what date says */
    char date[FMT_DATE_MAX];
    struct exchange_id_line id_line;
    struct exchange_peer peers[EXCHANGE_PEERS];
    struct http_host_memo host_memo; /* for those who parse requests */
    struct record_memo lines;        /* of the access log */
    struct reply_memo refusal;       /* the last body of a 429 */
    struct exchange_early *early;
    struct exchange_top *top;       /* who takes most of each quota */
    struct record_faults *faults;   /* messages that were refused lately */
    struct record_refused *refused; /* who was refused lately */
    metrics_slot slot_end[ENDS];
    metrics_slot slot_duration, slot_first, slot_store; /* histograms */
    metrics_slot slot_fault[2][HTTP_FAULTS];            /* of clients, of servers */
};

MUST_USE enum err exchange_env_init(struct exchange_env *env, struct loop *loop,
                                    struct metrics_registry *registry);
void exchange_env_fini(struct exchange_env *env);

#endif
