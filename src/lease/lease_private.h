/* SPDX-License-Identifier: Apache-2.0 */
/* lease_private.h - what lease*.c share, and nobody else. */
#ifndef SLUICE_LEASE_PRIVATE_H
#define SLUICE_LEASE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/base_list.h"
#include "lease/lease.h"
#include "lease/lease_lookups.h"
#include "lease/lease_slots.h"
#include "lease/lease_table.h"
#include "lease/lease_tokens.h"
#include "store/store_memory.h"
#include "store/store_redis.h"
#include "store/store_redis_listen.h"
#include "store/store_redis_route.h"

#define LEASE_DEBTORS_MAX     16384 /* keys in a worker's list; a power of two */
#define LEASE_SETTLING_MAX    4     /* settlements in flight */
#define LEASE_SETTLE_PER_TURN 1024
#define LEASE_SHADOW_NAME_MAX 128 /* of a quota's name, in an event */
#define LEASE_FOLLOW_LISTS    256 /* a power of two */
#define LEASE_WORKERS_MAX     64  /* that can wait for each other's leases */
#define LEASE_MAIL_MAX        64  /* keys; with more, all that wait look for themselves */

/* Owner: the process.  Freed by: lease_free.  Thread: any; const but for the atomics. */
struct lease {
    struct store_memory *memory; /* borrowed; NULL: redis */
    struct store_redis *redis;
    struct lease_table table;
    struct lease_notes notes;
    struct lease_slots slots;
    atomic_uint workers; /* over the memory store */
    struct {             /* of the table's subjects */
        pthread_mutex_t lock;
        _Atomic uint32_t
            *due_s;     /* of each block: when to look at it (monotonic, never 0); 0: not at all */
        uint32_t block; /* the next to be asked for; under lock, as position */
        uint64_t position;  /* of a walk over all cells */
        atomic_bool is_all; /* one goes on: not only what is of no use */
    } sweep;
    struct { /* telling a server that has taken over what was seen */
        pthread_mutex_t lock;
        uint64_t position;         /* of the walk; under lock */
        _Atomic uint64_t since_us; /* monotonic; of the newest server that was told */
        atomic_bool is_telling;
    } anew;
    atomic_bool has_listener;
    pthread_mutex_t desk_lock;                     /* of desks */
    struct lease_worker *desks[LEASE_WORKERS_MAX]; /* over Redis, by number; NULL: free */
    _Atomic uint64_t round_trip_us;                /* smoothed */
    _Atomic int64_t clock_us;   /* store's clock - monotonic at the last answer: never ahead */
    atomic_bool has_clock;      /* the store has answered */
    atomic_bool has_said_clock; /* that it differs from ours */
};

/* What becomes of a grant that comes after the request was decided without it. */
enum lease_late {
    LEASE_LATE_BACK,  /* the request was refused or is gone, or there was none */
    LEASE_LATE_LOCAL, /* it was counted here */
    LEASE_LATE_KEEP,  /* it was admitted uncounted: the grant counts it */
};

#define LEASE_NO_CLAIM 255

/* One of a request's keys on the way. */
struct lease_part {
    uint8_t key[16];
    uint8_t claim;            /* of the operation; LEASE_NO_CLAIM: it has all that it needs */
    struct lease_batch taken; /* of what was held here */
};

/* A request on its way to the store and back, or a settlement.  Owner: the worker.  Freed by:
 * lease_worker_free.  Thread: the worker's. */
struct lease_pending {
    struct store_redis_op op; /* first: found from it */
    struct list node;         /* waiting, or spare */
    struct list follow;       /* those that wait for a lease that is on its way already */
    uint8_t followed[16];     /* its key */
    struct lease_worker *worker;
    struct lease_ask *ask;       /* NULL: decided already, cancelled, or a settlement */
    struct lease_shadow *shadow; /* whose answer it is, if anybody still wants it */
    struct {                     /* of a shadow's quota, which may be gone by then */
        uint32_t slot_allow, slot_refuse;
        char id[LEASE_SHADOW_ID], name[LEASE_SHADOW_NAME_MAX];
        unsigned name_len;
        int32_t delta; /* what its charge is corrected by once it is granted */
    } late_shadow;
    bool is_late;                         /* counted in the worker's late */
    bool is_parked;                       /* not sent yet */
    bool is_following;                    /* in a list of the worker's followers */
    bool is_spoiled;                      /* what it took is of windows that are over: look again */
    uint8_t sendings;                     /* of this ask */
    uint8_t part_of[QUOTA_MAX_PER_ROUTE]; /* of the ask's charges */
    unsigned part_count;
    struct lease_part parts[QUOTA_MAX_PER_ROUTE];
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
    struct store_redis_route *route;
    struct lease_lookups *lookups; /* NULL over the memory store, as the link */
    struct loop_alarm *alarm;      /* the decision timeout of the ask that waits longest */
    struct list waiting;           /* lease_pending, oldest first */
    struct list parked;            /* likewise, before the link's first handshake has ended */
    unsigned parked_count;
    struct list spare;
    unsigned late; /* operations in flight whose request was decided without them */
    struct store_redis_listener *listener; /* one worker's of the process */
    struct loop_timer sweep_timer;
    uint64_t leaving_at_us; /* 0: it stays */
    unsigned desk;          /* its number; LEASE_WORKERS_MAX: it has none and waits for nobody */
    struct list followers[LEASE_FOLLOW_LISTS]; /* lease_pending.follow, by key */
    struct lease_pending *batch;               /* leases asked for in advance, in this turn */
    struct loop_task send_batch, read_mail, tell_more;
    struct { /* under desk_lock: leases that came to other workers */
        uint8_t keys[LEASE_MAIL_MAX][16];
        unsigned count;
        bool is_over, is_posted;
    } mail;
    struct loop_task settle;
    unsigned settling;
    uint8_t (*debtors)[16]; /* ring of keys */
    unsigned debtor_first, debtor_next;
    struct lease_seats *seats;       /* over Redis */
    struct store_memory_hints hints; /* over the memory store */
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
/* There is: take it from the cell, and what the charge, which was looked at, is told then. */
void lease_local_take(const struct lease_held *held, uint32_t proxies, uint64_t now_us);
void lease_local_tell(const struct lease_held *held, struct quota_charge *charge, uint32_t proxies,
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
/* What goes back with an operation, in the metrics. */
void lease_settle_count(struct lease_worker *worker, const struct store_redis_op *op);

/* lease_spend.c: what can be decided here and now. */
enum lease_found {
    LEASE_FOUND,   /* spent; is_charged and the readings are set */
    LEASE_REFUSED, /* nothing can be obtained; the readings say where */
    LEASE_MISSING, /* the store must be asked */
    LEASE_COMING,  /* it was asked already: wait for that */
};
enum lease_found lease_spend(struct lease_worker *worker, struct quota_charge *charges,
                             unsigned count);
/* The same of cells that are held.  mono_us: not before which the tokens are spent. */
enum lease_found lease_spend_held(struct lease_worker *worker, struct quota_charge *charges,
                                  unsigned count, struct lease_held *held, unsigned held_count,
                                  const uint8_t *held_of, uint64_t mono_us);
/* Of one cell that is held (or has none) and settled: is its cost there?  Nothing is taken. */
enum lease_found lease_look(struct lease_worker *worker, struct lease_held *held, uint64_t mono_us);
/* Take the cost of each; false: some window may be over by now, and nothing was taken. */
bool lease_take(struct lease_held *held, unsigned count);
/* The readings of a charge as its cell (settled, locked; NULL: none) has them.  may_refuse: as of a refusal of
 * `cost`, which all charges of the cell want together. */
void lease_read(const struct lease_cell *cell, struct quota_charge *charge, uint32_t cost,
                uint64_t now_us, bool may_refuse);
static inline bool lease_is_leased(const struct quota *quota)
{
    return quota->accuracy == QUOTA_LEASED && quota->algorithm != QUOTA_BUCKET;
}

/* lease_fetch.c: decide with the store's help.  True: decided (ask->decision stands), whether with it or without;
 * false: wait.  behind: what is wanted by those who wait behind this one. */
bool lease_fetch(struct lease_pending *pending, uint64_t behind);
/* The ask is not waited for any longer: what it took goes back to the cells. */
void lease_put_back(struct lease_pending *pending);
/* The claim of a cell that is held, with a lease where its quota wants one. */
void lease_claim(struct lease_pending *pending, const struct lease_held *held, uint32_t cost,
                 uint64_t behind);
/* The answer to claim k, or (NULL) that none will come: tell the cell, and the ask's charges. */
void lease_learn(struct lease_pending *pending, unsigned k,
                 const struct store_redis_answer *answer);
/* The readings of one charge as the store told them. */
void lease_fill_charge(struct quota_charge *charge, const struct store_redis_claim *claim,
                       const struct store_redis_result *result, bool is_granted, uint64_t now_us);
/* Ask in advance. */
void lease_prefetch(struct lease_worker *worker, const struct quota_charge *charge);
void lease_prefetch_send(void *worker);
void lease_prefetch_drop(struct lease_worker *worker); /* what is not sent yet */

/* lease_follow.c: wait for a lease that is on its way.  The cell's waiters are marked already. */
void lease_follow(struct lease_pending *pending, const uint8_t key[16]);
/* A lease has come, or was lost: those who wait for it here look again. */
void lease_follow_landed(struct lease_worker *worker, const uint8_t key[16]);
/* Tell other workers (bits). */
void lease_follow_tell(struct lease_worker *worker, const uint8_t key[16], uint64_t waiters);
void lease_follow_begin(struct lease_worker *worker);
void lease_follow_end(struct lease_worker *worker);

/* lease_sweep.c */
/* The tables of what is due when; false: no memory. */
bool lease_sweep_init(struct lease *lease);
void lease_sweep_fini(struct lease *lease);
/* The cell (locked) holds something since mono_us, or owes what nobody has noted. */
void lease_sweep_note_held(struct lease *lease, const struct lease_cell *cell, uint64_t mono_us);
void lease_sweep_note_owed(struct lease *lease, const struct lease_cell *cell);
void lease_sweep_on_time(void *worker);
/* How many cells it has looked at. */
unsigned lease_sweep_step(struct lease_worker *worker);
/* What is held in the whole table.  From any thread; takes a while. */
void lease_sweep_count(const struct lease *lease, uint64_t *leases, uint64_t *leased);

/* lease_anew.c: a server of the store has taken over, perhaps. */
void lease_anew_begin(struct lease_worker *worker);
/* The next part of what it is told. */
void lease_anew_step(void *worker);
/* So long it grants nothing to a fleet of several. */
uint64_t lease_anew_wait_us(const struct store_redis *redis);
/* Is it too early to ask it for something? */
bool lease_anew_holds(const struct lease_worker *worker, const struct store_redis_op *op);

/* lease_recall.c: ask other proxies for what they hold of this key, or (is_lost) for what they know; they ask us, or
 * an operator has given an order. */
void lease_recall_send(struct lease_worker *worker, const uint8_t key[16], bool is_lost);
void lease_recall_on_news(void *worker, const struct store_redis_news *news);

/* lease_worker.c */
void lease_ask_done(struct lease_pending *pending); /* decided, after it has waited */
void lease_decide_late(struct lease_pending *pending);
void lease_wait(struct lease_pending *pending);

/* How many proxies share what is left; only efficiency depends on it. */
static inline uint32_t lease_fleet(const struct lease *lease)
{
    uint32_t seen = atomic_load_explicit(&lease->redis->fleet, memory_order_relaxed);
    if (seen == 0)
        seen = lease->redis->conf.fleet_size;
    return seen == 0 ? 1 : seen;
}

/* lease_worker.c: an answer has told the store's time. */
void lease_learn_clock(struct lease_worker *worker, const struct store_redis_answer *answer);

#endif
