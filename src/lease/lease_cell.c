/* SPDX-License-Identifier: Apache-2.0 */
/* lease_cell.c - see lease_cell.h. */
#include "lease/lease_cell.h"

#include <assert.h>

#define US_PER_S UINT64_C(1000000)

static uint32_t add_capped(uint32_t a, uint32_t b)
{
    uint64_t sum = (uint64_t)a + b;
    return sum > INT32_MAX ? INT32_MAX : (uint32_t)sum;
}

static uint32_t take_most(uint32_t *from, uint32_t most)
{
    uint32_t taken = *from < most ? *from : most;
    *from -= taken;
    return taken;
}

static void begin_window(struct lease_window *window, uint32_t start_s)
{
    *window = (struct lease_window){.period_s = window->period_s, .start_s = start_s};
}

static void settle_window(struct lease_window *window, uint64_t now_s)
{
    uint32_t dummy = 1;
    uint32_t start_s = quota_window_settle(window->period_s, now_s, window->start_s, &dummy);
    if (dummy == 0)
        begin_window(window, start_s);
    window->start_s = start_s;
}

static struct lease_window *find_window(struct lease_cell *cell, uint32_t period_s)
{
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++) {
        if (cell->windows[i].period_s == period_s)
            return &cell->windows[i];
    }
    return NULL;
}

static bool is_asked(const struct quota *quota, uint32_t period_s)
{
    for (unsigned i = 0; i < quota->limit_count; i++) {
        if (quota->limits[i].period_s == period_s)
            return true;
    }
    return false;
}

/* Put the window of this period at place `at`: one that is there, else a free one, else one that
 * nobody asks for (there is one: every quota has at most as many windows as a cell). */
static void bring_window(struct lease_cell *cell, const struct quota *quota, unsigned at,
                         uint64_t now_s)
{
    uint32_t period_s = quota->limits[at].period_s;
    struct lease_window *found = find_window(cell, period_s);
    bool is_new = found == NULL;
    if (is_new)
        found = find_window(cell, 0);
    for (unsigned i = at; found == NULL && i < QUOTA_WINDOWS_MAX; i++) {
        if (!is_asked(quota, cell->windows[i].period_s))
            found = &cell->windows[i];
    }
    assert(found != NULL);
    struct lease_window moved = cell->windows[at];
    cell->windows[at] = *found;
    *found = moved;
    if (is_new) {
        cell->windows[at].period_s = period_s;
        begin_window(&cell->windows[at], quota_window_start(period_s, now_s));
    }
}

void lease_cell_settle(struct lease_cell *cell, const struct quota *quota, uint64_t now_s)
{
    cell->touched_s = (uint32_t)now_s;
    for (unsigned i = 0; i < quota->limit_count; i++) {
        if (cell->windows[i].period_s != quota->limits[i].period_s)
            bring_window(cell, quota, i, now_s);
        settle_window(&cell->windows[i], now_s);
    }
}

bool lease_cell_refuses(const struct lease_cell *cell, const struct quota *quota, uint32_t cost,
                        uint64_t mono_us)
{
    if (mono_us >= cell->refused_until_us)
        return false;
    uint64_t store_now_us = mono_us + (uint64_t)cell->clock_us;
    for (unsigned i = 0; i < quota->limit_count; i++) {
        const struct lease_window *window = &cell->windows[i];
        uint64_t end_us = ((uint64_t)window->start_s + window->period_s) * US_PER_S;
        uint32_t limit = lease_limit(cell, quota->limits[i].limit);
        if (store_now_us < end_us && (uint64_t)window->seen + cost > limit)
            return true;
    }
    return false;
}

static void claim_window(struct lease_window *window, bool with_debt,
                         struct store_redis_window *claimed)
{
    claimed->period_s = window->period_s;
    claimed->start_s = window->start_s;
    claimed->seen = window->seen;
    claimed->floor = window->floor;
    claimed->debt = with_debt ? window->local : 0;
    claimed->back = window->back;
    window->local -= claimed->debt;
    window->billed = add_capped(window->billed, claimed->debt);
    window->back = 0;
}

void lease_cell_claim(struct lease_cell *cell, const struct quota *quota, uint32_t cost,
                      bool with_debt, struct store_redis_claim *claim)
{
    claim->lineage = cell->lineage;
    claim->generation = cell->generation;
    claim->cost = cost;
    claim->window_count = quota->limit_count;
    for (unsigned i = 0; i < quota->limit_count; i++) {
        claim_window(&cell->windows[i], with_debt, &claim->windows[i]);
        claim->windows[i].limit = quota->limits[i].limit;
    }
}

bool lease_cell_claim_debt(struct lease_cell *cell, struct store_redis_claim *claim)
{
    if (!lease_cell_has_debt(cell))
        return false;
    claim->lineage = cell->lineage;
    claim->generation = cell->generation;
    claim->cost = 0;
    claim->window_count = 0;
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++) {
        if (cell->windows[i].period_s == 0)
            continue;
        struct store_redis_window *claimed = &claim->windows[claim->window_count++];
        claim_window(&cell->windows[i], true, claimed);
        claimed->limit = INT32_MAX;
    }
    return true;
}

/* The value in the store is of another lineage than the one that we have seen.  What we saw and did not
 * claim with this request is claimed with the next. */
static void adopt_lineage(struct lease_window *window, const struct store_redis_window *claimed,
                          uint32_t used)
{
    uint32_t asserted = claimed->seen > claimed->floor ? claimed->seen : claimed->floor;
    uint32_t highest = window->seen > window->floor ? window->seen : window->floor;
    window->floor = highest > asserted ? highest : 0;
    window->seen = used;
}

static void learn_window(struct lease_window *window, const struct store_redis_window *claimed,
                         uint32_t start_s, uint32_t used, uint64_t store_now_s,
                         bool is_same_lineage)
{
    if (window->start_s == claimed->start_s)
        take_most(&window->billed, claimed->debt);
    if (start_s > window->start_s) {
        begin_window(window, start_s);
    } else if (start_s < window->start_s) {
        /* Our window has begun and the store's has not: by our own clock, or the store's was set back.
         * Else this answer is older than another. */
        bool is_ahead = window->seen == 0 || window->start_s > store_now_s + QUOTA_SKEW_S;
        if (!is_ahead)
            return;
        window->start_s = start_s;
    }
    if (!is_same_lineage)
        adopt_lineage(window, claimed, used);
    else if (used > window->seen)
        window->seen = used;
    if (is_same_lineage && claimed->floor >= window->floor)
        window->floor = 0;
}

void lease_cell_learn(struct lease_cell *cell, const struct store_redis_claim *claim,
                      const struct store_redis_result *result, uint64_t store_now_us,
                      uint64_t sent_at_us)
{
    bool is_same_lineage = cell->lineage == result->lineage;
    bool is_reset = result->generation > cell->generation;
    for (unsigned i = 0; i < claim->window_count; i++) {
        struct lease_window *window = find_window(cell, claim->windows[i].period_s);
        if (window == NULL)
            continue;
        if (is_reset)
            window->seen = window->floor = window->back = 0;
        learn_window(window, &claim->windows[i], result->windows[i].start_s,
                     result->windows[i].used, store_now_us / US_PER_S, is_same_lineage);
    }
    cell->lineage = result->lineage;
    cell->generation = result->generation;
    cell->extra = result->extra;
    cell->clock_us = (int64_t)(store_now_us - sent_at_us);
}

/* The back-off doubles for a refusal that was asked for after the one before was over; those that were
 * on their way together count once. */
void lease_cell_note_refusal(struct lease_cell *cell, const struct store_redis_claim *claim,
                             uint64_t mono_us, uint64_t sent_at_us)
{
    uint64_t end_us = 0;
    for (unsigned i = 0; i < claim->window_count; i++) {
        const struct store_redis_window *asked = &claim->windows[i];
        const struct lease_window *window = find_window(cell, asked->period_s);
        if (window == NULL ||
            (uint64_t)window->seen + claim->cost <= lease_limit(cell, asked->limit))
            continue;
        uint64_t window_end_us = ((uint64_t)window->start_s + window->period_s) * US_PER_S;
        if (window_end_us > end_us)
            end_us = window_end_us;
    }
    if (end_us == 0)
        return; /* another key of the request refused */
    if (cell->backoff_us == 0)
        cell->backoff_us = LEASE_BACKOFF_FIRST_US;
    else if (sent_at_us >= cell->refused_until_us && cell->backoff_us < LEASE_BACKOFF_LAST_US)
        cell->backoff_us *= 2;
    uint64_t until_us = mono_us + cell->backoff_us;
    uint64_t window_until_us = end_us - (uint64_t)cell->clock_us;
    cell->refused_until_us = until_us < window_until_us ? until_us : window_until_us;
}

void lease_cell_note_grant(struct lease_cell *cell)
{
    cell->backoff_us = 0;
    cell->refused_until_us = 0;
}

void lease_cell_unclaim(struct lease_cell *cell, const struct store_redis_claim *claim)
{
    for (unsigned i = 0; i < claim->window_count; i++) {
        const struct store_redis_window *claimed = &claim->windows[i];
        struct lease_window *window = find_window(cell, claimed->period_s);
        if (window == NULL || window->start_s != claimed->start_s)
            continue;
        window->local = add_capped(window->local, take_most(&window->billed, claimed->debt));
    }
}

void lease_cell_late_grant(struct lease_cell *cell, const struct store_redis_claim *claim,
                           const struct store_redis_result *result, const uint32_t *starts)
{
    for (unsigned i = 0; i < claim->window_count; i++) {
        struct lease_window *window = find_window(cell, claim->windows[i].period_s);
        if (window == NULL || window->start_s != result->windows[i].start_s)
            continue; /* that window is over */
        uint32_t left = claim->cost;
        if (starts != NULL && starts[i] == window->start_s)
            left -= take_most(&window->local, left);
        window->back = add_capped(window->back, left);
    }
}

bool lease_cell_correct(struct lease_cell *cell, const struct quota_charge *charge, int32_t delta)
{
    bool is_done = false;
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        struct lease_window *window = &cell->windows[w];
        if (window->start_s != charge->readings[w].start_s)
            continue;
        is_done = true;
        if (delta > 0) {
            window->local = add_capped(window->local, (uint32_t)delta);
            continue;
        }
        uint32_t less = (uint32_t)-delta;
        less -= take_most(&window->local, less); /* not billed yet */
        window->back = add_capped(window->back, less);
    }
    return is_done;
}

uint32_t lease_cell_share(const struct lease_cell *cell, unsigned window, uint32_t limit,
                          uint32_t proxies)
{
    uint32_t whole = lease_limit(cell, limit);
    uint32_t seen = cell->windows[window].seen;
    if (cell->windows[window].floor > seen)
        seen = cell->windows[window].floor;
    return seen >= whole ? 0 : (whole - seen) / proxies;
}

bool lease_cell_has_debt(const struct lease_cell *cell)
{
    uint32_t owed = 0;
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++)
        owed |= cell->windows[i].local | cell->windows[i].back;
    return owed != 0;
}

uint64_t lease_cell_busy_until(const struct lease_cell *cell, bool is_away)
{
    uint64_t until_s = 0;
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++) {
        const struct lease_window *window = &cell->windows[i];
        uint64_t end_s = (uint64_t)window->start_s + window->period_s;
        bool has_debt = (window->local | window->billed | window->back) != 0;
        if (!has_debt && (window->seen | window->floor) == 0)
            continue;
        uint64_t idle_s = (uint64_t)cell->touched_s + LEASE_IDLE_S;
        if (!has_debt && !is_away && idle_s < end_s)
            end_s = idle_s;
        if (end_s > until_s)
            until_s = end_s;
    }
    return until_s;
}
