/* SPDX-License-Identifier: Apache-2.0 */
/* net_lookup.h - names to addresses, once and now: getaddrinfo.  Takes: names.  Gives: addresses, or why there are none.
 * Never asks again (net_resolve.h does), and never parses DNS itself. */
#ifndef SLUICE_NET_LOOKUP_H
#define SLUICE_NET_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"
#include "net/net_address.h"

#define NET_LOOKUP_ADDRESSES_MAX 16
#define NET_LOOKUP_THREADS_MAX   16 /* each has a descriptor or two while it asks */

/* A question and its answer.  Owner: the caller, the host too. */
struct net_lookup {
    struct span host;
    bool is_answered; /* in time */
    int result;       /* of getaddrinfo, if it is */
    unsigned count;
    struct net_address addresses[NET_LOOKUP_ADDRESSES_MAX]; /* port 0 */
};

/* Blocks for as long as getaddrinfo does.  host: NUL-terminated.  Returns what getaddrinfo does, with *count addresses. */
int net_lookup_name(const char *host, uint16_t port,
                    struct net_address addresses[NET_LOOKUP_ADDRESSES_MAX], unsigned *count);

/* Those who ask: NET_LOOKUP_THREADS_MAX at a time, also of several calls.  Thread: its owner's.  NULL: no memory. */
struct net_lookups;
struct net_lookups *net_lookups_new(void);
/* Does not wait for threads that still ask. */
void net_lookups_free(struct net_lookups *lookups);

/* Asks in the order of the list, and blocks until all are answered, but no longer than patience_us.  What comes later is dropped; where memory or threads are
 * lacking there is no answer. */
void net_lookup_all(struct net_lookups *lookups, struct net_lookup *list, unsigned count,
                    uint64_t patience_us);

#endif
