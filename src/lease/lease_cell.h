/* SPDX-License-Identifier: Apache-2.0 */
/* lease_cell.h - what this process knows of one subject of one quota that is counted in Redis: what was
 * used there when it was last seen, what was admitted here without it, what is to be given back.
 * Takes: a locked cell, the time.  Gives: claims for the store, and decisions while it is away.  Pure:
 * no lock, no clock, no log. */
#ifndef SLUICE_LEASE_CELL_H
#define SLUICE_LEASE_CELL_H

#include <stdbool.h>
#include <stdint.h>

#include "lease/lease_window.h"
#include "store/store_redis_script.h"

#define LEASE_BACKOFF_FIRST_US 100000
#define LEASE_BACKOFF_LAST_US  1600000
#define LEASE_BACKOFF_PART     16       /* of a window: the last step where leases are, ... */
#define LEASE_BACKOFF_MOST_US  10000000 /* ... if that is no more than this */
#define LEASE_UNUSED_S         30       /* tokens that nobody spends go back */
#define LEASE_IDLE_S           300 /* what was only seen is forgotten after so long, if room is needed */

/* The body of a store_cell; zeroed when new.  Thread: whoever holds the cell's lock. */
struct lease_cell {
    /* What is held to be spent here: lease_tokens.h. */
    uint32_t held; /* each is charged in all windows that have a limit */
    uint32_t held_windows;
    uint64_t held_until_us; /* monotonic: the first of those windows may be over */
    uint32_t mark;  /* so few are left that more should be asked for; 0: wait until none are */
    uint32_t spent; /* since rated_at_us */
    uint64_t rated_at_us; /* monotonic; 0: never */
    float rate_per_s;     /* what is spent here, smoothed */
    uint32_t asking;      /* leases that are on their way */
    uint64_t waiters;     /* workers (by bit) that want to know when one has come */

    struct lease_window windows[QUOTA_WINDOWS_MAX];
    uint32_t lineage, generation, extra; /* of the value in the store, when last seen */
    uint32_t backoff_us;
    uint64_t refused_until_us; /* monotonic; 0: the store has not refused */
    int64_t
        clock_us; /* store's clock - monotonic at the send time of the last answer: never behind */
    uint64_t answered_us; /* the store's clock at the newest answer */
    uint32_t touched_s;
    uint32_t
        recalled_ms; /* monotonic, cut: when this subject's leases were recalled last; 0: never */
    uint32_t is_recalled; /* since something was granted */
    uint32_t is_listed;   /* in some worker's list of debtors */
    uint32_t must_tell;   /* claim what was seen, though nothing is owed */
    uint32_t ordered;     /* an operator's reset that was heard of and not yet seen; 0: none */
    uint64_t
        ordered_us; /* monotonic; when an order was heard of: what was refused before says nothing */
};

_Static_assert(sizeof(struct lease_cell) % 8 == 0, "store_cells wants whole words");

/* Bring the quota's windows to the front, in its order, as they stand at now_s (the store's clock as
 * far as is known).  First, before all else with a cell. */
void lease_cell_settle(struct lease_cell *cell, const struct quota *quota, uint64_t now_s);

/* The same for a cell that has no windows yet: those of the claim. */
void lease_cell_begin(struct lease_cell *cell, const struct store_redis_claim *claim,
                      uint64_t now_s);

/* One limit as it was last seen in the store; not settled. */
struct quota_state lease_cell_state(const struct lease_cell *cell, const struct quota *quota,
                                    unsigned limit);

/* The limit that counts, with what an operator has granted. */
static inline uint32_t lease_limit(const struct lease_cell *cell, uint32_t limit)
{
    uint64_t sum = (uint64_t)limit + cell->extra;
    return sum > INT32_MAX ? INT32_MAX : (uint32_t)sum;
}

/* Has the store refused so lately, and is so little left, that it need not be asked? */
bool lease_cell_refuses(const struct lease_cell *cell, const struct quota *quota, uint32_t cost,
                        uint64_t mono_us);

/* What the store is asked.  with_debt: take along what is owed; it is on its way from here on. */
void lease_cell_claim(struct lease_cell *cell, const struct quota *quota, uint32_t cost,
                      bool with_debt, struct store_redis_claim *claim);
/* Only what is owed, of all windows.  False: nothing is. */
bool lease_cell_claim_debt(struct lease_cell *cell, struct store_redis_claim *claim);

/* Does it know something, a count or a reset, of a window that is not over (counts; a bucket's instant goes with its next request)? */
bool lease_cell_has_seen(const struct lease_cell *cell, uint64_t now_s);

/* The claim was answered. */
void lease_cell_learn(struct lease_cell *cell, const struct store_redis_claim *claim,
                      const struct store_redis_result *result, uint64_t store_now_us,
                      uint64_t sent_at_us);
/* Is the answer of the time before a reset that is known here?  Then lease_cell_learn learns nothing of it, no refusal
 * or grant is noted, and what was granted beyond the request is nobody's. */
bool lease_cell_is_past(const struct lease_cell *cell, uint32_t generation);
/* An operator's order was carried out, and the store has this generation since.  What is held is spent no more: behind a
 * reset it is forgotten, else it is to be given back. */
void lease_cell_order(struct lease_cell *cell, uint32_t generation, uint64_t mono_us);
/* The same for a reset that Redis itself has confirmed: it is claimed from here on. */
void lease_cell_reset(struct lease_cell *cell, uint32_t generation, uint64_t mono_us);
/* It was refused or granted (after lease_cell_learn).  A refusal of what was asked before an order is passed over: a grant
 * may be carried out behind it and be heard of first. */
void lease_cell_note_refusal(struct lease_cell *cell, const struct store_redis_claim *claim,
                             uint64_t mono_us, uint64_t sent_at_us);
void lease_cell_note_grant(struct lease_cell *cell);
/* Nobody knows what became of it: debts are owed again, what was to be given back is lost. */
void lease_cell_unclaim(struct lease_cell *cell, const struct store_redis_claim *claim);

/* A grant came too late.  Where its cost was admitted here meanwhile in the same window (start_s), the
 * one stands for the other; the rest goes back.  starts: NULL when nothing was admitted. */
void lease_cell_late_grant(struct lease_cell *cell, const struct store_redis_claim *claim,
                           const struct store_redis_result *result, const uint32_t *starts);

/* The charge was `delta` more or less, in the windows that it was made in: owed to the store, or to be given
 * back.  False: those windows are over. */
bool lease_cell_correct(struct lease_cell *cell, const struct quota_charge *charge, int32_t delta);

/* The same for a charge that has only now been answered, by what was asked and said. */
bool lease_cell_correct_late(struct lease_cell *cell, const struct store_redis_claim *claim,
                             const struct store_redis_result *result, int32_t delta);

/* This process's share of what is left, or of the limit in a window that nobody has seen: floor of a
 * proxies-th part. */
uint32_t lease_cell_share(const struct lease_cell *cell, unsigned window, uint32_t limit,
                          uint32_t proxies);

bool lease_cell_has_debt(const struct lease_cell *cell);

/* The window of this code (quota_code); NULL: not there. */
static inline struct lease_window *lease_cell_find(struct lease_cell *cell, uint32_t period_s)
{
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++) {
        if (cell->windows[i].period_s == period_s)
            return &cell->windows[i];
    }
    return NULL;
}

/* See store_cells_busy_fn.  is_away: nothing that is known is given up. */
uint64_t lease_cell_busy_until(const struct lease_cell *cell, bool is_away);

#endif
