/* SPDX-License-Identifier: Apache-2.0 */
/* lease_foresee.h - what a request would be told by this process at this moment.  Takes: its charges and slots, and what the
 * store has answered about their keys (lease_operate.h).  Gives: the decision, and what is used without the request.  Never:
 * charges, takes, makes or sends anything; cells are copied.
 *
 * It is the way of a request (lease_worker.c): what is held here is spent first, what the store refused lately is refused, and
 * else the store's count decides, with what this process owes it or has to give back.  What only others know, such as what
 * other proxies hold, is not foreseen. */
#ifndef SLUICE_LEASE_FORESEE_H
#define SLUICE_LEASE_FORESEE_H

#include "lease/lease_operate.h"

/* Owner: who asks.  May be thrown away at any time. */
struct lease_foresight {
    unsigned count;
    struct quota_charge charges[QUOTA_MAX_PER_ROUTE]; /* begun; then as the request would be told */
    const struct lease_question *stored[QUOTA_MAX_PER_ROUTE]; /* SUBJECT, of each charge's key */
    bool has_gates;
    unsigned slot_count;
    struct quota_slot
        slots[QUOTA_MAX_PER_ROUTE]; /* quota and key are set; used: without the request */
    const struct lease_question *taken[QUOTA_MAX_PER_ROUTE]; /* SLOTS, of each one's key */
    /* out */
    struct quota_decision
        decision; /* retry_after_s of UNAVAILABLE: 1, of up to LEASE_UNAVAILABLE_RETRY_S */
    struct quota_charge uses[QUOTA_MAX_PER_ROUTE]; /* the readings without the request */
    uint32_t held[QUOTA_MAX_PER_ROUTE]; /* of each: what this process holds and may spend */
    bool is_away;                       /* the store has not answered: on_failure decides */
    bool
        is_moving; /* of some key a lease or a bill is on its way: a moment later it may be told otherwise */
};

void lease_foresee(const struct lease *lease, const struct loop *loop,
                   struct lease_foresight *foresight);

/* The clock that windows go by, as far as is known. */
uint64_t lease_foresee_now_us(const struct lease *lease, const struct loop *loop);

/* How many proxies share the store, as far as this process knows; 0: it does not, or there is but this one. */
uint32_t lease_foresee_others(const struct lease *lease);

#endif
