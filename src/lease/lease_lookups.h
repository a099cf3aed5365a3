/* SPDX-License-Identifier: Apache-2.0 */
/* lease_lookups.h - the questions that one worker has in the air, and what the process remembers of answers.  Private to
 * the module. */
#ifndef SLUICE_LEASE_LOOKUPS_H
#define SLUICE_LEASE_LOOKUPS_H

#include <stdatomic.h>

#include "lease/lease_lookup.h"

#define LEASE_LOOKUP_BUCKETS 64 /* a power of two */

struct store_redis_route;

/* Owner: the process.  Freed by: lease_notes_fini.  Thread: any. */
struct lease_notes {
    void *memory;
    size_t memory_bytes;
    struct store_notes kinds[LEASE_LOOKUP_KINDS];
    atomic_bool has_owed; /* something that was learned could not be told to the fleet */
};

MUST_USE enum err lease_notes_init(struct lease_notes *notes);
void lease_notes_fini(struct lease_notes *notes);

/* Owner: a worker.  Freed by: lease_lookups_free.  Thread: the worker's. */
struct lease_lookups {
    struct lease *lease;
    struct loop *loop;
    struct store_redis_route *route;           /* borrowed */
    struct loop_alarm *alarm;                  /* the lookup that has waited longest */
    struct list waiting;                       /* struct lease_lookup.due, by since_us */
    struct list buckets[LEASE_LOOKUP_BUCKETS]; /* struct lease_query, by key */
    struct list spare;
    unsigned parked_count; /* not sent: the link's first handshake goes on */
    struct loop_task pay;  /* tell the fleet what is owed */
    uint64_t paid;         /* position in the notes */
};

struct lease_lookups *lease_lookups_new(struct lease *lease, struct loop *loop,
                                        struct store_redis_route *route);
/* After the link. */
void lease_lookups_free(struct lease_lookups *lookups);

/* The link is up or down: send, or give up, what was not sent. */
void lease_lookups_on_change(struct lease_lookups *lookups, bool is_up);

#endif
