/* SPDX-License-Identifier: Apache-2.0 */
/* base_reserve.c - see base_reserve.h. */
#include "base/base_reserve.h"

#include <sys/mman.h>

void *reserve_new(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void reserve_free(void *memory, size_t bytes)
{
    if (memory != NULL)
        munmap(memory, bytes);
}
