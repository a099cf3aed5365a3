/* SPDX-License-Identifier: Apache-2.0 */
/* client_addresses.h - how many connections each address has, exact over all workers of the process.  Takes: the
 * address of a connection that comes or goes.  Gives: whether it may come.  IPv6 is counted by /64, as a host has
 * all of one.
 *
 * Bounded: an address is in the table while it has a counted connection, so there are never more entries than
 * limits.connections.  Without memory for an entry the connection is not let in.  Touched only when a connection
 * comes or goes, and only while a limit is configured; a lock is held for one look into a short list. */
#ifndef SLUICE_CLIENT_ADDRESSES_H
#define SLUICE_CLIENT_ADDRESSES_H

#include <stdbool.h>

#include "base/base_ip.h"

/* Owner: the process.  Freed by: client_addresses_free, when every connection has left.  Thread: any. */
struct client_addresses;

struct client_addresses *client_addresses_new(void);
void client_addresses_free(struct client_addresses *addresses);

/* Count a connection of this address, unless it has `max` or more (at least 1).  A max that has been lowered
 * meanwhile ends no connection: it only lets none in until enough have left. */
bool client_addresses_enter(struct client_addresses *addresses, const struct ip *ip, unsigned max);
/* For every connection that was counted, once. */
void client_addresses_leave(struct client_addresses *addresses, const struct ip *ip);

/* How many are counted now; for tests. */
unsigned client_addresses_count(struct client_addresses *addresses, const struct ip *ip);

#endif
