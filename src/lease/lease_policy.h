/* SPDX-License-Identifier: Apache-2.0 */
/* lease_policy.h - how much to hold: enough that the store is asked seldom, little enough that nobody else is refused
 * for it.  Takes: a settled cell, the time, the number of proxies.  Gives: numbers; being wrong costs operations or
 * refusals, never quota.  Pure. */
#ifndef SLUICE_LEASE_POLICY_H
#define SLUICE_LEASE_POLICY_H

#include "lease/lease_cell.h"

#define LEASE_RECALL_GAP_MS 1000 /* between two recalls of one subject */
#define LEASE_LOW_PART      10   /* a tenth of the limit left: time to recall */

/* Bring the rate at which tokens are spent here up to date. */
void lease_policy_note(struct lease_cell *cell, uint64_t mono_us);

/* What to ask for: two seconds' worth; more where exhaustion is not in sight. */
uint32_t lease_policy_want(const struct lease_cell *cell, const struct quota *quota,
                           uint64_t store_now_us, uint32_t proxies);

/* So few are left that a lease asked for at once comes just in time. */
uint32_t lease_policy_mark(const struct lease_cell *cell, uint64_t round_trip_us);

/* What to keep when others are in want. */
uint32_t lease_policy_keep(const struct lease_cell *cell);

/* Has this answer brought what is left of some window below a tenth? */
bool lease_policy_is_low(const struct store_redis_claim *claim,
                         const struct store_redis_result *result);

/* May the subject's leases be recalled (again)?  Notes that they are. */
bool lease_policy_may_recall(struct lease_cell *cell, uint64_t mono_us);

#endif
