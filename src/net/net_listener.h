/* SPDX-License-Identifier: Apache-2.0 */
/* net_listener.h - accepting connections from a listening socket that the parent opened.  Gives each
 * connection to the caller, at most 16 a turn.  When descriptors run out it pauses, and tries again when it is
 * told that there may be one, and every 100 ms, instead of spinning. */
#ifndef SLUICE_NET_LISTENER_H
#define SLUICE_NET_LISTENER_H

#include "loop/loop.h"
#include "net/net_address.h"

struct net_listener;

/* fd is a connected, non-blocking, close-on-exec socket and is the callee's; peer may be a Unix one. */
typedef void (*net_listener_fn)(void *arg, int fd, const struct net_address *peer);

/* Takes the listening descriptor.  NULL when out of memory. */
struct net_listener *net_listener_new(struct loop *loop, int fd, net_listener_fn on_accept,
                                      void *arg);

/* Right after it was made: accept nothing until net_listener_go.  Who connects waits in the kernel's queue, of which any other
 * process that has the socket may accept. */
void net_listener_hold(struct net_listener *listener);
void net_listener_go(struct net_listener *listener);

/* A descriptor was closed: a listener that pauses for want of one goes on from the next turn. */
void net_listener_resume(struct net_listener *listener);

/* As if it had not been made: the descriptor is the caller's again. */
void net_listener_give_back(struct net_listener *listener);

/* Accept what waits in the queue (a closed SO_REUSEPORT socket would reset it), then close.  One that is held leaves the
 * queue to the others. */
void net_listener_free(struct net_listener *listener);

/* Open a listening socket: non-blocking, close-on-exec, SO_REUSEADDR, with SO_REUSEPORT when is_shared.
 * A Unix socket's stale file is removed when nobody answers on it.  -1 with errno. */
int net_listener_open(const struct net_address *address, bool is_shared);

#endif
