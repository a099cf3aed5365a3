/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_names.h - the addresses of one server: one that is configured, or all that its name leads to.  Takes: answers
 * of the resolver, addresses that failed.  Gives: the next address to connect to.  Pure: the time is an argument. */
#ifndef SLUICE_UPSTREAM_NAMES_H
#define SLUICE_UPSTREAM_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "net/net_address.h"
#include "net/net_resolve.h"

/* Owner: a server.  Thread: the owner's.  All zeroes: none is known. */
struct upstream_names {
    struct net_address addresses[NET_LOOKUP_ADDRESSES_MAX];
    uint32_t ids[NET_LOOKUP_ADDRESSES_MAX]; /* as long as an address stays, it keeps its own */
    uint64_t down_until_us[NET_LOOKUP_ADDRESSES_MAX];
    unsigned count, next;
    uint32_t last_id;
};

/* These are all, in whatever order (resolvers rotate them); more than NET_LOOKUP_ADDRESSES_MAX are passed over.  True
 * when one has come or gone. */
bool upstream_names_set(struct upstream_names *names, const struct net_address *addresses,
                        unsigned count);
/* The index of the next in turn that has not just failed, or of the next if all have; -1: there is none. */
int upstream_names_next(struct upstream_names *names, uint64_t now_us);
/* Leave it alone until then.  True: none is left that has not failed. */
bool upstream_names_failed(struct upstream_names *names, uint32_t id, uint64_t now_us,
                           uint64_t until_us);
bool upstream_names_has(const struct upstream_names *names, uint32_t id);

#endif
