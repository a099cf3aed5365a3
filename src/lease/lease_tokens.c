/* SPDX-License-Identifier: Apache-2.0 */
/* lease_tokens.c - see lease_tokens.h.  All tokens of a cell are of the same windows: what comes of others lets those
 * that are there go back. */
#include "lease/lease_tokens.h"

#define US_PER_S UINT64_C(1000000)

/* By the time at which the claim was sent: the answer may have taken long, and errs to the early side. */
static uint64_t deadline(uint64_t end_us, uint64_t store_now_us, uint64_t sent_at_us)
{
    uint64_t left_us = end_us > store_now_us ? end_us - store_now_us : 0;
    uint64_t margin_us = LEASE_MARGIN_US + left_us / LEASE_DRIFT;
    return left_us > margin_us ? sent_at_us + left_us - margin_us : 0;
}

void lease_batch_of(struct lease_batch *batch, const struct store_redis_claim *claim,
                    const struct store_redis_result *result, uint32_t count, uint64_t store_now_us,
                    uint64_t sent_at_us)
{
    batch->count = count;
    batch->generation = result->generation;
    batch->until_us = UINT64_MAX;
    batch->window_count = 0;
    for (unsigned i = 0; i < claim->window_count; i++) {
        uint32_t code = claim->windows[i].period_s, start_s = result->windows[i].start_s;
        unsigned behind = i + 1; /* under sliding the limit stands there */
        if (quota_code_kind(code) != QUOTA_KIND_COUNT)
            continue;
        bool is_sliding = behind < claim->window_count &&
                          claim->windows[behind].period_s == quota_code(code, QUOTA_KIND_BEFORE);
        uint64_t until_us =
            deadline(((uint64_t)start_s + code) * US_PER_S, store_now_us, sent_at_us);
        if (until_us < batch->until_us)
            batch->until_us = until_us;
        batch->windows[batch->window_count].period_s = code;
        batch->windows[batch->window_count].start_s = start_s;
        batch->windows[batch->window_count].limit = claim->windows[is_sliding ? behind : i].limit;
        batch->window_count++;
    }
}

bool lease_tokens_fit(const struct lease_cell *cell, const struct quota *quota, uint64_t now_s)
{
    if (cell->held_windows != quota->limit_count || quota->algorithm == QUOTA_BUCKET)
        return false;
    for (unsigned i = 0; i < quota_place_count(quota); i++) {
        const struct lease_window *window = &cell->windows[i];
        uint32_t limit = quota->limits[quota_place_limit(quota, i)].limit;
        uint32_t used = 1;
        if (window->period_s != quota_place_code(quota, i))
            return false;
        if (quota_code_kind(window->period_s) != QUOTA_KIND_COUNT)
            continue;
        if (window->limit != limit ||
            quota_window_settle(window->period_s, now_s, window->start_s, &used) !=
                window->start_s ||
            used == 0)
            return false;
    }
    return true;
}

uint32_t lease_tokens_held(struct lease_cell *cell, uint64_t mono_us)
{
    if (cell->held != 0 && mono_us >= cell->held_until_us)
        lease_tokens_release(cell);
    return cell->held;
}

void lease_tokens_take(struct lease_cell *cell, uint32_t most, struct lease_batch *batch)
{
    batch->count = cell->held < most ? cell->held : most;
    batch->generation = cell->generation;
    batch->until_us = cell->held_until_us;
    batch->window_count = 0;
    cell->held -= batch->count;
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX && batch->count != 0; i++) {
        const struct lease_window *window = &cell->windows[i];
        if (window->limit == 0)
            continue;
        batch->windows[batch->window_count].period_s = window->period_s;
        batch->windows[batch->window_count].start_s = window->start_s;
        batch->windows[batch->window_count].limit = window->limit;
        batch->window_count++;
    }
}

/* Do all windows of the batch go on? */
static bool goes_on(struct lease_cell *cell, const struct lease_batch *batch)
{
    for (unsigned i = 0; i < batch->window_count; i++) {
        const struct lease_window *window = lease_cell_find(cell, batch->windows[i].period_s);
        if (window == NULL || window->start_s != batch->windows[i].start_s)
            return false;
    }
    return batch->window_count != 0;
}

/* Are the tokens that are held of the batch's windows, which go on? */
static bool is_alike(struct lease_cell *cell, const struct lease_batch *batch)
{
    if (cell->held_windows != batch->window_count)
        return false;
    for (unsigned i = 0; i < batch->window_count; i++) {
        if (lease_cell_find(cell, batch->windows[i].period_s)->limit != batch->windows[i].limit)
            return false;
    }
    return true;
}

static void begin_lease(struct lease_cell *cell, const struct lease_batch *batch)
{
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++)
        cell->windows[i].limit = 0;
    for (unsigned i = 0; i < batch->window_count; i++)
        lease_cell_find(cell, batch->windows[i].period_s)->limit = batch->windows[i].limit;
    cell->held_windows = batch->window_count;
    cell->held_until_us = batch->until_us;
}

static void send_back(struct lease_cell *cell, const struct lease_batch *batch)
{
    for (unsigned i = 0; i < batch->window_count; i++) {
        struct lease_window *window = lease_cell_find(cell, batch->windows[i].period_s);
        if (window != NULL && window->start_s == batch->windows[i].start_s)
            window->back = lease_count_add(window->back, batch->count);
    }
}

void lease_tokens_add(struct lease_cell *cell, const struct lease_batch *batch, uint64_t mono_us)
{
    if (batch->count == 0 || lease_cell_is_past(cell, batch->generation))
        return;
    if (mono_us >= batch->until_us || !goes_on(cell, batch)) {
        send_back(cell, batch);
        return;
    }
    if (cell->held != 0 && !is_alike(cell, batch))
        lease_tokens_release(cell);
    if (cell->held == 0)
        begin_lease(cell, batch);
    cell->held = lease_count_add(cell->held, batch->count);
    if (batch->until_us < cell->held_until_us)
        cell->held_until_us = batch->until_us;
}

void lease_tokens_trim(struct lease_cell *cell, uint32_t keep)
{
    if (cell->held <= keep)
        return;
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++) {
        struct lease_window *window = &cell->windows[i];
        if (window->limit != 0)
            window->back = lease_count_add(window->back, cell->held - keep);
    }
    cell->held = keep;
}

bool lease_tokens_match(const struct lease_cell *cell, const struct quota_charge *charge)
{
    const struct quota *quota = charge->quota;
    if (cell->held == 0 || cell->held_windows != quota->limit_count ||
        quota->algorithm == QUOTA_BUCKET)
        return false;
    for (unsigned w = 0; w < quota->limit_count; w++) {
        const struct lease_window *window = &cell->windows[quota_limit_place(quota, w)];
        if (window->period_s != quota->limits[w].period_s || window->limit == 0 ||
            window->start_s != charge->readings[w].start_s)
            return false;
    }
    return true;
}
