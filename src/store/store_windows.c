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

/* The second from which a word of this code counts nothing; it is kept at now_s as quota_window_settle and
 * quota_state_settle keep it.  0: it is over, or empty. */
static uint64_t end_of(uint32_t code, uint32_t at_s, uint32_t count, uint64_t now_s)
{
    uint64_t period_s = quota_code_period(code), end_s = at_s;
    switch (quota_code_kind(code)) {
    case QUOTA_KIND_COUNT:
        end_s = count == 0 ? 0 : at_s + period_s;
        break;
    case QUOTA_KIND_BEFORE:
        end_s = count == 0 ? 0 : at_s + 2 * period_s;
        break;
    case QUOTA_KIND_BUCKET:
        end_s += 1;
        if (at_s > now_s + 2 * QUOTA_BUCKET_FILL_S + QUOTA_SKEW_S) /* the clock was wrong */
            end_s = now_s + QUOTA_BUCKET_FILL_S;
        break;
    }
    return end_s > now_s ? end_s : 0;
}

/* A count of this period goes back from one start to another, and the window before goes with it.  One that did not
 * stand beside the count is forgotten: at its new place it might seem to. */
static void move_before(const struct store_periods *periods, struct store_windows *windows,
                        uint32_t period_s, uint32_t from_s, uint32_t to_s)
{
    static const struct store_window none = {0};
    struct store_window before;
    int slot =
        store_windows_find(periods, windows, quota_code(period_s, QUOTA_KIND_BEFORE), &before);
    if (slot < 0)
        return;
    bool is_beside = before.start_s + period_s == from_s && to_s >= period_s;
    before.start_s = to_s - period_s;
    if (is_beside)
        store_windows_put(windows, slot, &before);
    else
        store_windows_replace(windows, slot, 0, &none);
}

/* The window in a slot as it counts at now_s; a calendar count far ahead is moved in the cell too, or it would
 * never end. */
static inline struct store_window settled(const struct store_periods *periods,
                                          struct store_windows *windows, unsigned slot,
                                          uint32_t code, uint64_t now_s)
{
    uint64_t word = atomic_load_explicit(&windows->words[slot], memory_order_relaxed);
    struct store_window window = {code, (uint32_t)(word >> 32), (uint32_t)word};
    if (quota_code_kind(code) != QUOTA_KIND_COUNT)
        return window;
    uint32_t stored_s = window.start_s;
    window.start_s = quota_window_settle(code, now_s, stored_s, &window.used);
    if (window.start_s < stored_s) {
        move_before(periods, windows, code, stored_s, window.start_s);
        store_windows_put(windows, (int)slot, &window);
    }
    return window;
}

int store_windows_seek(const struct store_periods *periods, struct store_windows *windows,
                       uint64_t now_s, uint32_t period_s, struct store_window *window)
{
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++) {
        if (period_at(periods, windows, slot) != period_s)
            continue;
        *window = settled(periods, windows, slot, period_s, now_s);
        return (int)slot;
    }
    *window = (struct store_window){period_s, quota_window_start(period_s, now_s), 0};
    return -1;
}

int store_windows_find(const struct store_periods *periods, const struct store_windows *windows,
                       uint32_t code, struct store_window *window)
{
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++) {
        if (period_at(periods, windows, slot) != code)
            continue;
        uint64_t word = atomic_load_explicit(&windows->words[slot], memory_order_relaxed);
        *window = (struct store_window){code, (uint32_t)(word >> 32), (uint32_t)word};
        return (int)slot;
    }
    return -1;
}

void store_windows_replace(struct store_windows *windows, int slot, uint16_t number,
                           const struct store_window *window)
{
    /* In this order a slot never shows the window of one period under the name of another. */
    atomic_store_explicit(&windows->periods[slot], 0, memory_order_release);
    store_windows_put(windows, slot, window);
    atomic_store_explicit(&windows->periods[slot], number, memory_order_release);
}

static bool is_asked(uint32_t code, const struct quota *quota)
{
    unsigned count = quota == NULL ? 0 : quota_place_count(quota);
    for (unsigned i = 0; i < count; i++) {
        if (quota_place_code(quota, i) == code)
            return true;
    }
    return false;
}

/* A count that the window before it stands beside counts for one window more. */
static uint64_t end_in_cell(const struct store_periods *periods, struct store_windows *windows,
                            unsigned slot, uint32_t code, uint64_t now_s)
{
    struct store_window window = settled(periods, windows, slot, code, now_s), before;
    if (quota_code_kind(code) == QUOTA_KIND_COUNT) {
        uint32_t beside = quota_code(code, QUOTA_KIND_BEFORE);
        if (store_windows_find(periods, windows, beside, &before) >= 0) {
            uint64_t word = atomic_load_explicit(&windows->words[slot], memory_order_relaxed);
            return end_of(beside, (uint32_t)(word >> 32), (uint32_t)word, now_s);
        }
    }
    return end_of(code, window.start_s, window.used, now_s);
}

/* The slot that a new period gets: the one whose loss matters least.  -1: all are asked for. */
static int slot_to_take(const struct store_periods *periods, struct store_windows *windows,
                        uint64_t now_s, const struct quota *quota)
{
    int best = -1;
    uint64_t best_end_s = UINT64_MAX;
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++) {
        if (period_at(periods, windows, slot) == 0)
            return (int)slot;
    }
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++) {
        uint32_t code = period_at(periods, windows, slot);
        if (is_asked(code, quota))
            continue;
        uint64_t end_s = end_in_cell(periods, windows, slot, code, now_s);
        if (end_s < best_end_s) {
            best = (int)slot;
            best_end_s = end_s;
        }
    }
    return best;
}

bool store_windows_add(struct store_periods *periods, struct store_windows *windows, uint64_t now_s,
                       const struct store_window *window, const struct quota *quota)
{
    uint16_t number = store_periods_enter(periods, window->period_s);
    int slot = slot_to_take(periods, windows, now_s, quota);
    if (number == 0 || slot < 0)
        return false;
    store_windows_replace(windows, slot, number, window);
    return true;
}

uint64_t store_windows_busy_until(const void *arg, struct store_cell *cell, uint64_t now_s)
{
    const struct store_periods *periods = arg;
    struct store_windows *windows = store_cell_body(cell);
    uint64_t until_s = 0;
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++) {
        uint32_t code = period_at(periods, windows, slot);
        uint64_t end_s = code == 0 ? 0 : end_in_cell(periods, windows, slot, code, now_s);
        if (end_s > until_s)
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

bool store_window_counts(const struct store_window *window, bool is_beside, uint64_t now_s)
{
    uint32_t counted = window->used;
    switch (quota_code_kind(window->period_s)) {
    case QUOTA_KIND_COUNT:
        if (is_beside) /* by the next window it still has a share */
            return end_of(quota_code(window->period_s, QUOTA_KIND_BEFORE), window->start_s,
                          window->used, now_s) != 0;
        quota_window_settle(window->period_s, now_s, window->start_s, &counted);
        return counted != 0;
    case QUOTA_KIND_BEFORE: /* even an empty one says what the count beside it is */
        return is_beside || end_of(window->period_s, window->start_s, window->used, now_s) != 0;
    default:
        return end_of(window->period_s, window->start_s, window->used, now_s) != 0;
    }
}

bool store_window_is_beside(const struct store_window *windows, unsigned count, unsigned at)
{
    uint32_t period_s = quota_code_period(windows[at].period_s);
    enum quota_kind kind = quota_code_kind(windows[at].period_s);
    enum quota_kind other = kind == QUOTA_KIND_COUNT ? QUOTA_KIND_BEFORE : QUOTA_KIND_COUNT;
    for (unsigned i = 0; i < count && kind != QUOTA_KIND_BUCKET; i++) {
        if (windows[i].period_s == quota_code(period_s, other))
            return true;
    }
    return false;
}

static struct store_window read_slot(const struct store_periods *periods,
                                     const struct store_windows *windows, unsigned slot)
{
    uint32_t period_s;
    uint64_t word;
    do {
        period_s = period_at(periods, windows, slot);
        word = atomic_load_explicit(&windows->words[slot], memory_order_acquire);
    } while (period_at(periods, windows, slot) != period_s);
    return (struct store_window){period_s, (uint32_t)(word >> 32), (uint32_t)word};
}

unsigned store_windows_snapshot(const struct store_periods *periods,
                                const struct store_windows *windows, uint64_t now_s,
                                struct store_window out[QUOTA_WINDOWS_MAX])
{
    struct store_window all[QUOTA_WINDOWS_MAX];
    unsigned count = 0;
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++)
        all[slot] = read_slot(periods, windows, slot);
    /* A count that begins is stored behind the window before, which has what it was until then: who has seen the new
     * count sees that too, but not who looked for it first. */
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++) {
        uint32_t code = all[slot].period_s;
        if (code == 0 || quota_code_kind(code) != QUOTA_KIND_COUNT)
            all[slot] = read_slot(periods, windows, slot);
    }
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++) {
        bool is_beside = store_window_is_beside(all, QUOTA_WINDOWS_MAX, slot);
        if (all[slot].period_s != 0 && store_window_counts(&all[slot], is_beside, now_s))
            out[count++] = all[slot];
    }
    return count;
}
