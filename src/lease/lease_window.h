/* SPDX-License-Identifier: Apache-2.0 */
/* lease_window.h - what a cell knows of one window: what the store has counted, what is owed to it, what it is to get
 * back.  Takes: counts.  Gives: sums; those that are kept stay at INT32_MAX.  Pure, under the cell's lock. */
#ifndef SLUICE_LEASE_WINDOW_H
#define SLUICE_LEASE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "quota/quota_algorithm.h"

/* All counts are of the window that begins at start_s.  A bucket's instant as last seen is in start_s and seen;
 * floor is then the second at which what is given back would have been filled again. */
struct lease_window {
    uint32_t period_s; /* the code; 0: no window */
    uint32_t start_s;
    uint32_t seen;     /* charged in the store, as last seen; 0 also when nobody has told us */
    uint32_t returned; /* of that, given back by then */
    uint32_t floor;    /* used in the store before its value was lost, as seen; not answered yet */
    uint32_t local;    /* admitted without the store, not billed yet */
    uint32_t billed;   /* admitted without the store; the bill is on its way */
    uint32_t back;     /* granted and not spent: to be given back, once */
    uint32_t limit;    /* that the tokens held were granted under; 0: they are not charged here */
};

/* Stays at INT32_MAX. */
static inline uint32_t lease_count_add(uint32_t a, uint32_t b)
{
    uint64_t sum = (uint64_t)a + b;
    return sum > INT32_MAX ? INT32_MAX : (uint32_t)sum;
}

/* Up to `most` of what there is. */
static inline uint32_t lease_count_take(uint32_t *from, uint32_t most)
{
    uint32_t taken = *from < most ? *from : most;
    *from -= taken;
    return taken;
}

static inline bool lease_window_is_bucket(const struct lease_window *window)
{
    return quota_code_kind(window->period_s) == QUOTA_KIND_BUCKET;
}

static inline void lease_window_begin(struct lease_window *window, uint32_t start_s)
{
    *window = (struct lease_window){.period_s = window->period_s, .start_s = start_s};
}

/* A count in the store, as last seen. */
static inline uint32_t lease_window_used(const struct lease_window *window)
{
    return window->seen - window->returned;
}

/* The same, or what is known of a value that was lost. */
static inline uint32_t lease_window_used_least(const struct lease_window *window)
{
    uint32_t used = lease_window_used(window);
    return used > window->floor ? used : window->floor;
}

/* Admitted here and not known to be billed. */
static inline uint64_t lease_window_owed(const struct lease_window *window)
{
    return (uint64_t)window->local + window->billed;
}

#endif
