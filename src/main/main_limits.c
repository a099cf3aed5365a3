/* SPDX-License-Identifier: Apache-2.0 */
/* main_limits.c - see main_limits.h. */
#include "main/main_limits.h"

#include <sched.h>
#include <sys/resource.h>

#include "net/net_pipe.h"

#define LIMITS_RESERVE 64 /* standard streams, logs, channel, admin connections */
#define LIMITS_RESERVE_PER_WORKER                                                                  \
    (8 + 2 * NET_PIPES_MAX) /* epoll, mailbox, resolver, store; pipes */
#define LIMITS_WORKERS_MAX 256

uint64_t main_limits_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    rlim_t soft = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return soft;
    return limit.rlim_cur;
}

uint64_t main_limits_connections(uint64_t descriptors, unsigned workers, unsigned sockets)
{
    uint64_t reserve = LIMITS_RESERVE + (uint64_t)workers * (LIMITS_RESERVE_PER_WORKER + sockets);
    return descriptors <= reserve ? 0 : (descriptors - reserve) / 2;
}

unsigned main_limits_cpus(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    /* More than CPU_SETSIZE CPUs: EINVAL; no proxy needs them all. */
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    unsigned count = (unsigned)CPU_COUNT(&set);
    return count < 1 ? 1 : count > LIMITS_WORKERS_MAX ? LIMITS_WORKERS_MAX : count;
}
