/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_listen.h - one process's subscription to the channel on which proxies recall leases,
 * `<prefix>:recall`: a connection of its own, made again when it is lost, or when its server
 * does not count any more.  Takes: messages.  Gives: the keys that
 * other proxies named.  What was said while it was away is never known. */
#ifndef SLUICE_STORE_REDIS_LISTEN_H
#define SLUICE_STORE_REDIS_LISTEN_H

#include "loop/loop.h"
#include "store/store_redis.h"

struct store_redis_listener;
struct store_redis_route;
/* is_lost: see store_redis_route_publish. */
typedef void (*store_redis_key_fn)(void *arg, const uint8_t key[16], bool is_lost);

/* route: borrowed; names a server that is up.  NULL when out of memory.  on_key is called from the loop. */
struct store_redis_listener *store_redis_listener_new(struct store_redis *redis, struct loop *loop,
                                                      struct store_redis_route *route,
                                                      store_redis_key_fn on_key, void *arg);
void store_redis_listener_free(struct store_redis_listener *listener);

#endif
