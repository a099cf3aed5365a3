/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_slots.h - slots of exchanges in flight, as they are kept in Redis, and the bytes on both sides of the
 * script that counts them.  Pure: no socket, no clock.
 *
 * A subject of a quota is one key, `<prefix>:f:{22 characters}`, one string.  Layout 1, little-endian:
 *
 *     at     bytes  field
 *      0         1  version: 1.  Another one is never read nor overwritten: an error SLUICELAYOUT
 *      1         3  0
 *      4      20*n  per holder: id (8, random), sequence, count, deadline (4 each; a second of the server's clock)
 *
 * A holder is one worker of one proxy.  What it says is absolute: it holds so many, and wants so many more.  So saying it
 * twice changes nothing, and what it holds is never refused, only more of it.  A holder whose deadline is over is
 * dropped with all its slots; whoever holds some says so again every STORE_REDIS_SLOTS_RENEW_US.  A command that was
 * overtaken by a later one of the same holder (on another connection) changes nothing: its sequence is the lower one.
 * A key that nobody holds slots of expires at once. */
#ifndef SLUICE_STORE_REDIS_SLOTS_H
#define SLUICE_STORE_REDIS_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base_span.h"
#include "store/store.h"

#define STORE_REDIS_SLOTS_LIFE_S "10" /* of what a holder said, by the server's clock */
#define STORE_REDIS_SLOTS_TTL_S  "20" /* of a key: longer than any deadline in it */
#define STORE_REDIS_SLOTS_TRUST_US                                                                 \
    7000000 /* after that a holder does not rely on an answer any more */
#define STORE_REDIS_SLOTS_RENEW_US    3000000
#define STORE_REDIS_SLOTS_HOLDER      8
#define STORE_REDIS_SLOTS_CLAIM_BYTES 24

struct store_redis_slots_claim {
    uint8_t key[16];
    uint8_t holder[STORE_REDIS_SLOTS_HOLDER];
    uint32_t sequence;
    uint32_t held;  /* whatever the limit */
    uint32_t want;  /* more of them, as far as there is room */
    uint32_t limit; /* of all holders together */
};

struct store_redis_slots_answer {
    uint32_t granted; /* of those that were wanted */
    uint32_t used;    /* by all holders, the granted ones included */
};

/* Lua.  KEYS: the subject; ARGV: its claim.  Answers {granted, used}. */
extern const char STORE_REDIS_SLOTS_LUA[];

/* How many slots all holders have by such a value, at now_s by the server's clock.  False: it is of another layout. */
bool store_redis_slots_count(struct span value, uint64_t now_s, uint32_t *used);

/* The bytes of a claim without its key; returns the end. */
char *store_redis_slots_write(char *out, const struct store_redis_slots_claim *claim);

/* The integers of the answer to this claim.  False: they cannot be that. */
bool store_redis_slots_read(struct store_redis_slots_answer *answer, const int64_t *numbers,
                            unsigned count, const struct store_redis_slots_claim *claim);

/* A claim on its way.  Owner: who asks; it must stay until done has run.  done is called from the loop, never from
 * inside the call that sends: with the answer, or with NULL (failed, or nobody knows). */
struct store_redis_slots_op {
    struct store_redis_slots_claim claim;
    void (*done)(struct store_redis_slots_op *op, const struct store_redis_slots_answer *answer);
    uint64_t sent_at_us; /* out; monotonic */
    uint8_t hops;        /* the store's own */
};

#endif
