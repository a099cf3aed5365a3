/* SPDX-License-Identifier: Apache-2.0 */
/* store_memory_private.h - what store_memory.c and store_state.c share, and nobody else. */
#ifndef SLUICE_STORE_MEMORY_PRIVATE_H
#define SLUICE_STORE_MEMORY_PRIVATE_H

#include "store/store_cells.h"
#include "store/store_memory.h"
#include "store/store_notes.h"
#include "store/store_windows.h"

/* Notes of a cell: bits, and above them how often its subject was reset.  A new one has yet to take over what its
 * subject may have spent in the quota's overflow bucket. */
#define STORE_MEMORY_SETTLED          1U
#define STORE_MEMORY_GRANTED          2U /* look for it among the grants */
#define STORE_MEMORY_STATE            3U
#define STORE_MEMORY_GENERATION_SHIFT 8

static inline uint32_t store_memory_note(const struct store_cell *cell)
{
    return atomic_load_explicit(&cell->note, memory_order_relaxed);
}

/* The body of a cell of grants. */
struct store_memory_grant {
    _Atomic uint64_t word; /* expires_s << 32 | extra */
};

/* What cells do not have. */
struct store_memory_head {
    _Alignas(STORE_CELLS_ALIGN) _Atomic uint32_t has_grants; /* there was one */
    _Atomic uint32_t orders; /* carried out so far: see store_memory_orders */
};

/* Owner: the parent, and by fork every child.  Freed by: store_memory_free, in each of them.  Thread:
 * const but for store_memory_recover. */
struct store_memory {
    void *memory; /* shared: periods, subjects, overflow, tokens, head, grants */
    size_t memory_bytes;
    int fd; /* the memfd behind it */
    uint32_t subjects_max;
    struct store_periods *periods;
    struct store_cells subjects; /* by charge key */
    struct store_cells overflow; /* by quota id; above subjects in memory, so locked after them */
    struct store_notes tokens;   /* projects by the token's mac */
    struct store_memory_head *head;
    struct store_cells grants; /* by charge key; read without locks */
};

/* now_s, or a little later: see store_cells_now. */
static inline uint64_t store_memory_now_s(const struct store_memory *store, uint64_t now_s)
{
    return store_cells_now(&store->overflow, store_cells_now(&store->subjects, now_s));
}

/* store_memory_operate.c: the mapping's last part. */
size_t store_memory_grants_bytes(void);
void store_memory_grants_init(struct store_memory *store, void *memory);
bool store_memory_grants_attach(struct store_memory *store, void *memory);
/* The locked cell is settled from here on. */
void store_memory_settle(const struct store_memory *store, struct store_cell *cell,
                         const uint8_t key[16]);
/* What is granted to the subject of a locked cell of `subjects`, which has STORE_MEMORY_GRANTED; a grant that is over
 * takes that away. */
uint32_t store_memory_granted(const struct store_memory *store, struct store_cell *cell,
                              const uint8_t key[16], uint64_t now_s);
/* Enter a grant.  False: there are too many. */
bool store_memory_grant(const struct store_memory *store, const uint8_t key[16], uint32_t extra,
                        uint32_t expires_s, uint64_t now_s);

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
