/* SPDX-License-Identifier: Apache-2.0 */
/* lease_table.h - the cells of all subjects that this process has met: bounded, shared by its workers.
 * Takes: keys.  Gives: locked cells.  A newcomer to a full table has no cell: with the store it does
 * without, and while the store is away all newcomers of a quota share one. */
#ifndef SLUICE_LEASE_TABLE_H
#define SLUICE_LEASE_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base_err.h"
#include "lease/lease_cell.h"
#include "quota/quota.h"
#include "store/store_cells.h"

#define LEASE_SUBJECTS 262144 /* 80 MiB when all are used */

/* Owner: the lease.  Freed by: lease_table_fini.  Thread: any. */
struct lease_table {
    void *memory;
    size_t memory_bytes;
    struct store_cells subjects; /* by charge key */
    struct store_cells overflow; /* by quota id; above subjects in memory, so locked after them */
    atomic_bool is_away;         /* the store: nothing that is known is given up */
};

MUST_USE enum err lease_table_init(struct lease_table *table, uint32_t subjects);
void lease_table_fini(struct lease_table *table);

/* Find or make the key's cell and lock it.  NULL: full.  Unlock with store_cell_unlock. */
struct store_cell *lease_table_take(const struct lease_table *table, const uint8_t key[16],
                                    uint64_t now_s);
/* Without making one. */
struct store_cell *lease_table_find(const struct lease_table *table, const uint8_t key[16]);

/* A cell held for a decision, with all charges that meet in it. */
struct lease_held {
    struct store_cell *cell; /* NULL: there is no room for one */
    const struct quota *quota;
    uint8_t key[16];
    uint32_t cost;
    bool is_overflow; /* of several subjects: cannot be billed */
    bool is_guarded;  /* the subject: see struct quota_charge */
};

/* Lock the cells of all charges that `wanted` marks (NULL: all), each once, in an order that cannot deadlock.
 * held_of[i]: the number of charge i's cell.  Without the store (may_overflow) newcomers to a
 * full table share their quota's overflow cell; else they have none, nor has a guarded subject that is new.  Returns how many; 0 when even the overflow is full. */
unsigned lease_table_hold(const struct lease_table *table, const struct quota_charge *charges,
                          unsigned count, const bool *wanted, bool may_overflow, uint64_t now_s,
                          struct lease_held held[QUOTA_MAX_PER_ROUTE],
                          uint8_t held_of[QUOTA_MAX_PER_ROUTE]);
/* The same of one charge, without overflow. */
void lease_table_hold_one(const struct lease_table *table, const struct quota_charge *charge,
                          uint64_t now_s, struct lease_held *held);
void lease_table_let_go(struct lease_held *held, unsigned count);

#endif
