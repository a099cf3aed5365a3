/* SPDX-License-Identifier: Apache-2.0 */
/* store_memory_private.h - what store_memory.c and store_state.c share, and nobody else. */
#ifndef SLUICE_STORE_MEMORY_PRIVATE_H
#define SLUICE_STORE_MEMORY_PRIVATE_H

#include "store/store_cells.h"
#include "store/store_memory.h"
#include "store/store_windows.h"

/* Notes of a cell.  A new one has yet to take over what its subject may have spent in the quota's
 * overflow bucket. */
#define STORE_MEMORY_NEW     0
#define STORE_MEMORY_SETTLED 1

/* Owner: the parent, and by fork every child.  Freed by: store_memory_free, in each of them.  Thread:
 * const but for store_memory_recover. */
struct store_memory {
    void *memory; /* shared: periods, then subjects, then overflow */
    size_t memory_bytes;
    int fd; /* the memfd behind it */
    struct store_periods *periods;
    struct store_cells subjects; /* by charge key */
    struct store_cells overflow; /* by quota id; above subjects in memory, so locked after them */
};

#endif
