/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_route.h - one worker's way to Redis, however many servers that is: one of a list, the master that sentinels
 * name, or the masters of a cluster.  Takes: steps, claims of slots and questions.  Gives: each exactly one ending.  Every
 * server has its own breaker and deadlines: one that is away fails nobody else's keys. */
#ifndef SLUICE_STORE_REDIS_ROUTE_H
#define SLUICE_STORE_REDIS_ROUTE_H

#include "loop/loop.h"
#include "store/store_redis.h"
#include "store/store_redis_cargo.h"

struct store_redis_route;

/* on_change (may be NULL): true when a server has come up, false when none is left. */
typedef void (*store_redis_change_fn)(void *arg, bool is_up);
struct store_redis_route *store_redis_route_new(struct store_redis *redis, struct loop *loop,
                                                store_redis_change_fn on_change, void *arg);
/* Every operation in flight ends with STORE_AWAY first. */
void store_redis_route_free(struct store_redis_route *route);

/* Can it take another operation? */
bool store_redis_route_is_open(const struct store_redis_route *route);
/* Its first attempts are not decided yet: on_change will tell, in the time that connecting may take. */
bool store_redis_route_is_starting(const struct store_redis_route *route);

/* How many claims that have nothing to do with each other one step may hold. */
unsigned store_redis_route_claims_max(const struct store_redis_route *route);

/* STORE_PENDING: done will come.  STORE_AWAY: it will not. */
MUST_USE enum store_answer store_redis_route_charge(struct store_redis_route *route,
                                                    struct store_redis_op *op);

/* The same for a command beside the counting. */
MUST_USE enum store_answer store_redis_route_query(struct store_redis_route *route,
                                                   struct store_redis_query *query);
/* The same for slots of exchanges in flight. */
MUST_USE enum store_answer store_redis_route_slots(struct store_redis_route *route,
                                                   struct store_redis_slots_op *op);

/* Tell the other proxies that leases of this key are wanted back, or (is_lost) that its value was lost and what they
 * have seen should be said.  Best effort. */
bool store_redis_route_publish(struct store_redis_route *route, const uint8_t key[16],
                               bool is_lost);

/* A server that is up; false: none is. */
struct store_redis_place;
bool store_redis_route_place(struct store_redis_route *route, struct store_redis_place *place);
/* Does a server count there, and is it up? */
bool store_redis_route_is_at(const struct store_redis_route *route,
                             const struct net_address *address);

/* Since when (monotonic) the server of a subject has not been the one that it was: it was started again, or another one
 * has taken over.  0: it has been since this worker began. */
uint64_t store_redis_route_anew_at_us(const struct store_redis_route *route, const uint8_t key[16]);
/* Of all servers the newest. */
uint64_t store_redis_route_newest_us(const struct store_redis_route *route);

/* Send now what would leave at the end of the turn, as far as it goes: before the route is freed. */
void store_redis_route_flush(struct store_redis_route *route);

/* Read what has come.  Before a deadline is judged: it may be us who were late. */
void store_redis_route_poll(struct store_redis_route *route);

#endif
