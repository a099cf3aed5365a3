/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis.h - what the Redis connections of one process share: the configuration, the size of the
 * fleet, and which servers are there. */
#ifndef SLUICE_STORE_REDIS_H
#define SLUICE_STORE_REDIS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base_arena.h"
#include "base/base_err.h"
#include "store/store_redis_conf.h"
#include "store/store_redis_peer.h"

#define STORE_REDIS_FAILOVERS 8

struct net_tls;

/* An event for the access log: the inside of the object. */
typedef void (*store_redis_event_fn)(void *arg, const char *json);

/* Owner: the lease.  Freed by: store_redis_free.  Thread: const but for the atomics and what the lock is for. */
struct store_redis {
    struct store_redis_conf conf;               /* with texts of our own */
    struct span hosts[STORE_REDIS_SERVERS_MAX]; /* to resolve; empty: it has an address */
    struct net_tls *tls;                        /* NULL: plain */
    struct arena arena;
    struct span name;              /* this process among the fleet: host:pid:random */
    struct span key_head;          /* "$<length>\r\n<prefix>:q:{" */
    struct span wait_command;      /* WAIT, as it is sent */
    store_redis_event_fn on_event; /* may be NULL; set before the links are made */
    void *event_arg;

    atomic_uint routes, routes_up; /* workers; those whose store answers */
    _Atomic uint32_t fleet;        /* live proxies last seen, 0 unknown */
    atomic_bool has_company;       /* others were seen once: a new server may not know them yet */
    _Atomic uint64_t beat_due_us;  /* monotonic */
    atomic_bool has_other_secret;  /* the fleet has another than we */
    atomic_bool has_said_publish;  /* that recalls are not allowed */
    _Atomic uint64_t durable_said_us; /* monotonic; until when it is not said again */

    pthread_mutex_t lock; /* of what follows */
    struct store_redis_peer peers[STORE_REDIS_PEERS_MAX];
    unsigned peer_count;
    struct {
        uint64_t hash, at_us;
    } failovers[STORE_REDIS_FAILOVERS]; /* told last */
    unsigned failover_next;
};

/* The configuration is copied.  NULL when it cannot be, or is unusable. */
struct store_redis *store_redis_new(const struct store_redis_conf *conf);
void store_redis_free(struct store_redis *redis);

/* Between the key and the sender of what proxies tell each other. */
#define STORE_REDIS_SAYS_RECALL   ' '
#define STORE_REDIS_SAYS_LOST     '!'
/* The sender of STORE_REDIS_SAYS_LOST about an operator's order that was carried out; behind it a blank and the
 * generation of the value since. */
#define STORE_REDIS_SAYS_OPERATOR "operator"

/* How this process signs what it says to others: the random part of its name. */
static inline struct span store_redis_sender(const struct store_redis *redis)
{
    return (struct span){redis->name.ptr + redis->name.len - 8, 8};
}

/* May the caller send the heartbeat that is due?  True for one caller each STORE_REDIS_BEAT_US. */
bool store_redis_take_beat(struct store_redis *redis, uint64_t now_us);

#endif
