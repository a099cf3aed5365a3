/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_link.h - one worker's connection to one server of Redis: connecting, the handshake, commands in flight,
 * deadlines and the breaker.  Takes: places to connect to, tried in turn, and cargo.  Gives: each piece exactly one
 * ending.  Everything that is queued in one turn of the loop leaves in one write.
 *
 * The breaker is closed while the link is up.  It opens when connecting fails, the connection is
 * lost, the oldest command has waited for command_timeout, or the server says that it cannot serve.
 * While it is open nobody waits; a new connection with its handshake is the probe, tried after a random
 * part of 100 ms, doubling to 2 s with each round of all places.  Commands in flight on a lost connection are never sent
 * again: nobody knows whether they were executed. */
#ifndef SLUICE_STORE_REDIS_LINK_H
#define SLUICE_STORE_REDIS_LINK_H

#include "base/base_err.h"
#include "loop/loop.h"
#include "store/store_redis.h"
#include "store/store_redis_cargo.h"

#define STORE_REDIS_UNSENT_MAX (1u << 20)
#define STORE_REDIS_PLACES_MAX 64
#define STORE_REDIS_HELD_MAX   1024 /* cargo that waits for a first handshake */

struct store_redis_link;

/* Somewhere to connect to.  The name is shown in logs; who gives it keeps it as long as the link. */
struct store_redis_place {
    struct net_address address;
    struct span name;
};

/* What a link is made for.  on_change (may be NULL): true after each handshake, false after each failure.  on_redirect
 * (may be NULL): a server of a cluster has not executed the cargo and says where it belongs (MOVED, ASK) or that it does not
 * serve the slot (CLUSTERDOWN); true: it was taken. */
struct store_redis_link_use {
    enum store_redis_duty duty;
    bool is_later;               /* even its first server takes over from others */
    uint64_t connect_timeout_us; /* the handshake included; 0: as configured */
    const char *nowhere; /* the reason while there is no place; NULL: a name is not resolved */
    void (*on_change)(void *arg, struct store_redis_link *link, bool is_up);
    bool (*on_redirect)(void *arg, struct store_redis_link *link,
                        const struct store_redis_cargo *cargo, struct span error);
    void *arg;
};

/* Made with nowhere to go to.  peer: of that duty; the link's until it is freed, left at once when this fails.  NULL when
 * out of memory. */
struct store_redis_link *store_redis_link_new(struct store_redis *redis, struct loop *loop,
                                              struct store_redis_peer *peer,
                                              const struct store_redis_link_use *use);
/* All cargo ends as lost first. */
void store_redis_link_free(struct store_redis_link *link);

/* The places it goes to from now on, at most STORE_REDIS_PLACES_MAX.  A connection to one that is not among them is
 * given up for that reason (NULL: kept). */
void store_redis_link_aim(struct store_redis_link *link, const struct store_redis_place *places,
                          unsigned count, const char *reason);
/* Give this connection up and try the next place. */
void store_redis_link_drop(struct store_redis_link *link, const char *reason);
/* Close it, and do nothing until it is woken. */
void store_redis_link_rest(struct store_redis_link *link);
void store_redis_link_wake(struct store_redis_link *link);
/* Does it send heartbeats?  Without this it only sees that the path is alive. */
void store_redis_link_set_beating(struct store_redis_link *link, bool is_beating);

/* Can it take cargo? */
bool store_redis_link_is_open(const struct store_redis_link *link);
bool store_redis_link_is_up(const struct store_redis_link *link);
/* Not all places were tried once: on_change will tell, after connect_timeout each at the latest. */
bool store_redis_link_is_starting(const struct store_redis_link *link);
unsigned store_redis_link_load(const struct store_redis_link *link); /* pieces without an ending */

/* STORE_PENDING: an ending will come.  STORE_AWAY: it will not.  A link to a shard whose first handshake goes on keeps
 * it until then.  is_asking: for a slot that is on its way there (ASK). */
MUST_USE enum store_answer store_redis_link_send(struct store_redis_link *link,
                                                 const struct store_redis_cargo *cargo,
                                                 bool is_asking);
/* False: it was not asked. */
bool store_redis_link_ask(struct store_redis_link *link, struct store_redis_question *question);

/* Since when (monotonic) its server has not been the first one, or not in its first life; 0: it is. */
uint64_t store_redis_link_anew_at_us(const struct store_redis_link *link);
/* Where it is, or was last. */
const struct store_redis_place *store_redis_link_place(const struct store_redis_link *link);

/* Send now what would leave at the end of the turn, as far as it goes: before the link is freed. */
void store_redis_link_flush(struct store_redis_link *link);

/* Tell the other proxies that leases of this key are wanted back, or (is_lost) that its value was lost and what they
 * have seen should be said.  Best effort. */
bool store_redis_link_publish(struct store_redis_link *link, const uint8_t key[16], bool is_lost);

/* Read what has come.  Before a deadline is judged: it may be us who were late. */
void store_redis_link_poll(struct store_redis_link *link);

#endif
