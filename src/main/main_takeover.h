/* SPDX-License-Identifier: Apache-2.0 */
/* main_takeover.h - what one parent process hands over to the next, another program on the same machine: listening
 * sockets, the counters in memory, the keys of TLS sessions, orders about servers.  Takes: descriptors.  Gives: them again, behind fork and exec.
 * A description in memory says which descriptor is what; its version is in the environment, so that a program that
 * does not know it refuses.  Never decides: main_upgrade.c does, and main_succeed.c for the one that comes. */
#ifndef SLUICE_MAIN_TAKEOVER_H
#define SLUICE_MAIN_TAKEOVER_H

#include <sys/types.h>

#include "base/base_err.h"
#include "main/main_inherit.h"
#include "net/net_tls_tickets.h"
#include "upstream/upstream_orders.h"

/* Raise it when a line has another meaning or a new one must be understood. */
#define MAIN_TAKEOVER_VERSION 1
#define MAIN_TAKEOVER_ENV     "SLUICE_TAKEOVER" /* "VERSION DESCRIPTION CHANNEL" */

/* Owner: whoever embeds it; descriptors are borrowed when it is written and owned when it was read.  Freed by:
 * main_takeover_fini.  Thread: the owner's. */
struct main_takeover {
    struct main_inheritance sockets;
    int memory; /* of the memory store; -1: none */
    uint32_t memory_subjects, memory_layout, memory_life;
    unsigned char tickets[NET_TLS_TICKETS_BYTES];
    struct upstream_orders_row orders[UPSTREAM_ORDERS_MAX];
    unsigned order_count;
    char boot[9]; /* of the log, of who hands over */
    int pid;
    uint32_t generation;
};

/* The description in a descriptor of memory; -1 with errno. */
int main_takeover_write(const struct main_takeover *takeover);
/* Read it and own what it names: those descriptors are closed on exec again.  ERR_INVALID: it is none. */
MUST_USE enum err main_takeover_read(struct main_takeover *takeover, int fd);
void main_takeover_fini(struct main_takeover *takeover);

/* Between fork and exec: let these descriptors live on, and say so in the environment.  False: errno. */
bool main_takeover_export(const struct main_takeover *takeover, int description, int channel);
/* What the environment says: 0 nothing, 1 all is well, -1 it cannot be understood (why).  *channel: to the one who hands
 * over, -1 when not even that is known. */
int main_takeover_import(struct main_takeover *takeover, int *channel, char why[256]);

#endif
