/* SPDX-License-Identifier: Apache-2.0 */
/* store_windows.c - see store_windows.h. */
#include "store/store_windows.h"

#include <stddef.h>

uint16_t store_periods_enter(struct store_periods *periods, uint32_t period_s)
{
    for (unsigned i = 1; period_s != 0 && i < STORE_PERIODS_MAX; i++) {
        uint32_t there = atomic_load_explicit(&periods->period_s[i], memory_order_acquire);
        if (there == 0 && atomic_compare_exchange_strong(&periods->period_s[i], &there, period_s))
            return (uint16_t)i;
        if (there == period_s)
            return (uint16_t)i;
    }
    return 0;
}

static inline uint32_t period_at(const struct store_periods *periods,
                                 const struct store_windows *windows, unsigned slot)
{
    /* Acquire pairs with put's release: who sees a new period does not see the window before it. */
    uint16_t number = atomic_load_explicit(&windows->periods[slot], memory_order_acquire);
    return atomic_load_explicit(&periods->period_s[number % STORE_PERIODS_MAX],
                                memory_order_relaxed);
}

/* The window in a slot as it counts at now_s; one far ahead is moved in the cell too, or it would
 * never end. */
static inline struct store_window settled(struct store_windows *windows, unsigned slot,
                                          uint32_t period_s, uint64_t now_s)
{
    uint64_t word = atomic_load_explicit(&windows->words[slot], memory_order_relaxed);
    struct store_window window = {period_s, (uint32_t)(word >> 32), (uint32_t)word};
    uint32_t stored_s = window.start_s;
    window.start_s = quota_window_settle(period_s, now_s, stored_s, &window.used);
    if (window.start_s < stored_s)
        store_windows_put(windows, (int)slot, &window);
    return window;
}

int store_windows_seek(const struct store_periods *periods, struct store_windows *windows,
                       uint64_t now_s, uint32_t period_s, struct store_window *window)
{
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++) {
        if (period_at(periods, windows, slot) != period_s)
            continue;
        *window = settled(windows, slot, period_s, now_s);
        return (int)slot;
    }
    *window = (struct store_window){period_s, quota_window_start(period_s, now_s), 0};
    return -1;
}

static bool is_asked(uint32_t period_s, const struct quota_limit *limits, unsigned limit_count)
{
    for (unsigned i = 0; i < limit_count; i++) {
        if (limits[i].period_s == period_s)
            return true;
    }
    return false;
}

/* The slot that a new period gets: the one whose loss matters least.  -1: all are asked for. */
static int slot_to_take(const struct store_periods *periods, struct store_windows *windows,
                        uint64_t now_s, const struct quota_limit *limits, unsigned limit_count)
{
    int best = -1;
    uint64_t best_end_s = UINT64_MAX;
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++) {
        if (period_at(periods, windows, slot) == 0)
            return (int)slot;
    }
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++) {
        uint32_t period_s = period_at(periods, windows, slot);
        if (is_asked(period_s, limits, limit_count))
            continue;
        struct store_window window = settled(windows, slot, period_s, now_s);
        uint64_t end_s = window.used == 0 ? 0 : (uint64_t)window.start_s + period_s;
        if (end_s < best_end_s) {
            best = (int)slot;
            best_end_s = end_s;
        }
    }
    return best;
}

bool store_windows_add(struct store_periods *periods, struct store_windows *windows, uint64_t now_s,
                       const struct store_window *window, const struct quota_limit *limits,
                       unsigned limit_count)
{
    uint16_t number = store_periods_enter(periods, window->period_s);
    int slot = slot_to_take(periods, windows, now_s, limits, limit_count);
    if (number == 0 || slot < 0)
        return false;
    /* In this order a slot never shows the window of one period under the name of another. */
    atomic_store_explicit(&windows->periods[slot], 0, memory_order_release);
    store_windows_put(windows, slot, window);
    atomic_store_explicit(&windows->periods[slot], number, memory_order_release);
    return true;
}

uint64_t store_windows_busy_until(const void *arg, struct store_cell *cell, uint64_t now_s)
{
    const struct store_periods *periods = arg;
    struct store_windows *windows = store_cell_body(cell);
    uint64_t until_s = 0;
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++) {
        uint32_t period_s = period_at(periods, windows, slot);
        if (period_s == 0)
            continue;
        struct store_window window = settled(windows, slot, period_s, now_s);
        uint64_t end_s = (uint64_t)window.start_s + period_s;
        if (window.used != 0 && end_s > until_s)
            until_s = end_s;
    }
    return until_s;
}

void store_windows_copy(struct store_windows *to, const struct store_windows *from)
{
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++) {
        atomic_store_explicit(&to->periods[slot], 0, memory_order_release);
        atomic_store_explicit(&to->words[slot],
                              atomic_load_explicit(&from->words[slot], memory_order_relaxed),
                              memory_order_release);
        atomic_store_explicit(&to->periods[slot],
                              atomic_load_explicit(&from->periods[slot], memory_order_relaxed),
                              memory_order_release);
    }
}

unsigned store_windows_snapshot(const struct store_periods *periods,
                                const struct store_windows *windows, uint64_t now_s,
                                struct store_window out[QUOTA_WINDOWS_MAX])
{
    unsigned count = 0;
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++) {
        uint32_t period_s;
        uint64_t word;
        do {
            period_s = period_at(periods, windows, slot);
            word = atomic_load_explicit(&windows->words[slot], memory_order_acquire);
        } while (period_at(periods, windows, slot) != period_s);

        struct store_window window = {period_s, (uint32_t)(word >> 32), (uint32_t)word};
        uint32_t counted = window.used;
        if (period_s != 0)
            quota_window_settle(period_s, now_s, window.start_s, &counted);
        if (period_s != 0 && counted != 0)
            out[count++] = window;
    }
    return count;
}
