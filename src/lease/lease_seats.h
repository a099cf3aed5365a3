/* SPDX-License-Identifier: Apache-2.0 */
/* lease_seats.h - what one worker holds of each subject's slots in Redis.  Takes: slots that are asked for and given
 * back.  Gives: each the store's answer, or that there is none (lease_hold.c decides then).  One command of a subject
 * is in the air at a time, and takes along all that is known by then: who waits, who has left.
 *
 * Each worker is a holder of its own there: its commands travel on one connection in their order.  Holders that were
 * processes would have their workers' commands overtake each other, or their requests wait across threads.
 *
 * A seat lives while slots of its subject are held or waited for here, or while Redis may believe that they are.  So
 * there are never more than exchanges of the worker, and those of the last seconds.  Thread: the worker's. */
#ifndef SLUICE_LEASE_SEATS_H
#define SLUICE_LEASE_SEATS_H

#include "lease/lease_hold.h"

struct lease_seats;

struct lease_seats *lease_seats_new(struct lease_worker *worker); /* NULL: out of memory */
/* The worker ends: tell Redis what is given back and not said yet, as far as one write goes. */
void lease_seats_leave(struct lease_seats *seats);
void lease_seats_free(struct lease_seats *seats); /* behind the link; NULL is allowed, in both */

/* The link is up or down. */
void lease_seats_on_change(struct lease_seats *seats, bool is_up);

/* Ask Redis for a slot.  True: it waits, for lease_hold_answered.  False: the store is away. */
bool lease_seats_ask(struct lease_seats *seats, struct lease_slot *slot);
/* It was decided without an answer, or is not wanted any longer. */
void lease_seats_forget(struct lease_slot *slot);

/* A slot that was decided here is held: Redis is told when it can be. */
void lease_seats_add(struct lease_seats *seats, struct lease_slot *slot);
/* A slot that was held is free. */
void lease_seats_remove(struct lease_seats *seats, struct lease_slot *slot);

/* The enforced hold waits: after decision_timeout at the latest it is answered with what there is. */
void lease_seats_wait(struct lease_seats *seats, struct lease_hold *hold);
/* It is answered; lease_hold_go_on is called from the loop. */
void lease_seats_ready(struct lease_seats *seats, struct lease_hold *hold);

/* lease_hold.c: one of its slots has an answer (state and what it was told are set); and, later, all have one. */
void lease_hold_answered(struct lease_slot *slot);
void lease_hold_go_on(struct lease_hold *hold);

#endif
