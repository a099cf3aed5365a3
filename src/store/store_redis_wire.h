/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_wire.h - commands as bytes, waiting to be sent: the buffer of one link, and the
 * scripts' calls written by hand into it (no formatting, no allocation per command).  Never sends. */
#ifndef SLUICE_STORE_REDIS_WIRE_H
#define SLUICE_STORE_REDIS_WIRE_H

#include "base/base_err.h"
#include "store/store_redis.h"
#include "store/store_redis_greet.h"
#include "store/store_redis_script.h"
#include "store/store_redis_slots.h"

/* Owner: a link.  Freed by: store_redis_wire_fini.  Thread: the link's. */
struct store_redis_wire {
    char *bytes;
    size_t begin, end, size; /* bytes[begin..end) is unsent */
};

static inline size_t store_redis_wire_unsent(const struct store_redis_wire *wire)
{
    return wire->end - wire->begin;
}

void store_redis_wire_fini(struct store_redis_wire *wire);
/* Drop what is unsent. */
void store_redis_wire_clear(struct store_redis_wire *wire);
void store_redis_wire_sent(struct store_redis_wire *wire, size_t bytes);

MUST_USE enum err store_redis_wire_add(struct store_redis_wire *wire, struct span bytes);

/* EVALSHA, or EVAL with the whole script. */
MUST_USE enum err store_redis_wire_charge(struct store_redis_wire *wire,
                                          const struct store_redis *redis,
                                          const struct store_redis_server *server, bool is_whole,
                                          const struct store_redis_claim *claims, unsigned count);
/* PUBLISH and SUBSCRIBE on `<prefix>:recall`. */
MUST_USE enum err store_redis_wire_publish(struct store_redis_wire *wire,
                                           const struct store_redis *redis, const uint8_t key[16],
                                           bool is_lost);
MUST_USE enum err store_redis_wire_subscribe(struct store_redis_wire *wire,
                                             const struct store_redis *redis);
MUST_USE enum err store_redis_wire_beat(struct store_redis_wire *wire,
                                        const struct store_redis *redis,
                                        const struct store_redis_server *server, bool is_whole);
MUST_USE enum err store_redis_wire_slots(struct store_redis_wire *wire,
                                         const struct store_redis *redis,
                                         const struct store_redis_server *server, bool is_whole,
                                         const struct store_redis_slots_claim *claim);

#endif
