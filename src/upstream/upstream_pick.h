/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_pick.h - which of several servers gets the next request.  Takes: what is known of them, as masks and numbers.
 * Gives: an index.  Pure: no clock, no socket, no random number; the same question has the same answer.
 *
 * Hashing is rendezvous hashing (Thaler and Ravishankar, 1998): each server draws a number from the key and its own name,
 * and the best one has the key.  When a server comes or goes, only keys that move to it or from it move: a table of
 * Maglev moves some others too, and points on a ring leave shares 10 % apart; both have to be built, and to be asked in
 * another way when the server of a key is down or full.  The price is a few nanoseconds per server, of which there are at
 * most 64. */
#ifndef SLUICE_UPSTREAM_PICK_H
#define SLUICE_UPSTREAM_PICK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"

#define UPSTREAM_WEIGHT_MAX 256
#define UPSTREAM_WEIGHT_ONE 256u /* a weight of 1 in force: room for what slow_start leaves of it */

enum upstream_balance {
    UPSTREAM_ROUND_ROBIN,
    UPSTREAM_LEAST_CONNECTIONS,
    UPSTREAM_HASH,
};

/* One server, as the choice sees it. */
struct upstream_candidate {
    int64_t turn;    /* of the round robin: kept by upstream_pick, 0 at first */
    uint64_t seed;   /* of the hash: upstream_pick_seed of its name */
    uint32_t weight; /* in force, above 0 */
    uint32_t busy;   /* requests in progress, for least connections */
};

/* Masks: bit i is server i. */
struct upstream_field {
    uint64_t primaries, backups; /* those that take requests at all */
    uint64_t usable;             /* worth a request, as far as is known */
    uint64_t full;               /* has all the connections that it may */
    uint64_t tried;              /* has failed this request already */
};

enum {
    UPSTREAM_PICK_NONE = -1, /* there is no server left to ask */
    UPSTREAM_PICK_FULL = -2, /* there is one, once it has room */
};

/* The next server.  Of usable servers, backups only when no other is usable; when none is, one that is not believed to
 * work, if it has room.  What is full is passed over; backups do not help out those that are.  A hash without key (NULL)
 * takes turns. */
int upstream_pick(struct upstream_candidate *servers, const struct upstream_field *field,
                  enum upstream_balance balance, const uint64_t *key);

uint64_t upstream_pick_seed(struct span name);

/* The weight in force of a server that is in use again since since_us. */
uint32_t upstream_pick_weight(uint32_t weight, uint64_t since_us, uint64_t now_us,
                              uint64_t slow_start_us);

#endif
