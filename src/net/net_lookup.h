/* SPDX-License-Identifier: Apache-2.0 */
/* net_lookup.h - names to addresses, once and now: getaddrinfo.  Takes: names.  Gives: addresses, or why there are none.
 * Never asks again (net_resolve.h does), and never parses DNS itself. */
#ifndef SLUICE_NET_LOOKUP_H
#define SLUICE_NET_LOOKUP_H

#include <stdint.h>

#include "base/base_span.h"
#include "net/net_address.h"

#define NET_LOOKUP_ADDRESSES_MAX 16
#define NET_LOOKUP_THREADS_MAX   16

/* A question and its answer. */
struct net_lookup {
    struct span host; /* the caller's */
    uint16_t port;
    int result; /* of getaddrinfo; EAI_AGAIN: not answered in time */
    unsigned count;
    struct net_address addresses[NET_LOOKUP_ADDRESSES_MAX];
};

/* Blocks for as long as getaddrinfo does.  host: NUL-terminated.  Returns what getaddrinfo does, with *count addresses. */
int net_lookup_name(const char *host, uint16_t port,
                    struct net_address addresses[NET_LOOKUP_ADDRESSES_MAX], unsigned *count);

/* Asks for all of them at the same time, and blocks until all are answered, but no longer than patience_us.  What comes later is
 * dropped.  Where memory or threads are lacking there is no answer. */
void net_lookup_all(struct net_lookup *lookups, unsigned count, uint64_t patience_us);

#endif
