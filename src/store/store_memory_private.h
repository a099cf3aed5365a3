/* SPDX-License-Identifier: Apache-2.0 */
/* store_memory_private.h - what store_memory.c and store_state.c share, and nobody else. */
#ifndef SLUICE_STORE_MEMORY_PRIVATE_H
#define SLUICE_STORE_MEMORY_PRIVATE_H

#include "store/store_cells.h"
#include "store/store_memory.h"
#include "store/store_notes.h"
#include "store/store_windows.h"

/* Notes of a cell.  A new one has yet to take over what its subject may have spent in the quota's
 * overflow bucket. */
#define STORE_MEMORY_NEW     0
#define STORE_MEMORY_SETTLED 1

/* Owner: the parent, and by fork every child.  Freed by: store_memory_free, in each of them.  Thread:
 * const but for store_memory_recover. */
struct store_memory {
    void *memory; /* shared: periods, then subjects, then overflow, then tokens */
    size_t memory_bytes;
    int fd; /* the memfd behind it */
    struct store_periods *periods;
    struct store_cells subjects; /* by charge key */
    struct store_cells overflow; /* by quota id; above subjects in memory, so locked after them */
    struct store_notes tokens;   /* projects by the token's mac */
};

/* now_s, or a little later: see store_cells_now. */
static inline uint64_t store_memory_now_s(const struct store_memory *store, uint64_t now_s)
{
    return store_cells_now(&store->overflow, store_cells_now(&store->subjects, now_s));
}

/* store_memory_algorithms.c: sliding and token_bucket, one limit of a locked cell.  Look: fill the reading as it
 * stands, with the verdict on `cost`.  Spend: take the cost and fill the reading after it.  False: the table of
 * periods is full. */
bool store_memory_look_other(const struct store_memory *store, struct store_windows *windows,
                             struct quota_charge *charge, unsigned w, uint64_t now_us,
                             uint64_t cost);
void store_memory_spend_other(const struct store_memory *store, struct store_windows *windows,
                              struct quota_charge *charge, unsigned w, uint64_t now_us);
/* Correct a charge: see store_memory_correct.  Returns what was done. */
int32_t store_memory_correct_other(const struct store_memory *store, struct store_windows *windows,
                                   const struct quota_charge *charge, unsigned w, int32_t delta,
                                   uint64_t now_us);

/* A calendar count that is not there: when the quota had another algorithm before, what it used is carried over.
 * Returns its slot, -1: there is nothing to carry. */
int store_memory_carry_count(const struct store_memory *store, struct store_windows *windows,
                             const struct quota *quota, unsigned w, uint64_t now_us,
                             struct store_window *window);

#endif
