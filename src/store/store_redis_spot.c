/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_spot.c - see store_redis_spot.h. */
#include "store/store_redis_spot.h"

#include "net/net_resolve.h"

static void on_addresses(void *arg, const struct net_address *addresses, unsigned count)
{
    struct store_redis_spot *spot = arg;
    struct store_redis_place places[NET_LOOKUP_ADDRESSES_MAX];
    for (unsigned i = 0; i < count; i++)
        places[i] = (struct store_redis_place){addresses[i], spot->name};
    store_redis_link_aim(spot->link, places, count, NULL);
}

bool store_redis_spot_begin(struct store_redis_spot *spot, struct store_redis_link *link,
                            struct net_resolver *resolver, struct span name, const char *reason)
{
    struct store_redis_place place = {.name = name};
    struct span host = SPAN_NONE;
    *spot = (struct store_redis_spot){.link = link, .name = name};
    if (net_address_parse(&place.address, name, &host) != NULL || place.address.is_unix)
        return false;
    if (place.address.len != 0) {
        store_redis_link_aim(link, &place, 1, reason);
        return true;
    }
    store_redis_link_aim(link, NULL, 0, reason);
    spot->watch = net_watch_new(resolver, host, place.address.port, on_addresses, spot);
    return spot->watch != NULL;
}

void store_redis_spot_end(struct store_redis_spot *spot)
{
    net_watch_free(spot->watch);
    *spot = (struct store_redis_spot){0};
}
