/* SPDX-License-Identifier: Apache-2.0 */
/* lease_cell_learn.c - what an answer of the store teaches a cell: counts, values that were lost, resets, refusals and for
 * how long they stand.  See lease_cell.h. */
#include "lease/lease_cell.h"
#include "lease/lease_tokens.h"

#define US_PER_S UINT64_C(1000000)

/* The value in the store is of another lineage than the one that we have seen.  What we saw and have not told it with the
 * claim that was answered (`told` was charged) is told next. */
static void leave_lineage(struct lease_window *window, uint32_t told)
{
    if (window->seen > told)
        window->floor = lease_window_used_least(window);
    window->seen = window->returned = 0;
}

/* Neither falls while a window lasts: an older answer has less of the one or the other. */
static void see(struct lease_window *window, uint32_t charged, uint32_t returned)
{
    if (charged < window->seen || (charged == window->seen && returned < window->returned))
        return;
    window->seen = charged;
    window->returned = returned;
}

/* Our window has begun and the store's has not: by our own clock, or the store's was set back.  Else an answer
 * with an earlier window is older than another. */
static bool is_ahead(const struct lease_window *window, uint64_t store_now_s)
{
    return window->seen == 0 || window->start_s > store_now_s + QUOTA_SKEW_S;
}

/* Was the claim about the window that was answered?  A count that the store has not begun was about the one that it has; of
 * another window, or of the time before a reset, it was not looked at. */
static bool was_told(const struct store_redis_window *claimed,
                     const struct store_redis_reading *answered, bool is_stale)
{
    if (is_stale || claimed->start_s < answered->start_s)
        return false;
    return claimed->start_s == answered->start_s ||
           quota_code_kind(claimed->period_s) == QUOTA_KIND_COUNT;
}

/* False: it was of an earlier window than ours, and nothing was learned. */
static bool learn_window(struct lease_window *window, const struct store_redis_window *claimed,
                         const struct store_redis_reading *answered, uint64_t store_now_s,
                         bool is_same_lineage, bool is_stale)
{
    uint32_t start_s = answered->start_s;
    bool is_told = was_told(claimed, answered, is_stale);
    if (window->start_s == claimed->start_s)
        lease_count_take(&window->billed, claimed->debt);
    if (start_s > window->start_s) {
        lease_window_begin(window, start_s);
    } else if (start_s < window->start_s) {
        if (!is_ahead(window, store_now_s))
            return false;
        window->start_s = start_s;
    }
    if (is_told && claimed->floor >= window->floor)
        window->floor = 0;
    if (!is_same_lineage)
        leave_lineage(window, is_told ? claimed->seen : 0);
    see(window, store_redis_charged(answered), answered->returned);
    return true;
}

/* A full one is as good as never seen: it claims nothing when the server's clock goes back. */
static void learn_bucket(struct lease_window *window, uint32_t at_s, uint32_t units,
                         uint64_t store_now_us)
{
    uint64_t now_units = store_now_us * (QUOTA_UNITS_PER_S / US_PER_S);
    bool is_full = at_s * QUOTA_UNITS_PER_S + units <= now_units;
    window->start_s = is_full ? 0 : at_s;
    window->seen = is_full ? 0 : units;
}

/* Is the store in another window than one in which the tokens held are charged? */
static bool moves_on(struct lease_cell *cell, const struct store_redis_claim *claim,
                     const struct store_redis_result *result, uint64_t store_now_s)
{
    for (unsigned i = 0; i < claim->window_count; i++) {
        const struct lease_window *window = lease_cell_find(cell, claim->windows[i].period_s);
        uint32_t start_s = result->windows[i].start_s;
        if (window != NULL && window->limit != 0 && start_s != window->start_s &&
            (start_s > window->start_s || is_ahead(window, store_now_s)))
            return true;
    }
    return false;
}

bool lease_cell_is_past(const struct lease_cell *cell, uint32_t generation)
{
    return generation < cell->generation || generation < cell->ordered;
}

/* The generation that was heard is not claimed: whoever can publish could make it up, and what is claimed is taken by
 * Redis for a reset that it lost. */
void lease_cell_order(struct lease_cell *cell, uint32_t generation, uint64_t mono_us)
{
    if (generation < cell->generation)
        return;
    if (generation > cell->generation) {
        cell->ordered = generation;
        cell->held = 0;
    } else {
        lease_tokens_release(cell);
    }
    cell->refused_until_us = cell->backoff_us = 0;
    cell->ordered_us = mono_us;
}

static void forget_window(struct lease_window *window)
{
    window->seen = window->returned = window->floor = window->back = 0;
}

void lease_cell_reset(struct lease_cell *cell, uint32_t generation, uint64_t mono_us)
{
    lease_cell_order(cell, generation, mono_us);
    if (generation <= cell->generation)
        return;
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++)
        forget_window(&cell->windows[i]);
    cell->generation = generation;
    cell->ordered = 0;
}

/* What it billed was billed all the same. */
static void learn_past(struct lease_cell *cell, const struct store_redis_claim *claim)
{
    for (unsigned i = 0; i < claim->window_count; i++) {
        struct lease_window *window = lease_cell_find(cell, claim->windows[i].period_s);
        if (window != NULL &&
            (lease_window_is_bucket(window) || window->start_s == claim->windows[i].start_s))
            lease_count_take(&window->billed, claim->windows[i].debt);
    }
}

/* Of windows that were not asked for nothing is known of the value that there is now. */
static void leave_others(struct lease_cell *cell, const struct store_redis_claim *claim,
                         bool is_reset)
{
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++) {
        struct lease_window *window = &cell->windows[i];
        bool is_asked_for = window->period_s == 0 || lease_window_is_bucket(window);
        for (unsigned k = 0; k < claim->window_count && !is_asked_for; k++)
            is_asked_for = claim->windows[k].period_s == window->period_s;
        if (is_asked_for)
            continue;
        if (is_reset)
            forget_window(window);
        else
            leave_lineage(window, 0);
    }
}

void lease_cell_learn(struct lease_cell *cell, const struct store_redis_claim *claim,
                      const struct store_redis_result *result, uint64_t store_now_us,
                      uint64_t sent_at_us)
{
    bool is_same_lineage = cell->lineage == result->lineage;
    bool is_reset = result->generation > cell->generation, is_behind = false;
    /* What was given to the subject on top falls too: only the clock tells which answer is newer. */
    bool is_newest = store_now_us >= cell->answered_us ||
                     cell->answered_us - store_now_us > QUOTA_SKEW_S * US_PER_S;
    if (lease_cell_is_past(cell, result->generation)) {
        learn_past(cell, claim);
        return;
    }
    if (is_newest)
        cell->answered_us = store_now_us;
    if (is_reset) /* what was granted before it is not taken back either */
        cell->held = 0;
    else if (cell->held != 0 && moves_on(cell, claim, result, store_now_us / US_PER_S))
        lease_tokens_release(cell);
    for (unsigned i = 0; i < claim->window_count; i++) {
        struct lease_window *window = lease_cell_find(cell, claim->windows[i].period_s);
        if (window == NULL)
            continue;
        if (is_reset)
            forget_window(window);
        if (lease_window_is_bucket(window)) {
            lease_count_take(&window->billed, claim->windows[i].debt);
            learn_bucket(window, result->windows[i].start_s, result->windows[i].used, store_now_us);
            continue;
        }
        is_behind |=
            !learn_window(window, &claim->windows[i], &result->windows[i], store_now_us / US_PER_S,
                          is_same_lineage, claim->generation < result->generation);
    }
    if (is_reset || !is_same_lineage)
        leave_others(cell, claim, is_reset);
    if (is_reset || result->extra > cell->extra) /* a refusal was of the time before */
        cell->refused_until_us = cell->backoff_us = 0;
    /* A server that has lost our window and is not yet in it: what we know of it is of the lineage before. */
    if (!is_behind)
        cell->lineage = result->lineage;
    cell->generation = result->generation;
    cell->ordered = 0;
    if (is_newest)
        cell->extra = result->extra;
    cell->clock_us = (int64_t)(store_now_us - sent_at_us);
}

static uint64_t longest(uint64_t period_s)
{
    uint64_t part_us = period_s * US_PER_S / LEASE_BACKOFF_PART;
    part_us = part_us < LEASE_BACKOFF_MOST_US ? part_us : LEASE_BACKOFF_MOST_US;
    return part_us > LEASE_BACKOFF_LAST_US ? part_us : LEASE_BACKOFF_LAST_US;
}

/* The back-off doubles for a refusal that was asked for after the one before was over; those that were
 * on their way together count once. */
void lease_cell_note_refusal(struct lease_cell *cell, const struct store_redis_claim *claim,
                             uint64_t mono_us, uint64_t sent_at_us)
{
    uint64_t end_us = 0, last_us = LEASE_BACKOFF_LAST_US;
    if (cell->ordered_us != 0 && sent_at_us <= cell->ordered_us)
        return;
    for (unsigned i = 0; i < claim->window_count; i++) {
        const struct store_redis_window *asked = &claim->windows[i];
        const struct lease_window *window = lease_cell_find(cell, asked->period_s);
        if (quota_code_kind(asked->period_s) != QUOTA_KIND_COUNT) {
            /* lease_cell_refuses sees for itself whether there is room again */
            end_us = (mono_us + LEASE_BACKOFF_LAST_US) + (uint64_t)cell->clock_us;
            continue;
        }
        if (window == NULL ||
            (uint64_t)lease_window_used(window) + claim->cost <= lease_limit(cell, asked->limit))
            continue;
        uint64_t window_end_us = ((uint64_t)window->start_s + window->period_s) * US_PER_S;
        if (window_end_us > end_us)
            end_us = window_end_us;
        /* Who leases has had the others give back: seldom is there more to be had. */
        if (claim->divisor != 0)
            last_us = longest(window->period_s);
    }
    if (end_us == 0)
        return; /* another key of the request refused */
    if (cell->backoff_us == 0)
        cell->backoff_us = LEASE_BACKOFF_FIRST_US;
    else if (sent_at_us >= cell->refused_until_us && cell->backoff_us < last_us)
        cell->backoff_us =
            cell->backoff_us * 2 < last_us ? cell->backoff_us * 2 : (uint32_t)last_us;
    uint64_t until_us = mono_us + cell->backoff_us;
    uint64_t window_until_us = end_us - (uint64_t)cell->clock_us;
    cell->refused_until_us = until_us < window_until_us ? until_us : window_until_us;
}

void lease_cell_note_grant(struct lease_cell *cell)
{
    cell->is_recalled = 0;
    cell->backoff_us = 0;
    cell->refused_until_us = 0;
}
