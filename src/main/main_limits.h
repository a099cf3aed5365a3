/* SPDX-License-Identifier: Apache-2.0 */
/* main_limits.h - file descriptors: how many connections they allow. */
#ifndef SLUICE_MAIN_LIMITS_H
#define SLUICE_MAIN_LIMITS_H

#include <stdint.h>

#define MAIN_LIMITS_CONNECTIONS_MIN 64

/* Raise the soft limit of open files to the hard one.  Gives the limit that is in force then. */
uint64_t main_limits_raise(void);

/* How many client connections `descriptors` carry: each may have one to a server, and workers, sockets,
 * logs and the store need some. */
uint64_t main_limits_connections(uint64_t descriptors, unsigned workers, unsigned sockets);

/* CPUs that this process may use. */
unsigned main_limits_cpus(void);

#endif
