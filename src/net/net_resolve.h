/* SPDX-License-Identifier: Apache-2.0 */
/* net_resolve.h - names to addresses, off the loop: getaddrinfo in threads of its own, asked again on a
 * timer; the last good answer is kept for ever.  A name whose server does not answer holds up others only when
 * NET_RESOLVE_THREADS_MAX such names are asked for at once.  Never parses DNS itself. */
#ifndef SLUICE_NET_RESOLVE_H
#define SLUICE_NET_RESOLVE_H

#include "base/base_span.h"
#include "loop/loop.h"
#include "net/net_address.h"
#include "net/net_lookup.h"

#define NET_RESOLVE_INTERVAL_US 10000000
#define NET_RESOLVE_THREADS_MAX 4 /* of one resolver */
#define NET_RESOLVE_HURRY_US    1000000

struct net_resolver;

struct net_resolver *net_resolver_new(struct loop *loop);
/* Does not wait for queries in progress: their threads end by themselves. */
void net_resolver_free(struct net_resolver *resolver);

/* A name that is watched.  on_change runs on the loop whenever the set of addresses changed, the first
 * time included, unless net_watch_know has told it; never from inside but of net_watch_tell. */
struct net_watch;
typedef void (*net_watch_fn)(void *arg, const struct net_address *addresses, unsigned count);
struct net_watch *net_watch_new(struct net_resolver *resolver, struct span host, uint16_t port,
                                net_watch_fn on_change, void *arg);
void net_watch_free(struct net_watch *watch);
/* These are its addresses already: on_change tells of others only.  NULL: nothing. */
void net_watch_know(struct net_watch *watch, const struct net_address *addresses, unsigned count);
/* The same with on_change, at once: somebody else was answered. */
void net_watch_tell(struct net_watch *watch, const struct net_address *addresses, unsigned count);
/* How often it is asked again (NET_RESOLVE_INTERVAL_US at first): a shorter interval counts from now, a longer one from the next
 * answer.  NULL: nothing. */
void net_watch_set_interval(struct net_watch *watch, uint64_t interval_us);
/* Who connects to its addresses cannot: ask again soon (within NET_RESOLVE_HURRY_US), not only when it is time.  NULL: nothing. */
void net_watch_hurry(struct net_watch *watch);

#endif
