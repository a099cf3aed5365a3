/* SPDX-License-Identifier: Apache-2.0 */
/* lease_slots.h - how many slots of each subject the exchanges of this process hold: bounded, shared by its workers,
 * and in no memory that outlives it, so that what a killed process held is free.  Takes: keys and limits.  Gives: a
 * slot or none.  Never: allocates after lease_slots_init, gives a subject more slots than its limit.
 *
 * A newcomer to a full table shares the slots of its quota's overflow bucket with all other newcomers; what that
 * holds counts against everybody of the quota until it is given back. */
#ifndef SLUICE_LEASE_SLOTS_H
#define SLUICE_LEASE_SLOTS_H

#include "base/base_err.h"
#include "quota/quota.h"
#include "store/store_cells.h"

#define LEASE_SLOTS_SUBJECTS 262144     /* at a time; 12 MiB when all are used */
#define LEASE_SLOTS_ALL      UINT32_MAX /* as a limit: whatever is taken already */

/* Owner: the lease.  Freed by: lease_slots_fini.  Thread: any; const but for the cells. */
struct lease_slots {
    void *memory;
    size_t memory_bytes;
    struct store_cells subjects; /* by the slot's key */
    struct store_cells overflow; /* by quota id; above subjects in memory, so locked after them */
};

/* Where a slot was counted: it goes back to the same place. */
enum lease_slots_place {
    LEASE_SLOTS_NOWHERE, /* not counted: no room in the overflow table either */
    LEASE_SLOTS_SUBJECT,
    LEASE_SLOTS_OVERFLOW,
};

MUST_USE enum err lease_slots_init(struct lease_slots *slots, uint32_t subjects);
void lease_slots_fini(struct lease_slots *slots);

/* Take a slot if fewer than `limit` are taken.  Fills slot->used.  NOWHERE and slot->is_refused: all are taken; NOWHERE
 * without it: there is no room to count. */
enum lease_slots_place lease_slots_take(const struct lease_slots *slots, struct quota_slot *slot,
                                        uint32_t limit, uint64_t now_s);
/* How many are taken that count against this subject of the quota. */
uint32_t lease_slots_used(const struct lease_slots *slots, const uint8_t key[16],
                          const struct quota *quota);
void lease_slots_give_back(const struct lease_slots *slots, const struct quota_slot *slot,
                           enum lease_slots_place place);

#endif
