/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_link.h - one worker's connection to Redis: connecting, the handshake, commands in flight,
 * deadlines and the breaker.  Takes: operations (claims on keys).  Gives: each exactly one ending.
 * Everything that is queued in one turn of the loop leaves in one write.
 *
 * The breaker is closed while the link is up.  It opens when connecting fails, the connection is
 * lost, the oldest command has waited for command_timeout, or the server says that it cannot serve.
 * While it is open nobody waits; a new connection with its handshake is the probe, tried after a random
 * part of 100 ms, doubling to 2 s.  Commands in flight on a lost connection are never sent again: nobody
 * knows whether they were executed. */
#ifndef SLUICE_STORE_REDIS_LINK_H
#define SLUICE_STORE_REDIS_LINK_H

#include "base/base_err.h"
#include "loop/loop.h"
#include "store/store.h"
#include "store/store_redis.h"
#include "store/store_redis_query.h"
#include "store/store_redis_script.h"
#include "store/store_redis_slots.h"

#define STORE_REDIS_INFLIGHT_MAX 4096
#define STORE_REDIS_UNSENT_MAX   (1u << 20)

struct store_redis_link;

/* One step in Redis.  Owner: who asks; it must stay until done has run.  done is called from the loop,
 * never from inside store_redis_link_charge: STORE_CHARGED or STORE_REFUSED with the answer, or
 * STORE_AWAY with NULL (failed, or nobody knows). */
struct store_redis_op {
    unsigned count;
    void (*done)(struct store_redis_op *op, enum store_answer result,
                 const struct store_redis_answer *answer);
    uint64_t sent_at_us; /* out; monotonic */
    struct store_redis_claim claims[STORE_REDIS_KEYS_MAX];
};

/* on_change (may be NULL): true after each handshake, false after each failure. */
typedef void (*store_redis_change_fn)(void *arg, bool is_up);
struct store_redis_link *store_redis_link_new(struct store_redis *redis, struct loop *loop,
                                              store_redis_change_fn on_change, void *arg);
/* Every operation in flight ends with STORE_AWAY first. */
void store_redis_link_free(struct store_redis_link *link);

/* Can it take another operation? */
bool store_redis_link_is_open(const struct store_redis_link *link);
/* Its first attempt is not decided yet: on_change will tell, after connect_timeout at the latest. */
bool store_redis_link_is_starting(const struct store_redis_link *link);

/* STORE_PENDING: done will come.  STORE_AWAY: it will not. */
MUST_USE enum store_answer store_redis_link_charge(struct store_redis_link *link,
                                                   struct store_redis_op *op);

/* The same for a command beside the counting. */
MUST_USE enum store_answer store_redis_link_query(struct store_redis_link *link,
                                                  struct store_redis_query *query);
/* The same for slots of exchanges in flight. */
MUST_USE enum store_answer store_redis_link_slots(struct store_redis_link *link,
                                                  struct store_redis_slots_op *op);

/* Which life of the server this is; changes when it was started again or another one has taken over. */
uint32_t store_redis_link_epoch(const struct store_redis_link *link);

/* Send now what would leave at the end of the turn, as far as it goes: before the link is freed. */
void store_redis_link_flush(struct store_redis_link *link);

/* Tell the other proxies that leases of this key are wanted back, or (is_lost) that its value was lost and what they
 * have seen should be said.  Best effort. */
bool store_redis_link_publish(struct store_redis_link *link, const uint8_t key[16], bool is_lost);

/* Read what has come.  Before a deadline is judged: it may be us who were late. */
void store_redis_link_poll(struct store_redis_link *link);

#endif
