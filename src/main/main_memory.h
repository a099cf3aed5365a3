/* SPDX-License-Identifier: Apache-2.0 */
/* main_memory.h - memory that a wave of connections or a former configuration needed goes back to the system.  Takes:
 * how many connections there are and how many configurations are gone, from time to time.  Gives: free pages back.
 * Never touches what is in use. */
#ifndef SLUICE_MAIN_MEMORY_H
#define SLUICE_MAIN_MEMORY_H

#include <stdbool.h>

/* Owner: whoever embeds it.  Thread: the owner's.  All zeroes at first. */
struct main_memory {
    unsigned most; /* connections since memory was given back */
    unsigned gone; /* configurations, at the last look; only that it grows matters */
};

/* A wave is over: of a thousand connections or more, three in four are gone.  True once a wave.  Or a configuration is gone, which
 * leaves holes all over the heap. */
bool main_memory_is_due(struct main_memory *memory, unsigned connections, unsigned gone);

/* Give back when it is due.  Takes milliseconds, under the allocator's locks. */
void main_memory_look(struct main_memory *memory, unsigned connections, unsigned gone);

#endif
