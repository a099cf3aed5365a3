/* SPDX-License-Identifier: Apache-2.0 */
/* lease_tokens.h - what a cell holds to be spent here: requests that the store has granted and charged already.
 * Takes: grants, the time.  Gives: tokens, each once, and only within the windows that they are charged in.  What
 * is not spent goes back with the cell's next claim, once, for the windows that are not over.  Pure, under the
 * cell's lock. */
#ifndef SLUICE_LEASE_TOKENS_H
#define SLUICE_LEASE_TOKENS_H

#include "lease/lease_cell.h"

#define LEASE_MARGIN_US 1000 /* a lease ends so long before its first window ... */
#define LEASE_DRIFT     2000 /* ... and one part in so many of its time: clocks may differ by 500 ppm */

/* Tokens on their way into a cell, or out of it and perhaps back. */
struct lease_batch {
    uint32_t count, generation;
    uint64_t until_us; /* monotonic */
    uint32_t window_count;
    struct {
        uint32_t period_s, start_s, limit;
    } windows[QUOTA_WINDOWS_MAX];
};

/* `count` tokens of what was granted to a claim that was sent at sent_at_us. */
void lease_batch_of(struct lease_batch *batch, const struct store_redis_claim *claim,
                    const struct store_redis_result *result, uint32_t count, uint64_t store_now_us,
                    uint64_t sent_at_us);

/* Are the tokens held those of this quota, as it is, and of windows that go on at now_s?  Of a cell that holds some. */
bool lease_tokens_fit(const struct lease_cell *cell, const struct quota *quota, uint64_t now_s);

/* How many may be spent at mono_us (of a settled cell); those whose time is over are released. */
uint32_t lease_tokens_held(struct lease_cell *cell, uint64_t mono_us);

/* Take at most so many. */
void lease_tokens_take(struct lease_cell *cell, uint32_t most, struct lease_batch *batch);
/* Put tokens in.  Where they cannot be spent they are to be given back; those of before a reset are nobody's. */
void lease_tokens_add(struct lease_cell *cell, const struct lease_batch *batch, uint64_t mono_us);

/* All but `keep` are to be given back. */
void lease_tokens_trim(struct lease_cell *cell, uint32_t keep);
static inline void lease_tokens_release(struct lease_cell *cell)
{
    lease_tokens_trim(cell, 0);
}

/* Are the tokens held charged in the windows of this charge, each in the one that it was made in? */
bool lease_tokens_match(const struct lease_cell *cell, const struct quota_charge *charge);

#endif
