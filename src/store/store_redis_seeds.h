/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_seeds.h - the servers that are configured, as places: names are resolved off the loop, again and again.
 * Takes: the configuration.  Gives: places in the order of the file, all addresses of each name. */
#ifndef SLUICE_STORE_REDIS_SEEDS_H
#define SLUICE_STORE_REDIS_SEEDS_H

#include "store/store_redis_link.h"

struct net_resolver;
struct store_redis_seeds;

/* on_change: the places are others now; never from inside.  resolver: borrowed; NULL when no server is a name.  NULL when
 * out of memory. */
struct store_redis_seeds *store_redis_seeds_new(const struct store_redis *redis,
                                                struct net_resolver *resolver,
                                                void (*on_change)(void *arg), void *arg);
void store_redis_seeds_free(struct store_redis_seeds *seeds);

/* They do not answer: names are looked up again soon. */
void store_redis_seeds_hurry(struct store_redis_seeds *seeds);

/* Is one of the servers a name? */
bool store_redis_seeds_has_names(const struct store_redis *redis);

/* At most `room`; returns how many. */
unsigned store_redis_seeds_places(const struct store_redis_seeds *seeds,
                                  struct store_redis_place *places, unsigned room);

#endif
