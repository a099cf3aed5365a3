/* SPDX-License-Identifier: Apache-2.0 */
/* lease_policy.c - see lease_policy.h. */
#include "lease/lease_policy.h"

#define HORIZON_S    2.0
#define YOUNG_S      1.0   /* a window this young may be leased by parts, whatever its rate */
#define PLENTY       2.0   /* times what the fleet would use by the window's end */
#define AHEAD        1.1   /* of the own rate until then */
#define SHARE        4     /* of what is left: 1 / (SHARE * proxies) */
#define KEEP_S       0.05  /* after a recall */
#define ROUND_TRIPS  3     /* to be covered by what is held when more is asked for */
#define SMOOTH_S     0.5   /* of the rate ... */
#define LEAST_WEIGHT 0.25  /* ... but it follows within a few looks */
#define LEAST_LOOK_S 0.001 /* what came within less says nothing about a rate */

static uint32_t whole(double number)
{
    if (number <= 0)
        return 0;
    return number < INT32_MAX ? (uint32_t)number : INT32_MAX;
}

void lease_policy_note(struct lease_cell *cell, uint64_t mono_us)
{
    if (cell->rated_at_us == 0) {
        cell->rated_at_us = mono_us;
        return;
    }
    double seconds = (double)(mono_us - cell->rated_at_us) / 1e6;
    if (mono_us < cell->rated_at_us || seconds < LEAST_LOOK_S)
        return;
    double rate = cell->spent / seconds;
    double weight = seconds / (seconds + SMOOTH_S);
    if (weight < LEAST_WEIGHT)
        weight = LEAST_WEIGHT;
    if (cell->rate_per_s <= 0)
        weight = 1;
    cell->rate_per_s += (float)((rate - cell->rate_per_s) * weight);
    cell->rated_at_us = mono_us;
    cell->spent = 0;
}

static double left_of(const struct lease_cell *cell, const struct quota *quota, unsigned w,
                      uint64_t store_now_us, double *used)
{
    struct quota_terms terms = quota_terms_of(quota, w, cell->extra, 1);
    struct quota_state state = lease_cell_state(cell, quota, w);
    *used = quota->algorithm == QUOTA_FIXED ? state.count
                                            : quota_state_used(&terms, &state, store_now_us);
    return terms.limit > *used ? terms.limit - *used : 0;
}

uint32_t lease_policy_want(const struct lease_cell *cell, const struct quota *quota,
                           uint64_t store_now_us, uint32_t proxies)
{
    double time_left_s = (double)UINT32_MAX, share = INT32_MAX;
    bool is_plenty = true;
    for (unsigned w = 0; w < quota->limit_count; w++) {
        const struct lease_window *window = &cell->windows[quota_limit_place(quota, w)];
        double period_s = quota->limits[w].period_s, used;
        double elapsed_s = ((double)store_now_us - (double)window->start_s * 1e6) / 1e6;
        double left = left_of(cell, quota, w, store_now_us, &used);
        elapsed_s = elapsed_s < 0 ? 0 : elapsed_s > period_s ? period_s : elapsed_s;
        if (elapsed_s >= YOUNG_S && left <= PLENTY * used / elapsed_s * (period_s - elapsed_s))
            is_plenty = false;
        if (period_s - elapsed_s < time_left_s)
            time_left_s = period_s - elapsed_s;
        if (left / (SHARE * proxies) < share)
            share = left / (SHARE * proxies);
    }
    double rate = cell->rate_per_s;
    double want = rate * (time_left_s < HORIZON_S ? time_left_s : HORIZON_S) + 1;
    if (is_plenty && rate * time_left_s * AHEAD > want)
        want = rate * time_left_s * AHEAD;
    if (is_plenty && share > want)
        want = share;
    return whole(want);
}

uint32_t lease_policy_mark(const struct lease_cell *cell, uint64_t round_trip_us)
{
    uint32_t mark = whole(cell->rate_per_s * ROUND_TRIPS * (double)round_trip_us / 1e6);
    return mark < cell->held ? mark : cell->held == 0 ? 0 : cell->held - 1;
}

uint32_t lease_policy_keep(const struct lease_cell *cell)
{
    return whole(cell->rate_per_s * KEEP_S);
}

bool lease_policy_is_low(const struct store_redis_claim *claim,
                         const struct store_redis_result *result)
{
    for (unsigned i = 0; i < claim->window_count; i++) {
        uint64_t limit = (uint64_t)claim->windows[i].limit + result->extra;
        uint64_t used = result->windows[i].used;
        if (quota_code_kind(claim->windows[i].period_s) != QUOTA_KIND_COUNT || limit > INT32_MAX)
            continue;
        uint64_t left = used < limit ? limit - used : 0;
        if (left * LEASE_LOW_PART < limit && (left + result->granted) * LEASE_LOW_PART >= limit)
            return true;
    }
    return false;
}

bool lease_policy_may_recall(struct lease_cell *cell, uint64_t mono_us)
{
    uint32_t now_ms = (uint32_t)(mono_us / 1000);
    if (cell->recalled_ms != 0 && now_ms - cell->recalled_ms < LEASE_RECALL_GAP_MS)
        return false;
    cell->is_recalled = 1;
    cell->recalled_ms = now_ms | 1;
    return true;
}
