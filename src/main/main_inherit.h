/* SPDX-License-Identifier: Apache-2.0 */
/* main_inherit.h - listening sockets that are open already when the program begins: systemd's (sd_listen_fds(3)), or those of
 * the process that this one replaces.  Takes: descriptors.  Gives: those of an address.  Never opens one. */
#ifndef SLUICE_MAIN_INHERIT_H
#define SLUICE_MAIN_INHERIT_H

#include <stdbool.h>

#include "base/base_err.h"
#include "main/main_sockets.h"
#include "net/net_address.h"

#define MAIN_INHERIT_NAME_MAX 64

struct main_inherited {
    int fd;            /* -1: somebody has taken it */
    bool is_activated; /* systemd's: the file of a Unix socket is not ours to remove */
    struct net_address address;
    char name[MAIN_INHERIT_NAME_MAX]; /* of the unit; "" */
};

/* Owner: whoever embeds it; it owns what nobody has taken.  Freed by: main_inherit_fini.  Thread: the owner's. */
struct main_inheritance {
    struct main_inherited *list;
    unsigned count;
};

/* fd is taken, made non-blocking and closed on exec.  ERR_INVALID: it is no listening stream socket, and closed. */
MUST_USE enum err main_inherit_add(struct main_inheritance *inheritance, int fd, bool is_activated,
                                   const char *name);
/* What systemd has left for this process, as LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say; they are removed from the
 * environment.  False: why. */
bool main_inherit_systemd(struct main_inheritance *inheritance, char why[512]);
/* The sockets of the plan's addresses, as main_sockets_open wants them; they are taken. */
MUST_USE enum err main_inherit_sockets(struct main_inheritance *inheritance,
                                       const struct plan *plan, unsigned workers,
                                       struct main_sockets *sockets);
/* Is one left that systemd gave?  Then why names it. */
bool main_inherit_is_left(const struct main_inheritance *inheritance, char why[512]);
/* For main_takeover_write: the parent's sockets, borrowed; free the list alone. */
MUST_USE enum err main_inherit_list(struct main_inheritance *inheritance,
                                    const struct main_sockets *sockets);
void main_inherit_fini(struct main_inheritance *inheritance);

#endif
