/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_listen.h - one process's subscription to the channel on which proxies recall leases,
 * `<prefix>:recall`: a connection of its own, made again when it is lost, or when its server
 * does not count any more.  Takes: messages.  Gives: what other proxies, and operators, said of keys.  What was said while
 * it was away is never known. */
#ifndef SLUICE_STORE_REDIS_LISTEN_H
#define SLUICE_STORE_REDIS_LISTEN_H

#include "loop/loop.h"
#include "store/store_redis.h"

struct store_redis_listener;
struct store_redis_route;

enum store_redis_news_kind {
    STORE_REDIS_NEWS_RECALL, /* see store_redis_route_publish */
    STORE_REDIS_NEWS_LOST,
    STORE_REDIS_NEWS_ORDER, /* an operator's order was carried out */
};

struct store_redis_news {
    enum store_redis_news_kind kind;
    uint8_t key[16];
    uint32_t
        generation; /* of the value, since the order; anybody who may publish can have made it up */
};
typedef void (*store_redis_news_fn)(void *arg, const struct store_redis_news *news);

/* route: borrowed; names a server that is up.  NULL when out of memory.  on_news is called from the loop. */
struct store_redis_listener *store_redis_listener_new(struct store_redis *redis, struct loop *loop,
                                                      struct store_redis_route *route,
                                                      store_redis_news_fn on_news, void *arg);
void store_redis_listener_free(struct store_redis_listener *listener);

#endif
