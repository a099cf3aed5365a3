/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_spot.h - an address that a server told of another one, an IP or a name: keeps a link aimed at it.  A name is
 * resolved off the loop, again and again. */
#ifndef SLUICE_STORE_REDIS_SPOT_H
#define SLUICE_STORE_REDIS_SPOT_H

#include "store/store_redis_link.h"

struct net_resolver;
struct net_watch;

/* Owner: who keeps the link too.  Ended by: store_redis_spot_end, before the link and the resolver.  Thread: the loop's. */
struct store_redis_spot {
    struct store_redis_link *link;
    struct net_watch *watch;
    struct span name; /* borrowed */
};

/* Aim the link there; reason as for store_redis_link_aim.  False: that is no address, or there is no memory. */
bool store_redis_spot_begin(struct store_redis_spot *spot, struct store_redis_link *link,
                            struct net_resolver *resolver, struct span name, const char *reason);
void store_redis_spot_end(struct store_redis_spot *spot);

#endif
