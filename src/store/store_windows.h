/* SPDX-License-Identifier: Apache-2.0 */
/* store_windows.h - the body of a counting cell: up to four windows of one subject of one quota, matched
 * by their code (see quota_algorithm.h: the period, for calendar counts; the window before and buckets are
 * other kinds, in the same words).  Takes: a locked cell's body, or, for store_windows_snapshot, an unlocked one.
 * Never: reads a clock, gives back what a window has used.
 *
 * Every window is one 64-bit word, so that a process killed between two stores leaves each window as it
 * was or as it should be, and a reader without the lock sees no half of one. */
#ifndef SLUICE_STORE_WINDOWS_H
#define SLUICE_STORE_WINDOWS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "quota/quota_algorithm.h"
#include "store/store_cells.h"

#define STORE_PERIODS_MAX 4096 /* different periods in the life of a table */

/* The periods that the windows of a table have: a window names its own by number, which is what makes
 * a cell fit a cache line.  Append-only.  Lives beside the cells, zeroed at first.  Thread: any. */
struct store_periods {
    _Atomic uint32_t period_s[STORE_PERIODS_MAX]; /* codes; [0] stays 0: no period */
};

/* The number of a period, entered if it is new; 0 when the table is full. */
uint16_t store_periods_enter(struct store_periods *periods, uint32_t period_s);

struct store_windows {
    /* start_s << 32 | used; of a bucket its instant, second and units */
    _Atomic uint64_t words[QUOTA_WINDOWS_MAX];
    _Atomic uint16_t periods[QUOTA_WINDOWS_MAX];
};

_Static_assert(sizeof(struct store_windows) == 40, "a cell is one cache line");

/* One window, settled at a time. */
struct store_window {
    uint32_t period_s, start_s, used;
};

/* Of calendar counts: the window of this period at now_s; 0 used when there is none or a newer one has begun.  One that
 * lies too far in the future is moved to now, for good.  Returns its slot, -1: none. */
int store_windows_seek(const struct store_periods *periods, struct store_windows *windows,
                       uint64_t now_s, uint32_t period_s, struct store_window *window);

/* The same where it stands in slot `hint` (as it does unless limits were changed) and goes on; else false. */
static inline bool store_windows_peek(const struct store_periods *periods,
                                      const struct store_windows *windows, uint64_t now_s,
                                      uint32_t period_s, unsigned hint, struct store_window *window)
{
    uint64_t word = atomic_load_explicit(&windows->words[hint], memory_order_relaxed);
    uint16_t number = atomic_load_explicit(&windows->periods[hint], memory_order_relaxed);
    uint32_t found_s =
        atomic_load_explicit(&periods->period_s[number % STORE_PERIODS_MAX], memory_order_relaxed);
    uint32_t start_s = (uint32_t)(word >> 32);
    *window = (struct store_window){period_s, start_s, (uint32_t)word};
    return found_s == period_s && now_s - start_s < period_s;
}

/* The same, quick when it stands there. */
static inline int store_windows_get(const struct store_periods *periods,
                                    struct store_windows *windows, uint64_t now_s,
                                    uint32_t period_s, unsigned hint, struct store_window *window)
{
    return store_windows_peek(periods, windows, now_s, period_s, hint, window)
               ? (int)hint
               : store_windows_seek(periods, windows, now_s, period_s, window);
}

/* Store a window in the slot that _get returned. */
static inline void store_windows_put(struct store_windows *windows, int slot,
                                     const struct store_window *window)
{
    atomic_store_explicit(&windows->words[slot], (uint64_t)window->start_s << 32 | window->used,
                          memory_order_release);
}

/* Store a window that has none yet: a free slot is taken, else that of an idle window, else that of the
 * one that ends first, but none that the quota (NULL: nobody) asks for.  False: no slot, or the periods are full (check
 * with store_periods_enter before anything is charged). */
bool store_windows_add(struct store_periods *periods, struct store_windows *windows, uint64_t now_s,
                       const struct store_window *window, const struct quota *quota);

/* The slot with this code as it stands, -1: none.  Of any kind; nothing is settled. */
int store_windows_find(const struct store_periods *periods, const struct store_windows *windows,
                       uint32_t code, struct store_window *window);

/* Give a slot to another code (`number` of store_periods_enter; 0: free it). */
void store_windows_replace(struct store_windows *windows, int slot, uint16_t number,
                           const struct store_window *window);

/* The table's rule: busy while a window that is not over has something used.  arg: the periods. */
uint64_t store_windows_busy_until(const void *arg, struct store_cell *cell, uint64_t now_s);

/* Overwrite all windows with those of another cell; both are locked. */
void store_windows_copy(struct store_windows *to, const struct store_windows *from);

/* Does a window still count at now_s?  is_beside: a calendar count and the window before stand together, so both
 * are sliding's (store_window_is_beside tells, for one of several). */
bool store_window_counts(const struct store_window *window, bool is_beside, uint64_t now_s);
bool store_window_is_beside(const struct store_window *windows, unsigned count, unsigned at);

/* Read the windows that count at now_s (something used, not over) while others may write: each is one
 * that stood in the cell, and none shows less than before the call.  Returns how many. */
unsigned store_windows_snapshot(const struct store_periods *periods,
                                const struct store_windows *windows, uint64_t now_s,
                                struct store_window out[QUOTA_WINDOWS_MAX]);

#endif
