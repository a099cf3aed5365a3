/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_peer.h - what one process knows of one server, or of one role that servers take in turn: how many of its
 * workers are connected, and what was logged already.  Takes: news from links.  Gives: one log line and one event per
 * change for the process, not one per worker. */
#ifndef SLUICE_STORE_REDIS_PEER_H
#define SLUICE_STORE_REDIS_PEER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"
#include "net/net_address.h"

#define STORE_REDIS_PEERS_MAX 256
#define STORE_REDIS_SAID      32 /* reasons that are remembered: several addresses fail in turn */

struct store_redis;

/* What a connection is for. */
enum store_redis_duty {
    STORE_REDIS_STORE,    /* counts: the one master */
    STORE_REDIS_SHARD,    /* counts: a master of some slots of a cluster */
    STORE_REDIS_GUIDE,    /* any node of a cluster: only asked where the slots are */
    STORE_REDIS_SENTINEL, /* only asked where the master is */
};

static inline bool store_redis_duty_counts(enum store_redis_duty duty)
{
    return duty == STORE_REDIS_STORE || duty == STORE_REDIS_SHARD;
}

/* Owner: struct store_redis.  Freed by: never, while that lives; one without links may get another name.
 * Thread: name and duty under the lock of store_redis while there are no links, else const. */
struct store_redis_peer {
    enum store_redis_duty duty;
    unsigned links; /* under the lock */
    char text[NET_ADDRESS_TEXT_MAX];
    struct span name; /* text, of a shard; others are named by the address in use */
    atomic_uint links_up;
    _Atomic uint64_t said[STORE_REDIS_SAID]; /* hashes of the reasons logged; 0 none */
    atomic_uint said_next;
    _Atomic uint64_t lost_at_us; /* monotonic; 0: it answers, or was not asked yet */
};

/* The peer of this name (empty: of this duty), for one link more.  NULL: there are too many. */
struct store_redis_peer *store_redis_peer_take(struct store_redis *redis,
                                               enum store_redis_duty duty, struct span name);
void store_redis_peer_leave(struct store_redis *redis, struct store_redis_peer *peer);

/* News of a link at the address `at`. */
void store_redis_peer_up(struct store_redis *redis, struct store_redis_peer *peer, struct span at,
                         uint64_t now_us, const char *version, const char *policy);
void store_redis_peer_down(struct store_redis *redis, struct store_redis_peer *peer, struct span at,
                           uint64_t now_us, bool was_up, const char *reason);

/* Another server has taken over.  True for the first of several workers that see it. */
bool store_redis_peer_failover(struct store_redis *redis, uint64_t now_us, struct span from,
                               struct span to);

#endif
