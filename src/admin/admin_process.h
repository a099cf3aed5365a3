/* SPDX-License-Identifier: Apache-2.0 */
/* admin_process.h - what this process takes of the machine.  Takes: nothing.  Gives: numbers, as the kernel tells them to the process
 * itself; 0 where it does not.  Never: looks at another process. */
#ifndef SLUICE_ADMIN_ADMIN_PROCESS_H
#define SLUICE_ADMIN_ADMIN_PROCESS_H

#include <stdint.h>

struct admin_process {
    uint64_t rss_bytes;
    uint64_t cpu_us; /* of all threads, in the kernel too, since it began */
    uint64_t fds, fds_max;
};

void admin_process_read(struct admin_process *process);

/* The second word of /proc/self/statm, in bytes; 0: it is no such text. */
uint64_t admin_process_rss(const char *statm, uint64_t page_bytes);

#endif
