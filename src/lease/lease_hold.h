/* SPDX-License-Identifier: Apache-2.0 */
/* lease_hold.h - the slots that one exchange holds while it is in flight, of quotas with "in_flight".  Takes: who is
 * counted by which quotas.  Gives: slots of all of them or of none, beside the request's charges (lease_decide), and
 * takes them back once, however the exchange ends (lease_release).  Quotas in shadow are tried one by one and
 * decide nothing.  Thread: the worker's. */
#ifndef SLUICE_LEASE_HOLD_H
#define SLUICE_LEASE_HOLD_H

#include "base/base_list.h"
#include "lease/lease.h"
#include "lease/lease_slots.h"

#define LEASE_HOLD_RETRY_S 1 /* of a refusal: slots are given back at any time */

struct lease_seat;

enum lease_slot_state {
    LEASE_SLOT_FREE,    /* not asked for, refused, or given back */
    LEASE_SLOT_WAITING, /* for an answer */
    LEASE_SLOT_HERE,    /* to be decided here: there is no other store, or it is away */
    LEASE_SLOT_HELD,
};

struct lease_slot {
    struct quota_slot told; /* quota and key are set by who asks */
    uint8_t state;          /* enum lease_slot_state */
    uint8_t place;          /* enum lease_slots_place */
    bool is_asked;          /* a command with it is in the air */
    struct list node;       /* among those that wait for their subject */
    struct lease_seat
        *seat; /* what this worker holds of the subject in Redis; NULL: there is none */
    struct lease_hold *hold;
};

/* Owner: the exchange; it must stay until lease_release. */
struct lease_hold {
    struct lease_worker *worker; /* NULL: nothing was asked for */
    struct lease_ask *ask;       /* the question that it is a part of; NULL: in shadow */
    struct list node;            /* among those that wait, oldest first, or that are answered */
    unsigned waiting;            /* slots, and one more while they are being asked for */
    void (*done)(struct lease_ask *ask,
                 void *arg); /* of the ask, while its charges are on their way */
    void *arg;
    unsigned count;
    struct lease_slot slots[]; /* QUOTA_MAX_PER_ROUTE at most */
};

size_t lease_hold_bytes(unsigned slots);
void lease_hold_init(struct lease_hold *hold);
void lease_hold_add(struct lease_hold *hold, const struct quota *quota, const uint8_t key[16]);

/* Quotas in shadow: take what there is, and count the verdicts in their metrics.  Nobody waits: with Redis what a slot
 * was told changes when the answer comes, and one that comes after lease_release is not counted. */
void lease_hold_try(struct lease_worker *worker, struct lease_hold *hold);

/* The exchange is over: what it holds is given back, what it waits for is forgotten.  Again: nothing. */
void lease_release(struct lease_hold *hold);

#endif
