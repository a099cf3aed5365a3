/* SPDX-License-Identifier: Apache-2.0 */
/* store_memory_correct.c - charges of the embedded store, corrected later.  Takes: a charge that was taken, and
 * how far it was off.  Gives: the difference to the windows in which it was taken.  Never: gives back more
 * than was charged, gives anything back to another window. */
#include "store/store_memory_private.h"

/* Was the subject reset since?  Then what it took is gone already. */
static bool is_stale(const struct store_cell *cell, const struct quota_charge *charge)
{
    return store_memory_note(cell) >> STORE_MEMORY_GENERATION_SHIFT != charge->generation;
}

/* The charge's cell, locked: its own, or the overflow cell in which it was counted (an own cell with
 * something used is never given to another subject).  NULL: its windows are over. */
static struct store_cell *take_cell(const struct store_memory *store,
                                    const struct quota_charge *charge)
{
    const struct {
        const struct store_cells *cells;
        const uint8_t *key;
    } places[] = {{&store->subjects, charge->key}, {&store->overflow, charge->quota->id}};
    struct store_cell *cell = NULL;
    for (unsigned i = 0; cell == NULL && i < 2; i++)
        cell = store_cells_find_locked(places[i].cells, places[i].key);
    return cell;
}

static int32_t correct_window(const struct store_memory *store, struct store_windows *windows,
                              const struct quota_charge *charge, unsigned w, int32_t delta,
                              uint64_t now_us)
{
    const struct quota_reading *reading = &charge->readings[w];
    struct store_window window;
    if (charge->quota->algorithm != QUOTA_FIXED)
        return store_memory_correct_other(store, windows, charge, w, delta, now_us);
    uint64_t now_s = now_us / 1000000;
    int slot = store_windows_get(store->periods, windows, now_s, charge->quota->limits[w].period_s,
                                 w, &window);
    if (slot < 0 || window.start_s != reading->start_s)
        return 0;
    int64_t used = (int64_t)window.used + delta;
    used = used < 0 ? 0 : used > INT32_MAX ? INT32_MAX : used;
    int32_t done = (int32_t)(used - (int64_t)window.used);
    window.used = (uint32_t)used;
    store_windows_put(windows, slot, &window);
    return done;
}

int32_t store_memory_correct(struct store_memory *store, const struct quota_charge *charge,
                             int32_t delta, uint64_t now_us)
{
    int32_t done = 0;
    if (delta < 0 && (uint32_t)-delta > charge->cost)
        delta = -(int32_t)charge->cost;
    struct store_cell *cell = take_cell(store, charge);
    if (cell == NULL)
        return 0;
    if (delta < 0 && is_stale(cell, charge)) {
        store_cell_unlock(cell);
        return 0;
    }
    uint64_t now_s = store_memory_now_s(store, now_us / 1000000);
    if (now_s > now_us / 1000000)
        now_us = now_s * 1000000;
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        int32_t one = correct_window(store, store_cell_body(cell), charge, w, delta, now_us);
        if (w == 0 || (one < 0 ? one < done : one > done))
            done = one;
    }
    store_cell_unlock(cell);
    return done;
}
