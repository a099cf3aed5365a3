/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_map.h - which node of a Redis Cluster has which slot.  Takes: the elements of the reply to CLUSTER SLOTS as
 * they are read, however many, in bounded memory.  Gives: a node's number for each slot, and the slot of a key.
 * Pure: no socket. */
#ifndef SLUICE_STORE_REDIS_MAP_H
#define SLUICE_STORE_REDIS_MAP_H

#include "net/net_address.h"
#include "store/store_redis_reply.h"

#define STORE_REDIS_SLOT_COUNT    16384
#define STORE_REDIS_MAP_NODES_MAX 128 /* masters; slots of more have no node */
#define STORE_REDIS_NO_NODE       UINT8_MAX

/* Of a whole key, or of what stands between its first "{" and the next "}" if there is something. */
uint16_t store_redis_slot_of(struct span key);

/* Owner: a route.  Thread: the loop's. */
struct store_redis_map {
    uint8_t nodes[STORE_REDIS_SLOT_COUNT]; /* STORE_REDIS_NO_NODE: nobody's, as far as is known */
    unsigned covered;                      /* slots with a node */
    unsigned node_count;
    struct store_redis_map_node {
        char text[NET_ADDRESS_TEXT_MAX]; /* "host:port", "[host]:port" */
        unsigned len;
    } list[STORE_REDIS_MAP_NODES_MAX];
    bool is_bad; /* the reply was no answer to CLUSTER SLOTS */
    /* while it is read */
    struct span asked; /* the host of the node that was asked: what "" and nil stand for */
    int64_t begin, end;
    char host[NET_ADDRESS_TEXT_MAX];
    unsigned host_len;
    bool has_host;
};

/* A map without slots, for the answer of the node at this address ("host:port"). */
void store_redis_map_begin(struct store_redis_map *map, struct span asked);
/* For struct store_redis_sink. */
void store_redis_map_take(void *map, const struct store_redis_piece *piece);
static inline bool store_redis_map_is_whole(const struct store_redis_map *map)
{
    return !map->is_bad && map->covered == STORE_REDIS_SLOT_COUNT;
}

/* "host:port", "[host]:port"; returns the length, 0: that cannot be an address. */
unsigned store_redis_map_join(char out[NET_ADDRESS_TEXT_MAX], struct span host, uint64_t port);

/* "host:port" and "[host]:port" without the port, and without the brackets. */
struct span store_redis_map_host(struct span address);

/* Where "MOVED 3999 host:port" or "ASK ..." points, as an address's text in out; an empty host is that of asked.
 * 0: nowhere. */
unsigned store_redis_map_target(char out[NET_ADDRESS_TEXT_MAX], struct span error,
                                struct span asked, uint16_t *slot);

#endif
