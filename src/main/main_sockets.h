/* SPDX-License-Identifier: Apache-2.0 */
/* main_sockets.h - the listening sockets of a plan.  The parent opens them and keeps them open while
 * children come and go; a reload opens only what is new.  Traffic addresses have one SO_REUSEPORT socket
 * per worker; a Unix socket is one, shared. */
#ifndef SLUICE_MAIN_SOCKETS_H
#define SLUICE_MAIN_SOCKETS_H

#include <sys/types.h>

#include "base/base_err.h"
#include "net/net_address.h"
#include "plan/plan.h"

enum main_socket_role {
    MAIN_SOCKET_TRAFFIC, /* in the order of plan->listeners, before the others */
    MAIN_SOCKET_ADMIN,
    MAIN_SOCKET_METRICS,
};

struct main_socket {
    enum main_socket_role role;
    struct net_address address;
    unsigned count;
    int *fds;     /* traffic: one per worker, or a single one for a Unix socket in the parent */
    bool is_kept; /* it stood in the previous set already */
    dev_t dev;    /* of a Unix socket's file, so that only our own is removed */
    ino_t ino;
    bool is_activated; /* systemd's: its file is never removed */
};

/* Owner: the parent or the child.  Freed by: main_sockets_fini.  Thread: the owner's. */
struct main_sockets {
    struct main_socket *list;
    unsigned count;
};

/* The sockets for this plan: those of `old` (may be NULL) that it still has, and fresh ones.  False:
 * nothing is open that was not before, `why` is one line that says what to do. */
bool main_sockets_open(struct main_sockets *sockets, const struct main_sockets *old,
                       const struct plan *plan, unsigned workers, char why[512]);
/* Close and forget what was opened anew. */
void main_sockets_abandon(struct main_sockets *sockets);
/* `next` is in force and becomes *sockets: close what only the old set has and remove its files (is_parent), or
 * forget it, because workers own and have closed it. */
void main_sockets_replace(struct main_sockets *sockets, struct main_sockets *next, bool is_parent);
/* Close those for traffic, so that nobody queues for a service that ends. */
void main_sockets_close_traffic(struct main_sockets *sockets);
/* Close all; with remove_files also the files of Unix sockets go. */
void main_sockets_fini(struct main_sockets *sockets, bool remove_files);

/* Child, at its end: free the list; the descriptors were given to others. */
void main_sockets_forget(struct main_sockets *sockets);

/* Child: the same set as workers need it.  A shared Unix socket becomes one descriptor per worker. */
MUST_USE enum err main_sockets_spread(struct main_sockets *sockets, unsigned workers);
/* Child: the set for `plan`, from the old one and the fresh descriptors that the parent sent, in the order of
 * main_sockets_fresh.  Takes the descriptors. */
MUST_USE enum err main_sockets_adopt(struct main_sockets *sockets, const struct main_sockets *old,
                                     const struct plan *plan, unsigned workers, const int *fds,
                                     unsigned fd_count);
/* Parent: all descriptors that were opened anew; malloc'ed, borrowed descriptors. */
MUST_USE enum err main_sockets_fresh(const struct main_sockets *sockets, int **fds,
                                     unsigned *count);

#endif
