/* SPDX-License-Identifier: Apache-2.0 */
/* lease_cell_return.c - what a cell owes anew or gives back: claims that nobody answered, grants that came too late,
 * charges that turned out to be another.  See lease_cell.h. */
#include "lease/lease_cell.h"

#define US_PER_S UINT64_C(1000000)

/* A bucket's: until mark_s, when the charge is filled again. */
static void give_back(struct lease_window *window, uint32_t count, uint32_t mark_s)
{
    if (count == 0)
        return;
    if (window->back == 0 || mark_s < window->floor)
        window->floor = mark_s;
    window->back = lease_count_add(window->back, count);
}

void lease_cell_unclaim(struct lease_cell *cell, const struct store_redis_claim *claim)
{
    for (unsigned i = 0; i < claim->window_count; i++) {
        const struct store_redis_window *claimed = &claim->windows[i];
        struct lease_window *window = lease_cell_find(cell, claimed->period_s);
        if (window == NULL ||
            (window->start_s != claimed->start_s && !lease_window_is_bucket(window)))
            continue;
        window->local =
            lease_count_add(window->local, lease_count_take(&window->billed, claimed->debt));
    }
}

void lease_cell_late_grant(struct lease_cell *cell, const struct store_redis_claim *claim,
                           const struct store_redis_result *result, const uint32_t *starts)
{
    for (unsigned i = 0; i < claim->window_count; i++) {
        struct lease_window *window = lease_cell_find(cell, claim->windows[i].period_s);
        uint32_t left = claim->cost;
        if (quota_code_kind(claim->windows[i].period_s) == QUOTA_KIND_BEFORE)
            continue; /* nothing was charged to it */
        if (window != NULL && lease_window_is_bucket(window)) {
            if (starts != NULL)
                left -= lease_count_take(&window->local, left);
            give_back(window, left, result->windows[i].start_s);
            continue;
        }
        if (window == NULL || window->start_s != result->windows[i].start_s)
            continue; /* that window is over */
        if (starts != NULL && starts[i] == window->start_s)
            left -= lease_count_take(&window->local, left);
        window->back = lease_count_add(window->back, left);
    }
}

/* A bucket's debt is also seen here: claim_bucket bills no more than what is. */
static void drain(const struct lease_cell *cell, struct lease_window *window,
                  const struct quota_terms *terms, uint32_t tokens)
{
    uint64_t now_us = (uint64_t)cell->touched_s * US_PER_S;
    struct quota_state state = {window->start_s, window->seen, 0};
    quota_state_settle(terms, &state, now_us);
    quota_state_take(terms, &state, now_us, tokens);
    window->start_s = state.at_s;
    window->seen = state.count;
}

bool lease_cell_correct(struct lease_cell *cell, const struct quota_charge *charge, int32_t delta)
{
    bool is_done = false;
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        struct lease_window *window = &cell->windows[quota_limit_place(charge->quota, w)];
        uint32_t mark_s = (uint32_t)(charge->outlooks[w].mark >> 32);
        if (lease_window_is_bucket(window) ? delta < 0 && mark_s <= cell->touched_s
                                           : window->start_s != charge->readings[w].start_s)
            continue;
        is_done = true;
        if (delta > 0) {
            window->local = lease_count_add(window->local, (uint32_t)delta);
            struct quota_terms terms = quota_terms_of(charge->quota, w, cell->extra, 1);
            if (lease_window_is_bucket(window))
                drain(cell, window, &terms, (uint32_t)delta);
            continue;
        }
        uint32_t less = (uint32_t)-delta;
        less -= lease_count_take(&window->local, less); /* not billed yet */
        if (lease_window_is_bucket(window))
            give_back(window, less, mark_s);
        else
            window->back = lease_count_add(window->back, less);
    }
    return is_done;
}

/* The claim knows the bucket when the quota may be gone. */
static void drain_claimed(const struct lease_cell *cell, struct lease_window *window,
                          const struct store_redis_window *claimed, uint32_t tokens)
{
    const struct quota_terms terms = {
        .algorithm = QUOTA_BUCKET,
        .period_s = quota_code_period(claimed->period_s),
        .limit = claimed->limit,
        .capacity = claimed->interval == 0 ? 0 : (uint32_t)(claimed->whole / claimed->interval),
        .interval = claimed->interval,
    };
    drain(cell, window, &terms, tokens);
}

bool lease_cell_correct_late(struct lease_cell *cell, const struct store_redis_claim *claim,
                             const struct store_redis_result *result, int32_t delta)
{
    bool is_done = false;
    for (unsigned i = 0; i < claim->window_count; i++) {
        struct lease_window *window = lease_cell_find(cell, claim->windows[i].period_s);
        uint32_t at_s = result->windows[i].start_s;
        if (quota_code_kind(claim->windows[i].period_s) == QUOTA_KIND_BEFORE || window == NULL)
            continue;
        if (lease_window_is_bucket(window) ? delta < 0 && at_s <= cell->touched_s
                                           : window->start_s != at_s)
            continue;
        is_done = true;
        if (delta > 0)
            window->local = lease_count_add(window->local, (uint32_t)delta);
        if (delta > 0 && lease_window_is_bucket(window))
            drain_claimed(cell, window, &claim->windows[i], (uint32_t)delta);
        else if (lease_window_is_bucket(window))
            give_back(window, (uint32_t)-delta, at_s);
        else if (delta < 0)
            window->back = lease_count_add(window->back, (uint32_t)-delta);
    }
    return is_done;
}
