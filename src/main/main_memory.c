/* SPDX-License-Identifier: Apache-2.0 */
/* main_memory.c - see main_memory.h.  glibc gives back by itself only what is free at the end of a heap, and one small
 * block that lives on there keeps megabytes below it. */
#include "main/main_memory.h"

#include <malloc.h>

#define MEMORY_WAVE_CONNECTIONS 1000

bool main_memory_is_due(struct main_memory *memory, unsigned connections, unsigned gone)
{
    bool is_one_more = gone > memory->gone;
    memory->gone = gone;
    if (connections > memory->most)
        memory->most = connections;
    if (memory->most < MEMORY_WAVE_CONNECTIONS || connections > memory->most / 4)
        return is_one_more;
    memory->most = connections;
    return true;
}

void main_memory_look(struct main_memory *memory, unsigned connections, unsigned gone)
{
    if (main_memory_is_due(memory, connections, gone))
        (void)malloc_trim(0);
}
