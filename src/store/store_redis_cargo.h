/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_cargo.h - what is carried to Redis for somebody who waits for the answer.  Each gets exactly one ending. */
#ifndef SLUICE_STORE_REDIS_CARGO_H
#define SLUICE_STORE_REDIS_CARGO_H

#include "store/store.h"
#include "store/store_redis_query.h"
#include "store/store_redis_script.h"
#include "store/store_redis_slots.h"

#define STORE_REDIS_INFLIGHT_MAX 4096 /* on one connection */

/* One step in Redis.  Owner: who asks; it must stay until done has run.  done is called from the loop,
 * never from inside the call that sends: STORE_CHARGED or STORE_REFUSED with the answer, or
 * STORE_AWAY with NULL (failed, or nobody knows). */
struct store_redis_op {
    unsigned count;
    void (*done)(struct store_redis_op *op, enum store_answer result,
                 const struct store_redis_answer *answer);
    uint64_t sent_at_us; /* out; monotonic */
    uint8_t hops;        /* the store's own */
    struct store_redis_claim claims[STORE_REDIS_KEYS_MAX];
};

/* A question about where things are, as it goes over the wire.  Owner: who asks.  done: the reply, or NULL when none
 * will come; called from the loop. */
struct store_redis_reply;
struct store_redis_sink;
struct store_redis_question {
    struct span command;
    const struct store_redis_sink
        *sink; /* takes the elements of an array; NULL: the reply has them */
    void (*done)(struct store_redis_question *question, const struct store_redis_reply *reply);
    bool is_asked; /* done will come */
};

enum store_redis_cargo_kind {
    STORE_REDIS_CARGO_OP,
    STORE_REDIS_CARGO_SLOTS,
    STORE_REDIS_CARGO_QUERY,
};

struct store_redis_cargo {
    enum store_redis_cargo_kind kind;
    union {
        struct store_redis_op *op;
        struct store_redis_slots_op *slots;
        struct store_redis_query *query;
    };
};

static inline uint8_t *store_redis_cargo_hops(const struct store_redis_cargo *cargo)
{
    return cargo->kind == STORE_REDIS_CARGO_OP      ? &cargo->op->hops
           : cargo->kind == STORE_REDIS_CARGO_SLOTS ? &cargo->slots->hops
                                                    : &cargo->query->hops;
}

/* The ending of what has failed, or whose fate nobody knows. */
static inline void store_redis_cargo_lose(const struct store_redis_cargo *cargo)
{
    if (cargo->kind == STORE_REDIS_CARGO_OP)
        cargo->op->done(cargo->op, STORE_AWAY, NULL);
    else if (cargo->kind == STORE_REDIS_CARGO_SLOTS)
        cargo->slots->done(cargo->slots, NULL);
    else
        cargo->query->done(cargo->query, STORE_REDIS_UNKNOWN, SPAN_NONE);
}

#endif
