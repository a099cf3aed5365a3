/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_cluster.c - see store_redis_cluster.h. */
#include "store/store_redis_cluster.h"

#include <stdlib.h>
#include <string.h>

#include "net/net_resolve.h"
#include "store/store_redis_fault.h"
#include "store/store_redis_map.h"
#include "store/store_redis_reply.h"
#include "store/store_redis_script.h"
#include "store/store_redis_seeds.h"
#include "store/store_redis_spot.h"

#define LOOK_US          250000
#define LOOK_AWAY_US     120000 /* while a node is away: another is about to take over */
#define REFRESH_LEAST    100000 /* between two questions */
#define REFRESH_US       UINT64_C(60000000)
#define REFRESH_SPAN_US  UINT64_C(24000000) /* 60 s +- 20 % */
#define REFRESH_HOLES_US 1000000            /* while slots are nobody's, as far as is known */
#define UNUSED_US        30000000 /* a node without slots stays so long: it may be getting some */

struct cluster_node {
    struct store_redis_cluster *cluster;
    struct store_redis_link *link; /* NULL: free */
    struct store_redis_spot spot;
    struct span name; /* its peer's */
    unsigned slots;
    uint64_t used_at_us; /* a redirect has named it */
};

/* Owner: a route.  Freed by: store_redis_cluster_free.  Thread: the loop's. */
struct store_redis_cluster {
    struct store_redis *redis;
    struct loop *loop;
    struct net_resolver *resolver;
    void (*on_change)(void *arg, bool is_up);
    void *arg;

    struct cluster_node nodes[STORE_REDIS_MAP_NODES_MAX];
    uint8_t owner[STORE_REDIS_SLOT_COUNT]; /* a node's place; STORE_REDIS_NO_NODE */
    uint16_t fleet_slot;
    bool has_map;
    bool is_decided; /* not starting any more */
    bool is_ending;

    struct store_redis_link *guide; /* to be asked while no node is up */
    struct store_redis_seeds *seeds;
    struct store_redis_question question;
    struct store_redis_sink sink;
    struct store_redis_map map; /* being read */
    struct store_redis_link *asked, *preferred;
    char asked_at[NET_ADDRESS_TEXT_MAX];
    uint64_t asked_at_us, due_us; /* due: the next refresh */
    bool is_wanted;
    struct loop_alarm *look; /* the coarse timers are too late for it */
    struct loop_task tidy;
};

static void cluster_refresh(struct store_redis_cluster *cluster);

/* ---- nodes ---- */

static bool has_node_up(const struct store_redis_cluster *cluster)
{
    for (unsigned i = 0; i < STORE_REDIS_MAP_NODES_MAX; i++) {
        if (cluster->nodes[i].link != NULL && store_redis_link_is_up(cluster->nodes[i].link))
            return true;
    }
    return false;
}

/* Do all nodes with slots answer? */
static bool is_well(const struct store_redis_cluster *cluster)
{
    for (unsigned i = 0; i < STORE_REDIS_MAP_NODES_MAX; i++) {
        const struct cluster_node *node = &cluster->nodes[i];
        if (node->link != NULL && node->slots != 0 && !store_redis_link_is_up(node->link))
            return false;
    }
    return true;
}

/* Is there anything to wait for before the first decision? */
static bool is_undecided(const struct store_redis_cluster *cluster)
{
    if (!cluster->has_map)
        return store_redis_link_is_starting(cluster->guide) ||
               store_redis_link_is_up(cluster->guide);
    for (unsigned i = 0; i < STORE_REDIS_MAP_NODES_MAX; i++) {
        if (cluster->nodes[i].link != NULL && cluster->nodes[i].slots != 0 &&
            store_redis_link_is_starting(cluster->nodes[i].link))
            return true;
    }
    return false;
}

static void tell_change(struct store_redis_cluster *cluster, bool is_up)
{
    if (cluster->is_ending || (!cluster->is_decided && is_undecided(cluster)))
        return;
    bool is_first = !cluster->is_decided;
    bool is_open = has_node_up(cluster);
    cluster->is_decided = true;
    if (is_first)
        cluster->on_change(cluster->arg, is_open);
    else if (is_up || !is_open)
        cluster->on_change(cluster->arg, is_up);
}

static void on_node(void *arg, struct store_redis_link *link, bool is_up)
{
    struct store_redis_cluster *cluster = arg;
    (void)link;
    if (!is_up)
        cluster->is_wanted = true;
    else
        loop_task_schedule(cluster->loop, &cluster->tidy);
    tell_change(cluster, is_up);
}

static bool on_redirect(void *arg, struct store_redis_link *link,
                        const struct store_redis_cargo *cargo, struct span error);

static bool node_begin(struct store_redis_cluster *cluster, struct cluster_node *node,
                       struct span name)
{
    const struct store_redis_link_use use = {
        .duty = STORE_REDIS_SHARD,
        .is_later = cluster->is_decided,
        .on_change = on_node,
        .on_redirect = on_redirect,
        .arg = cluster,
    };
    struct store_redis_peer *peer = store_redis_peer_take(cluster->redis, STORE_REDIS_SHARD, name);
    if (peer == NULL)
        return false;
    *node = (struct cluster_node){.cluster = cluster, .name = peer->name};
    node->link = store_redis_link_new(cluster->redis, cluster->loop, peer, &use);
    if (node->link == NULL)
        return false;
    if (store_redis_spot_begin(&node->spot, node->link, cluster->resolver, node->name, NULL))
        return true;
    store_redis_link_free(node->link);
    node->link = NULL;
    return false;
}

static void node_end(struct cluster_node *node)
{
    struct store_redis_link *link = node->link;
    if (link == NULL)
        return;
    store_redis_spot_end(&node->spot);
    node->link = NULL; /* nothing finds it while its cargo ends */
    store_redis_link_free(link);
}

/* The node's place; STORE_REDIS_NO_NODE: no room. */
static uint8_t node_of(struct store_redis_cluster *cluster, struct span name)
{
    uint8_t spare = STORE_REDIS_NO_NODE;
    for (unsigned i = 0; i < STORE_REDIS_MAP_NODES_MAX; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        if (node->link == NULL)
            spare = spare == STORE_REDIS_NO_NODE ? (uint8_t)i : spare;
        else if (span_eq(node->name, name))
            return (uint8_t)i;
    }
    if (spare == STORE_REDIS_NO_NODE || !node_begin(cluster, &cluster->nodes[spare], name))
        return STORE_REDIS_NO_NODE;
    return spare;
}

/* ---- the map ---- */

/* A node that was away has no slots any more: another one has taken over. */
static void tell_failovers(struct store_redis_cluster *cluster, const uint8_t *next)
{
    bool is_told[STORE_REDIS_MAP_NODES_MAX] = {false};
    for (unsigned slot = 0; slot < STORE_REDIS_SLOT_COUNT; slot++) {
        uint8_t from = cluster->owner[slot], to = next[slot];
        if (from == to || from == STORE_REDIS_NO_NODE || to == STORE_REDIS_NO_NODE ||
            is_told[from] || store_redis_link_is_up(cluster->nodes[from].link))
            continue;
        is_told[from] = true;
        if (store_redis_peer_failover(cluster->redis, cluster->loop->mono_us,
                                      cluster->nodes[from].name, cluster->nodes[to].name))
            metrics_add(cluster->loop->metrics, METRICS_STORE_FAILOVERS, 1);
    }
}

static void count_slots(struct store_redis_cluster *cluster)
{
    for (unsigned i = 0; i < STORE_REDIS_MAP_NODES_MAX; i++)
        cluster->nodes[i].slots = 0;
    for (unsigned slot = 0; slot < STORE_REDIS_SLOT_COUNT; slot++) {
        if (cluster->owner[slot] != STORE_REDIS_NO_NODE)
            cluster->nodes[cluster->owner[slot]].slots++;
    }
    for (unsigned i = 0; i < STORE_REDIS_MAP_NODES_MAX; i++) {
        if (cluster->nodes[i].link != NULL)
            store_redis_link_set_beating(cluster->nodes[i].link,
                                         cluster->owner[cluster->fleet_slot] == i);
    }
}

static void take_map(struct store_redis_cluster *cluster)
{
    struct store_redis_map *map = &cluster->map;
    uint8_t places[STORE_REDIS_MAP_NODES_MAX];
    if (map->covered == 0) {
        cluster->is_wanted = true;
        return;
    }
    for (unsigned i = 0; i < map->node_count; i++)
        places[i] = node_of(cluster, (struct span){map->list[i].text, map->list[i].len});
    bool is_placed = true;
    for (unsigned slot = 0; slot < STORE_REDIS_SLOT_COUNT; slot++) {
        uint8_t *node = &map->nodes[slot];
        if (*node == STORE_REDIS_NO_NODE) {
            *node = cluster->owner[slot]; /* what is not spoken of stays where it was */
            continue;
        }
        *node = places[*node];
        is_placed &= *node != STORE_REDIS_NO_NODE;
    }
    tell_failovers(cluster, map->nodes);
    memcpy(cluster->owner, map->nodes, sizeof(cluster->owner));
    cluster->has_map = true;
    /* No room for a node, perhaps: there is once those without slots are gone. */
    if (!is_placed || !store_redis_map_is_whole(map))
        cluster->due_us = cluster->loop->mono_us + REFRESH_HOLES_US;
    count_slots(cluster);
    loop_task_schedule(cluster->loop, &cluster->tidy);
    tell_change(cluster, false);
}

static void set_due(struct store_redis_cluster *cluster)
{
    cluster->due_us = cluster->loop->mono_us + REFRESH_US - REFRESH_SPAN_US / 2 +
                      rng_below(&cluster->loop->rng, REFRESH_SPAN_US);
}

static void on_answer(struct store_redis_question *question, const struct store_redis_reply *reply)
{
    struct store_redis_cluster *cluster = LIST_OF(question, struct store_redis_cluster, question);
    bool is_good = reply != NULL && reply->types[0] == STORE_REDIS_ARRAY && !cluster->map.is_bad;
    struct store_redis_link *asked = cluster->asked;
    cluster->asked = NULL;
    if (cluster->is_ending)
        return;
    if (is_good) {
        cluster->is_wanted = false;
        set_due(cluster);
        take_map(cluster);
        return;
    }
    cluster->is_wanted = true;
    if (reply == NULL || asked != cluster->guide)
        return;
    char why[STORE_REDIS_WHY_BYTES];
    struct span error = store_redis_reply_text(reply, 0);
    bool is_error = reply->types[0] == STORE_REDIS_ERROR;
    if (is_error)
        store_redis_fault_say(store_redis_fault_of(error), error, why);
    store_redis_link_drop(asked, is_error ? why : "it does not answer as a node of a cluster");
}

/* Whom to ask: who has sent something elsewhere; else any node; else a seed. */
static struct store_redis_link *find_asked(struct store_redis_cluster *cluster)
{
    struct store_redis_link *preferred = cluster->preferred;
    cluster->preferred = NULL;
    unsigned first = (unsigned)rng_below(&cluster->loop->rng, STORE_REDIS_MAP_NODES_MAX);
    struct store_redis_link *found = NULL;
    for (unsigned i = 0; i < STORE_REDIS_MAP_NODES_MAX; i++) {
        struct store_redis_link *link =
            cluster->nodes[(first + i) % STORE_REDIS_MAP_NODES_MAX].link;
        if (link == NULL || !store_redis_link_is_open(link))
            continue;
        if (link == preferred)
            return link;
        found = link;
    }
    if (found == NULL && store_redis_link_is_open(cluster->guide))
        found = cluster->guide;
    return found;
}

static void cluster_refresh(struct store_redis_cluster *cluster)
{
    uint64_t now_us = cluster->loop->mono_us;
    cluster->is_wanted = true;
    if (cluster->question.is_asked ||
        (cluster->asked_at_us != 0 && now_us - cluster->asked_at_us < REFRESH_LEAST))
        return; /* on_look sees to it */
    struct store_redis_link *link = find_asked(cluster);
    if (link == NULL) {
        store_redis_link_wake(cluster->guide);
        return;
    }
    const struct store_redis_place *place = store_redis_link_place(link);
    size_t len = 0;
    if (place->address.is_unix)
        memcpy(cluster->asked_at, "127.0.0.1:0", len = 11);
    else
        len = net_address_format(cluster->asked_at, &place->address);
    store_redis_map_begin(&cluster->map, (struct span){cluster->asked_at, len});
    if (!store_redis_link_ask(link, &cluster->question))
        return;
    cluster->asked = link;
    cluster->asked_at_us = now_us;
    metrics_add(cluster->loop->metrics, METRICS_STORE_REFRESHES, 1);
}

static void on_look(void *arg)
{
    struct store_redis_cluster *cluster = arg;
    bool is_away = cluster->is_wanted || !is_well(cluster);
    loop_alarm_set(cluster->look, cluster->loop->mono_us + (is_away ? LOOK_AWAY_US : LOOK_US));
    if (is_away || cluster->loop->mono_us >= cluster->due_us)
        cluster_refresh(cluster);
}

/* ---- redirects ---- */

static bool on_redirect(void *arg, struct store_redis_link *link,
                        const struct store_redis_cargo *cargo, struct span error)
{
    struct store_redis_cluster *cluster = arg;
    bool is_asking = span_starts_with(error, SPAN("ASK"));
    if (store_redis_fault_is_slot(error)) {
        cluster_refresh(cluster);
        return false;
    }
    char text[NET_ADDRESS_TEXT_MAX], asked[NET_ADDRESS_TEXT_MAX];
    uint16_t slot = 0;
    const struct net_address *at = &store_redis_link_place(link)->address;
    unsigned len = store_redis_map_target(
        text, error, (struct span){asked, net_address_format(asked, at)}, &slot);
    if (!is_asking) {
        cluster->preferred = link;
        cluster_refresh(cluster);
    }
    if (cargo == NULL)
        return true; /* a heartbeat: the next one goes where it belongs */
    uint8_t place = STORE_REDIS_NO_NODE;
    if (len != 0 && ++*store_redis_cargo_hops(cargo) <= STORE_REDIS_HOPS_MAX)
        place = node_of(cluster, (struct span){text, len});
    bool is_sent = false;
    if (place != STORE_REDIS_NO_NODE) {
        struct cluster_node *node = &cluster->nodes[place];
        node->used_at_us = cluster->loop->mono_us;
        is_sent = store_redis_link_send(node->link, cargo, is_asking) == STORE_PENDING;
    }
    if (!is_sent) {
        metrics_add(cluster->loop->metrics, METRICS_STORE_REDIRECTS_LOST, 1);
        store_redis_cargo_lose(cargo);
        return true;
    }
    metrics_add(cluster->loop->metrics, is_asking ? METRICS_STORE_ASK : METRICS_STORE_MOVED, 1);
    if (!is_asking && cluster->owner[slot] != place) {
        cluster->owner[slot] = place;
        count_slots(cluster);
    }
    return true;
}

/* ---- tidying, outside of any link ---- */

static void on_tidy(void *arg)
{
    struct store_redis_cluster *cluster = arg;
    uint64_t now_us = cluster->loop->mono_us;
    for (unsigned i = 0; i < STORE_REDIS_MAP_NODES_MAX; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        bool is_recent = node->used_at_us != 0 && now_us - node->used_at_us < UNUSED_US;
        if (node->link == NULL || node->slots != 0 || is_recent ||
            store_redis_link_load(node->link) != 0)
            continue;
        if (cluster->preferred == node->link)
            cluster->preferred = NULL;
        node_end(node);
    }
    if (has_node_up(cluster) && !cluster->question.is_asked)
        store_redis_link_rest(cluster->guide);
}

/* ---- making ---- */

static void on_guide(void *arg, struct store_redis_link *link, bool is_up)
{
    struct store_redis_cluster *cluster = arg;
    (void)link;
    if (is_up) {
        cluster_refresh(cluster);
        return;
    }
    store_redis_seeds_hurry(cluster->seeds);
    tell_change(cluster, false);
}

static void on_seeds(void *arg)
{
    struct store_redis_cluster *cluster = arg;
    struct store_redis_place places[STORE_REDIS_PLACES_MAX];
    unsigned count = store_redis_seeds_places(cluster->seeds, places, STORE_REDIS_PLACES_MAX);
    store_redis_link_aim(cluster->guide, places, count, NULL);
}

static void set_question(struct store_redis_cluster *cluster)
{
    cluster->sink.take = store_redis_map_take;
    cluster->sink.arg = &cluster->map;
    cluster->question.command = SPAN("*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n");
    cluster->question.sink = &cluster->sink;
    cluster->question.done = on_answer;
}

struct store_redis_cluster *store_redis_cluster_new(struct store_redis *redis, struct loop *loop,
                                                    struct net_resolver *resolver,
                                                    void (*on_change)(void *arg, bool is_up),
                                                    void *arg)
{
    struct store_redis_cluster *cluster = calloc(1, sizeof(*cluster));
    if (cluster == NULL)
        return NULL;
    cluster->redis = redis;
    cluster->loop = loop;
    cluster->resolver = resolver;
    cluster->on_change = on_change;
    cluster->arg = arg;
    cluster->fleet_slot = store_redis_slot_of(SPAN(STORE_REDIS_FLEET_TAG));
    memset(cluster->owner, STORE_REDIS_NO_NODE, sizeof(cluster->owner));
    cluster->look = loop_alarm_new(loop, on_look, cluster);
    loop_task_init(&cluster->tidy, on_tidy, cluster);
    set_question(cluster);
    const struct store_redis_link_use use = {
        .duty = STORE_REDIS_GUIDE, .on_change = on_guide, .arg = cluster};
    struct store_redis_peer *peer = store_redis_peer_take(redis, STORE_REDIS_GUIDE, SPAN_NONE);
    if (peer != NULL)
        cluster->guide = store_redis_link_new(redis, loop, peer, &use);
    cluster->seeds = store_redis_seeds_new(redis, resolver, on_seeds, cluster);
    if (cluster->look == NULL || cluster->guide == NULL || cluster->seeds == NULL) {
        store_redis_cluster_free(cluster);
        return NULL;
    }
    on_seeds(cluster);
    loop_alarm_set(cluster->look, loop->mono_us + LOOK_US);
    return cluster;
}

void store_redis_cluster_free(struct store_redis_cluster *cluster)
{
    if (cluster == NULL)
        return;
    cluster->is_ending = true;
    loop_alarm_free(cluster->look);
    cluster->look = NULL;
    loop_task_cancel(&cluster->tidy);
    store_redis_seeds_free(cluster->seeds);
    for (unsigned i = 0; i < STORE_REDIS_MAP_NODES_MAX; i++)
        node_end(&cluster->nodes[i]);
    store_redis_link_free(cluster->guide);
    free(cluster);
}

bool store_redis_cluster_is_starting(const struct store_redis_cluster *cluster)
{
    return !cluster->is_decided;
}

bool store_redis_cluster_is_open(const struct store_redis_cluster *cluster)
{
    return cluster->is_decided && has_node_up(cluster);
}

struct store_redis_link *store_redis_cluster_link(const struct store_redis_cluster *cluster,
                                                  uint16_t slot)
{
    uint8_t place = cluster->owner[slot];
    return place == STORE_REDIS_NO_NODE ? NULL : cluster->nodes[place].link;
}

static bool node_counts(const struct cluster_node *node)
{
    return node->link != NULL && node->slots != 0 && store_redis_link_is_up(node->link);
}

struct store_redis_link *store_redis_cluster_any(struct store_redis_cluster *cluster)
{
    for (unsigned i = 0; i < STORE_REDIS_MAP_NODES_MAX; i++) {
        if (node_counts(&cluster->nodes[i]))
            return cluster->nodes[i].link;
    }
    return NULL;
}

bool store_redis_cluster_is_at(const struct store_redis_cluster *cluster,
                               const struct net_address *address)
{
    for (unsigned i = 0; i < STORE_REDIS_MAP_NODES_MAX; i++) {
        const struct cluster_node *node = &cluster->nodes[i];
        if (node_counts(node) &&
            net_address_eq(&store_redis_link_place(node->link)->address, address))
            return true;
    }
    return false;
}

uint64_t store_redis_cluster_newest_us(const struct store_redis_cluster *cluster)
{
    uint64_t newest_us = 0;
    for (unsigned i = 0; i < STORE_REDIS_MAP_NODES_MAX; i++) {
        const struct cluster_node *node = &cluster->nodes[i];
        uint64_t since_us = node_counts(node) ? store_redis_link_anew_at_us(node->link) : 0;
        newest_us = since_us > newest_us ? since_us : newest_us;
    }
    return newest_us;
}

void store_redis_cluster_each(struct store_redis_cluster *cluster,
                              void (*fn)(struct store_redis_link *link))
{
    for (unsigned i = 0; i < STORE_REDIS_MAP_NODES_MAX; i++) {
        if (cluster->nodes[i].link != NULL)
            fn(cluster->nodes[i].link);
    }
    fn(cluster->guide);
}
