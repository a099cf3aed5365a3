/* SPDX-License-Identifier: Apache-2.0 */
/* lease_private.h - what lease*.c share, and nobody else. */
#ifndef SLUICE_LEASE_PRIVATE_H
#define SLUICE_LEASE_PRIVATE_H

#include <stdatomic.h>

#include "base/base_list.h"
#include "lease/lease.h"
#include "lease/lease_lookups.h"
#include "lease/lease_slots.h"
#include "lease/lease_table.h"
#include "store/store_redis.h"
#include "store/store_redis_link.h"

#define LEASE_DEBTORS_MAX     16384 /* keys in a worker's list; a power of two */
#define LEASE_SETTLING_MAX    4     /* settlements in flight */
#define LEASE_SETTLE_PER_TURN 1024
#define LEASE_SHADOW_NAME_MAX 128 /* of a quota's name, in an event */

/* Owner: the process.  Freed by: lease_free.  Thread: any; const but for the atomics. */
struct lease {
    struct store_memory *memory; /* borrowed; NULL: redis */
    struct store_redis *redis;
    struct lease_table table;
    struct lease_notes notes;
    struct lease_slots slots;
    atomic_uint workers;        /* over the memory store */
    _Atomic int64_t clock_us;   /* store's clock - monotonic at the last answer: never ahead */
    atomic_bool has_clock;      /* the store has answered */
    atomic_bool has_said_clock; /* that it differs from ours */
};

/* What becomes of a grant that comes after the request was decided without it. */
enum lease_late {
    LEASE_LATE_BACK,  /* the request was refused or is gone */
    LEASE_LATE_LOCAL, /* it was counted here */
    LEASE_LATE_KEEP,  /* it was admitted uncounted: the grant counts it */
};

/* A request on its way to the store and back, or a settlement.  Owner: the worker.  Freed by:
 * lease_worker_free.  Thread: the worker's. */
struct lease_pending {
    struct store_redis_op op; /* first: found from it */
    struct list node;         /* waiting, or spare */
    struct lease_worker *worker;
    struct lease_ask *ask;       /* NULL: decided already, cancelled, or a settlement */
    struct lease_shadow *shadow; /* whose answer it is, if anybody still wants it */
    struct {                     /* of a shadow's quota, which may be gone by then */
        uint32_t slot_allow, slot_refuse;
        char id[LEASE_SHADOW_ID], name[LEASE_SHADOW_NAME_MAX];
        unsigned name_len;
        int32_t delta; /* what its charge is corrected by once it is granted */
    } late_shadow;
    bool is_late;                          /* counted in the worker's late */
    bool is_parked;                        /* not sent yet */
    uint8_t claim_of[QUOTA_MAX_PER_ROUTE]; /* of the ask's charges */
    struct {
        uint8_t fate; /* enum lease_late */
        bool is_guarded;
        uint32_t starts[QUOTA_WINDOWS_MAX];
    } late[STORE_REDIS_KEYS_MAX]; /* by claim */
};

/* Owner: a worker.  Freed by: lease_worker_free.  Thread: the worker's. */
struct lease_worker {
    struct lease *lease;
    struct loop *loop;
    struct store_redis_link *link;
    struct lease_lookups *lookups; /* NULL over the memory store, as the link */
    struct loop_alarm *alarm;      /* the decision timeout of the ask that waits longest */
    struct list waiting;           /* lease_pending, oldest first */
    struct list parked;            /* likewise, before the link's first handshake has ended */
    unsigned parked_count;
    struct list spare;
    unsigned late; /* operations in flight whose request was decided without them */
    struct loop_task settle;
    unsigned settling;
    uint8_t (*debtors)[16]; /* ring of keys */
    unsigned debtor_first, debtor_next;
    struct lease_seats *seats; /* over Redis */
};

/* The store's clock as far as is known, else ours. */
static inline uint64_t lease_now_us(const struct lease *lease, const struct loop *loop)
{
    if (!atomic_load_explicit(&lease->has_clock, memory_order_relaxed))
        return loop->wall_us;
    return loop->mono_us + (uint64_t)atomic_load_explicit(&lease->clock_us, memory_order_relaxed);
}

struct lease_pending *lease_pending_take(struct lease_worker *worker);
void lease_pending_return(struct lease_pending *pending);

/* lease_worker.c: the charges alone, as lease_decide; asked_at_us is set. */
bool lease_decide_charges(struct lease_worker *worker, struct lease_ask *ask);
/* Has the store refused some of them so lately that it need not be asked?  Then ask->decision stands. */
bool lease_is_refused_lately(struct lease_worker *worker, struct lease_ask *ask);

/* lease_hold.c: the same with slots; and without waiting any longer. */
bool lease_hold_decide(struct lease_worker *worker, struct lease_ask *ask);

/* lease_local.c: decide without the store.  How many proxies share it, 0: nobody knows. */
void lease_decide_unavailable(struct loop *loop, struct lease_ask *ask);
uint32_t lease_proxies(const struct lease *lease);
void lease_local_decide(struct lease_worker *worker, struct lease_ask *ask);
/* The windows of one charge in a cell that is held.  True: there is room for all that the request takes from it. */
bool lease_local_look(const struct lease_held *held, struct quota_charge *charge, uint32_t proxies,
                      uint64_t now_us);

/* lease_gate.c: the charges have their readings: decide. */
void lease_tell(struct lease_ask *ask, uint64_t now_us);
/* Of an ask with gates: true when one of them refuses, and the decision stands. */
bool lease_gate_refuses_in_memory(struct lease_worker *worker, struct lease_ask *ask);
bool lease_gate_refuses_locally(struct lease_worker *worker, struct lease_ask *ask,
                                const bool *wanted, uint32_t proxies);

/* lease_settle.c: the cell (locked) owes the store something; see to it that it is billed. */
void lease_settle_note(struct lease_worker *worker, const uint8_t key[16], struct lease_cell *cell);
void lease_settle_run(void *worker);

/* lease_worker.c: the claim of charge i, which is its own or that of an earlier charge of the same key. */
void lease_claim(struct lease_pending *pending, unsigned i, const struct quota_charge *charge);
/* The answer to claim k, or (NULL) that none will come: tell the cell. */
void lease_learn(struct lease_pending *pending, unsigned k,
                 const struct store_redis_answer *answer);
/* The readings of one charge as the store told them. */
void lease_fill_charge(struct quota_charge *charge, const struct store_redis_claim *claim,
                       const struct store_redis_result *result, bool is_granted, uint64_t now_us);
/* The readings from what is known here; true when the cell refuses without asking. */
bool lease_read_cell(struct lease_worker *worker, struct quota_charge *charge, uint64_t now_us);

/* lease_worker.c: an answer has told the store's time. */
void lease_learn_clock(struct lease_worker *worker, const struct store_redis_answer *answer);

#endif
