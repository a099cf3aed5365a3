/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_route.c - see store_redis_route.h. */
#include "store/store_redis_route.h"

#include <stdlib.h>

#include "base/base_clock.h"
#include "base/base_fmt.h"
#include "net/net_resolve.h"
#include "store/store_redis_cluster.h"
#include "store/store_redis_link.h"
#include "store/store_redis_map.h"
#include "store/store_redis_seeds.h"
#include "store/store_redis_sentinel.h"
#include "store/store_redis_split.h"

/* Owner: a worker's lease.  Freed by: store_redis_route_free.  Thread: the loop's. */
struct store_redis_route {
    struct store_redis *redis;
    struct loop *loop;
    store_redis_change_fn on_change;
    void *arg;
    bool is_up;             /* as the metrics say */
    uint64_t away_since_us; /* monotonic; not is_up */
    struct net_resolver *resolver;
    struct store_redis_link *master;       /* NULL: a cluster */
    struct store_redis_seeds *seeds;       /* of the master, standalone */
    struct store_redis_sentinel *sentinel; /* NULL: none */
    struct store_redis_cluster *cluster;   /* NULL: none */
    struct store_redis_splits splits;
};

/* ---- news ---- */

static void route_set_up(struct store_redis_route *route, bool is_up)
{
    if (is_up && !route->is_up) {
        atomic_fetch_add(&route->redis->routes_up, 1);
        metrics_add(route->loop->metrics, METRICS_STORE_AWAY,
                    clock_mono_us() - route->away_since_us);
    } else if (!is_up && route->is_up) {
        atomic_fetch_sub(&route->redis->routes_up, 1);
        route->away_since_us = clock_mono_us();
    }
    route->is_up = is_up;
    metrics_set(route->loop->metrics, METRICS_STORE_UP, is_up);
}

static void on_servers(void *arg, bool is_up)
{
    struct store_redis_route *route = arg;
    route_set_up(route, is_up);
    if (route->on_change != NULL)
        route->on_change(route->arg, is_up);
}

static void on_master(void *arg, struct store_redis_link *link, bool is_up)
{
    struct store_redis_route *route = arg;
    if (route->sentinel != NULL)
        store_redis_sentinel_on_change(route->sentinel, is_up);
    if (!is_up && route->seeds != NULL)
        store_redis_seeds_hurry(route->seeds);
    /* One of several servers was tried in vain: the next one is. */
    if (is_up || !store_redis_link_is_starting(link))
        on_servers(route, is_up);
}

static void on_seeds(void *arg)
{
    struct store_redis_route *route = arg;
    struct store_redis_place places[STORE_REDIS_PLACES_MAX];
    unsigned count = store_redis_seeds_places(route->seeds, places, STORE_REDIS_PLACES_MAX);
    store_redis_link_aim(route->master, places, count, NULL);
}

/* ---- sending ---- */

/* The link to the server of a key; NULL: nobody's. */
static struct store_redis_link *link_of(const struct store_redis_route *route, struct span key)
{
    if (route->cluster == NULL)
        return route->master;
    return store_redis_cluster_link(route->cluster, store_redis_slot_of(key));
}

static struct store_redis_link *link_of_subject(const struct store_redis_route *route,
                                                const uint8_t key[16])
{
    char tag[STORE_REDIS_KEY_TEXT_BYTES];
    if (route->cluster == NULL)
        return route->master;
    fmt_base64url(tag, key, 16);
    return link_of(route, (struct span){tag, sizeof(tag)});
}

static enum store_answer send_to(struct store_redis_link *link,
                                 const struct store_redis_cargo *cargo)
{
    *store_redis_cargo_hops(cargo) = 0;
    return link == NULL ? STORE_AWAY : store_redis_link_send(link, cargo, false);
}

static enum store_answer send_op(void *arg, struct store_redis_op *op)
{
    const struct store_redis_cargo cargo = {STORE_REDIS_CARGO_OP, {.op = op}};
    return send_to(link_of_subject(arg, op->claims[0].key), &cargo);
}

/* Nothing is charged anywhere when a part cannot be. */
static bool can_take_all(struct store_redis_route *route, const struct store_redis_op *op)
{
    for (unsigned i = 0; i < op->count; i++) {
        const struct store_redis_link *link = link_of_subject(route, op->claims[i].key);
        if (link == NULL || !(store_redis_link_is_open(link) || store_redis_link_is_starting(link)))
            return false;
    }
    return true;
}

enum store_answer store_redis_route_charge(struct store_redis_route *route,
                                           struct store_redis_op *op)
{
    if (route->cluster == NULL || op->count == 1)
        return send_op(route, op);
    return can_take_all(route, op) ? store_redis_split_charge(&route->splits, op) : STORE_AWAY;
}

enum store_answer store_redis_route_query(struct store_redis_route *route,
                                          struct store_redis_query *query)
{
    const struct store_redis_cargo cargo = {STORE_REDIS_CARGO_QUERY, {.query = query}};
    char key[STORE_REDIS_PREFIX_MAX + 1 + STORE_REDIS_QUERY_KEY_MAX];
    if (query->key.len > STORE_REDIS_QUERY_KEY_MAX)
        return STORE_AWAY;
    char *end = fmt_span(key, route->redis->conf.prefix);
    *end++ = ':';
    end = fmt_span(end, query->key);
    return send_to(link_of(route, (struct span){key, (size_t)(end - key)}), &cargo);
}

enum store_answer store_redis_route_slots(struct store_redis_route *route,
                                          struct store_redis_slots_op *op)
{
    const struct store_redis_cargo cargo = {STORE_REDIS_CARGO_SLOTS, {.slots = op}};
    return send_to(link_of_subject(route, op->claim.key), &cargo);
}

/* Any server that is up: a cluster spreads what is published. */
static struct store_redis_link *any_link(struct store_redis_route *route)
{
    if (route->cluster != NULL)
        return store_redis_cluster_any(route->cluster);
    return store_redis_link_is_up(route->master) ? route->master : NULL;
}

bool store_redis_route_publish(struct store_redis_route *route, const uint8_t key[16], bool is_lost)
{
    struct store_redis_link *link = any_link(route);
    return link != NULL && store_redis_link_publish(link, key, is_lost);
}

bool store_redis_route_place(struct store_redis_route *route, struct store_redis_place *place)
{
    const struct store_redis_link *link = any_link(route);
    if (link != NULL)
        *place = *store_redis_link_place(link);
    return link != NULL;
}

bool store_redis_route_is_at(const struct store_redis_route *route,
                             const struct net_address *address)
{
    if (route->cluster != NULL)
        return store_redis_cluster_is_at(route->cluster, address);
    return store_redis_link_is_up(route->master) &&
           net_address_eq(&store_redis_link_place(route->master)->address, address);
}

unsigned store_redis_route_claims_max(const struct store_redis_route *route)
{
    return route->cluster == NULL ? STORE_REDIS_KEYS_MAX : 1;
}

/* ---- making ---- */

static bool begin_cluster(struct store_redis_route *route)
{
    route->cluster =
        store_redis_cluster_new(route->redis, route->loop, route->resolver, on_servers, route);
    return route->cluster != NULL;
}

static bool begin_master(struct store_redis_route *route)
{
    bool is_sentinel = route->redis->conf.topology == STORE_REDIS_SENTINELS;
    const struct store_redis_link_use use = {
        .duty = STORE_REDIS_STORE,
        .nowhere = is_sentinel ? "no sentinel has named its master (yet)" : NULL,
        .on_change = on_master,
        .arg = route,
    };
    struct store_redis_peer *peer =
        store_redis_peer_take(route->redis, STORE_REDIS_STORE, SPAN_NONE);
    if (peer != NULL)
        route->master = store_redis_link_new(route->redis, route->loop, peer, &use);
    if (route->master == NULL)
        return false;
    if (is_sentinel) {
        route->sentinel =
            store_redis_sentinel_new(route->redis, route->loop, route->resolver, route->master);
        return route->sentinel != NULL;
    }
    route->seeds = store_redis_seeds_new(route->redis, route->resolver, on_seeds, route);
    if (route->seeds == NULL)
        return false;
    on_seeds(route);
    return true;
}

struct store_redis_route *store_redis_route_new(struct store_redis *redis, struct loop *loop,
                                                store_redis_change_fn on_change, void *arg)
{
    struct store_redis_route *route = calloc(1, sizeof(*route));
    if (route == NULL)
        return NULL;
    route->redis = redis;
    route->loop = loop;
    route->on_change = on_change;
    route->arg = arg;
    route->away_since_us = clock_mono_us();
    store_redis_splits_init(&route->splits, loop, send_op, route);
    atomic_fetch_add(&redis->routes, 1);
    route->resolver = net_resolver_new(loop);
    bool is_cluster = redis->conf.topology == STORE_REDIS_CLUSTER;
    if (route->resolver == NULL || !(is_cluster ? begin_cluster(route) : begin_master(route))) {
        store_redis_route_free(route);
        return NULL;
    }
    return route;
}

void store_redis_route_free(struct store_redis_route *route)
{
    if (route == NULL)
        return;
    route_set_up(route, false);
    store_redis_cluster_free(route->cluster);
    store_redis_sentinel_free(route->sentinel);
    store_redis_seeds_free(route->seeds);
    store_redis_link_free(route->master);
    store_redis_splits_fini(&route->splits);
    net_resolver_free(route->resolver);
    atomic_fetch_sub(&route->redis->routes, 1);
    free(route);
}

bool store_redis_route_is_open(const struct store_redis_route *route)
{
    if (route->cluster == NULL)
        return store_redis_link_is_open(route->master);
    return store_redis_cluster_is_open(route->cluster) &&
           !atomic_load_explicit(&route->redis->has_other_secret, memory_order_relaxed);
}

bool store_redis_route_is_starting(const struct store_redis_route *route)
{
    return route->cluster == NULL ? store_redis_link_is_starting(route->master)
                                  : store_redis_cluster_is_starting(route->cluster);
}

uint64_t store_redis_route_anew_at_us(const struct store_redis_route *route, const uint8_t key[16])
{
    const struct store_redis_link *link = link_of_subject(route, key);
    return link == NULL ? 0 : store_redis_link_anew_at_us(link);
}

uint64_t store_redis_route_newest_us(const struct store_redis_route *route)
{
    return route->cluster == NULL ? store_redis_link_anew_at_us(route->master)
                                  : store_redis_cluster_newest_us(route->cluster);
}

void store_redis_route_flush(struct store_redis_route *route)
{
    if (route->cluster == NULL)
        store_redis_link_flush(route->master);
    else
        store_redis_cluster_each(route->cluster, store_redis_link_flush);
}

void store_redis_route_poll(struct store_redis_route *route)
{
    if (route->cluster == NULL)
        store_redis_link_poll(route->master);
    else
        store_redis_cluster_each(route->cluster, store_redis_link_poll);
}
