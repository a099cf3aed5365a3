/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_sentinel.h - asks sentinels where the master is, one after the other until one knows, and keeps the link to
 * it aimed there.  Takes: addresses of sentinels.  Gives: an aim, and news of a failover.  Whether that server is a master
 * is seen in its own handshake (ROLE).
 *
 * A sentinel is asked every 10 s, and ten times a second while the master is away; then another one is asked when
 * it names that master for half a second, or says nothing for as long. */
#ifndef SLUICE_STORE_REDIS_SENTINEL_H
#define SLUICE_STORE_REDIS_SENTINEL_H

#include "store/store_redis_link.h"

struct net_resolver;
struct store_redis_sentinel;

/* master, resolver: borrowed.  NULL when out of memory. */
struct store_redis_sentinel *store_redis_sentinel_new(struct store_redis *redis, struct loop *loop,
                                                      struct net_resolver *resolver,
                                                      struct store_redis_link *master);
/* Before the master's link. */
void store_redis_sentinel_free(struct store_redis_sentinel *sentinel);

/* The link to the master is up or down. */
void store_redis_sentinel_on_change(struct store_redis_sentinel *sentinel, bool is_up);
void store_redis_sentinel_poll(struct store_redis_sentinel *sentinel);

#endif
