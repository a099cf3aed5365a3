/* SPDX-License-Identifier: Apache-2.0 */
/* quota_algorithm.h - the arithmetic of the algorithms that are no plain calendar count.  Takes: what a store keeps
 * of one limit, the time, a cost.  Gives: room or none, what is left, and the first moment at which there is
 * room.  Integers only, rounded so that nothing is ever given that is not there; the script in
 * store_redis_script.c does the same sums.  Pure.
 *
 * sliding       two calendar counts: used is the count of this window and the share of the one before that
 *               still lies within the last period, by the millisecond, rounded up.
 * token_bucket  one instant, the time at which the bucket will be full again (GCRA's "theoretical arrival time"
 *               less one interval), in units of 1/4096 us.  A token takes interval units, rounded up. */
#ifndef SLUICE_QUOTA_ALGORITHM_H
#define SLUICE_QUOTA_ALGORITHM_H

#include "quota/quota.h"

#define QUOTA_UNITS_PER_S UINT64_C(4096000000)
#define QUOTA_BUCKET_FILL_S                                                                        \
    864000 /* the longest time to fill one: its sums are exact in the script's doubles */
#define QUOTA_BUCKET_RATE                                                                          \
    1000000                 /* tokens a second: rounding an interval up loses 0.03 % at most */
#define QUOTA_SLIDING_MAX 2 /* limits: each takes two places of a store's four */

/* What stores keep is found by a code: a period and a kind. */
enum quota_kind {
    QUOTA_KIND_COUNT,  /* of the calendar window */
    QUOTA_KIND_BEFORE, /* of the window before, for sliding */
    QUOTA_KIND_BUCKET,
};
#define QUOTA_CODE_BITS 25 /* of the period: 366 days fit */

static inline uint32_t quota_code(uint32_t period_s, enum quota_kind kind)
{
    return period_s | (uint32_t)kind << QUOTA_CODE_BITS;
}

static inline uint32_t quota_code_period(uint32_t code)
{
    return code & ((1U << QUOTA_CODE_BITS) - 1);
}

static inline enum quota_kind quota_code_kind(uint32_t code)
{
    return (enum quota_kind)(code >> QUOTA_CODE_BITS);
}

/* How many places the quota takes in a store, and the code of each: a limit has one, under sliding two, the count
 * first. */
static inline unsigned quota_place_count(const struct quota *quota)
{
    return (unsigned)quota->limit_count << (quota->algorithm == QUOTA_SLIDING);
}

static inline unsigned quota_place_limit(const struct quota *quota, unsigned place)
{
    return place >> (quota->algorithm == QUOTA_SLIDING);
}

static inline unsigned quota_limit_place(const struct quota *quota, unsigned limit)
{
    return limit << (quota->algorithm == QUOTA_SLIDING);
}

static inline uint32_t quota_place_code(const struct quota *quota, unsigned place)
{
    uint32_t period_s = quota->limits[quota_place_limit(quota, place)].period_s;
    if (quota->algorithm == QUOTA_FIXED)
        return period_s;
    if (quota->algorithm == QUOTA_BUCKET)
        return quota_code(period_s, QUOTA_KIND_BUCKET);
    return quota_code(period_s, place % 2 == 0 ? QUOTA_KIND_COUNT : QUOTA_KIND_BEFORE);
}

/* One limit as a store keeps it: when (a window's start, or the second of a bucket's instant), how much (the
 * count, or the units within that second), and, for sliding, the count of the window before. */
struct quota_state {
    uint32_t at_s, count, before;
};

/* One limit with everything that counts: the algorithm, what an operator added, how many share it. */
struct quota_terms {
    enum quota_algorithm algorithm;
    uint32_t period_s;
    uint32_t limit;    /* what is shown */
    uint32_t capacity; /* what can be used at once */
    uint64_t interval; /* bucket: units per token */
};

/* proxies: each of so many does the same, so this one has a share (1: all of it). */
struct quota_terms quota_terms_of(const struct quota *quota, unsigned limit, uint32_t extra,
                                  uint32_t proxies);

/* Bring to now.  A window that is over passes on what it used, a bucket fills.  What lies too far ahead (the clock
 * was wrong, or is) is set to now and stays spent. */
void quota_state_settle(const struct quota_terms *terms, struct quota_state *state,
                        uint64_t now_us);

/* Of a settled state: is there room, and what it is with the cost taken (whether or not there is room; a debt
 * never goes beyond twice a bucket). */
bool quota_state_has_room(const struct quota_terms *terms, const struct quota_state *state,
                          uint64_t now_us, uint64_t cost);
void quota_state_take(const struct quota_terms *terms, struct quota_state *state, uint64_t now_us,
                      uint64_t cost);

/* Give back what a charge took at most, of a settled state.  A bucket's charge is over when it would have been
 * filled again: `mark` is the reading's. */
void quota_state_give_back(const struct quota_terms *terms, struct quota_state *state,
                           uint64_t now_us, uint64_t tokens, uint64_t mark);

/* Tell a charge's window what this state (settled, charged if it was) means. */
void quota_state_tell(const struct quota_terms *terms, const struct quota_state *state,
                      uint64_t now_us, uint64_t cost, bool is_refused, struct quota_charge *charge,
                      unsigned window);

/* What was used of the capacity at now, as a count; rounded up.  For a change of algorithm. */
uint32_t quota_state_used(const struct quota_terms *terms, const struct quota_state *state,
                          uint64_t now_us);

#endif
