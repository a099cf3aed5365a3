/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_cluster.h - one worker's links to the masters of a Redis Cluster, and which of them has which slot.  Takes:
 * seeds, and what nodes say (CLUSTER SLOTS, MOVED, ASK).  Gives: the link of a slot, and cargo that a node has sent on to
 * where it belongs, at most STORE_REDIS_HOPS_MAX times.
 *
 * The slots are asked for at the start, when a node says MOVED, eight times a second while one is away, and every minute; by one question at a time.
 * Slots that a map leaves out stay where they were. */
#ifndef SLUICE_STORE_REDIS_CLUSTER_H
#define SLUICE_STORE_REDIS_CLUSTER_H

#include "store/store_redis_link.h"

#define STORE_REDIS_HOPS_MAX 3

struct net_resolver;
struct store_redis_cluster;

/* on_change: is_up: a node has come up (as all have that will, for the first time); else the last one is gone.  NULL when
 * out of memory. */
struct store_redis_cluster *store_redis_cluster_new(struct store_redis *redis, struct loop *loop,
                                                    struct net_resolver *resolver,
                                                    void (*on_change)(void *arg, bool is_up),
                                                    void *arg);
void store_redis_cluster_free(struct store_redis_cluster *cluster);

/* No map yet, or not every node was tried once. */
bool store_redis_cluster_is_starting(const struct store_redis_cluster *cluster);
/* Is any node up? */
bool store_redis_cluster_is_open(const struct store_redis_cluster *cluster);

/* NULL: nobody has it, as far as is known. */
struct store_redis_link *store_redis_cluster_link(const struct store_redis_cluster *cluster,
                                                  uint16_t slot);

/* Some node that has slots and is up; NULL: none is. */
struct store_redis_link *store_redis_cluster_any(struct store_redis_cluster *cluster);
/* Is there such a node at this address? */
bool store_redis_cluster_is_at(const struct store_redis_cluster *cluster,
                               const struct net_address *address);

/* store_redis_link_anew_at_us of the newest node. */
uint64_t store_redis_cluster_newest_us(const struct store_redis_cluster *cluster);

/* Call it on every link. */
void store_redis_cluster_each(struct store_redis_cluster *cluster,
                              void (*fn)(struct store_redis_link *link));

#endif
