/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_seen.h - what one worker has of its servers, for who asks, and what it has to let go of them.  On the worker's
 * thread. */
#ifndef SLUICE_UPSTREAM_SEEN_H
#define SLUICE_UPSTREAM_SEEN_H

#include "upstream/upstream.h"

/* One server.  Owner: who asks. */
struct upstream_seen {
    struct span upstream, server;
    unsigned open; /* connections of the process, kept ones too */
    unsigned idle; /* of them kept; each worker adds its own */
    struct net_address addresses[NET_LOOKUP_ADDRESSES_MAX]; /* as the last one who knows them */
    unsigned address_count;
};

/* Add what this worker knows of the server that is named in it. */
void upstream_set_see(const struct upstream_set *set, struct upstream_seen *seen);

/* Close kept connections to servers that are ordered down. */
void upstream_set_obey(struct upstream_set *set);

#endif
