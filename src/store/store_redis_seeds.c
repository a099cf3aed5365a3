/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_seeds.c - see store_redis_seeds.h. */
#include "store/store_redis_seeds.h"

#include <stdlib.h>
#include <string.h>

#include "net/net_resolve.h"

struct seed {
    struct store_redis_seeds *seeds;
    struct net_watch *watch; /* of a name */
    struct net_address addresses[NET_LOOKUP_ADDRESSES_MAX];
    unsigned address_count;
    struct span name;
};

/* Owner: a route.  Freed by: store_redis_seeds_free.  Thread: the loop's. */
struct store_redis_seeds {
    struct seed seeds[STORE_REDIS_SERVERS_MAX];
    unsigned count;
    void (*on_change)(void *arg);
    void *arg;
};

static void on_addresses(void *arg, const struct net_address *addresses, unsigned count)
{
    struct seed *seed = arg;
    memcpy(seed->addresses, addresses, count * sizeof(*addresses));
    seed->address_count = count;
    seed->seeds->on_change(seed->seeds->arg);
}

bool store_redis_seeds_has_names(const struct store_redis *redis)
{
    for (unsigned i = 0; i < redis->conf.server_count; i++) {
        if (redis->hosts[i].len != 0)
            return true;
    }
    return false;
}

static bool seed_begin(struct seed *seed, const struct store_redis *redis, unsigned i,
                       struct net_resolver *resolver)
{
    const struct store_redis_server_conf *server = &redis->conf.servers[i];
    seed->name = server->text;
    if (redis->hosts[i].len == 0) {
        seed->addresses[0] = server->address;
        seed->address_count = 1;
        return true;
    }
    if (resolver != NULL)
        seed->watch =
            net_watch_new(resolver, redis->hosts[i], server->address.port, on_addresses, seed);
    return seed->watch != NULL;
}

struct store_redis_seeds *store_redis_seeds_new(const struct store_redis *redis,
                                                struct net_resolver *resolver,
                                                void (*on_change)(void *arg), void *arg)
{
    struct store_redis_seeds *seeds = calloc(1, sizeof(*seeds));
    if (seeds == NULL)
        return NULL;
    seeds->on_change = on_change;
    seeds->arg = arg;
    seeds->count = redis->conf.server_count;
    for (unsigned i = 0; i < seeds->count; i++) {
        seeds->seeds[i].seeds = seeds;
        if (!seed_begin(&seeds->seeds[i], redis, i, resolver)) {
            store_redis_seeds_free(seeds);
            return NULL;
        }
    }
    return seeds;
}

void store_redis_seeds_free(struct store_redis_seeds *seeds)
{
    if (seeds == NULL)
        return;
    for (unsigned i = 0; i < seeds->count; i++)
        net_watch_free(seeds->seeds[i].watch);
    free(seeds);
}

void store_redis_seeds_hurry(struct store_redis_seeds *seeds)
{
    for (unsigned i = 0; i < seeds->count; i++)
        net_watch_hurry(seeds->seeds[i].watch);
}

unsigned store_redis_seeds_places(const struct store_redis_seeds *seeds,
                                  struct store_redis_place *places, unsigned room)
{
    unsigned count = 0;
    for (unsigned i = 0; i < seeds->count; i++) {
        const struct seed *seed = &seeds->seeds[i];
        for (unsigned a = 0; a < seed->address_count && count < room; a++)
            places[count++] = (struct store_redis_place){seed->addresses[a], seed->name};
    }
    return count;
}
