/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.h - every number that the metrics page shows.  Takes: increments by slot.  Gives: sums and
 * Prometheus text.  Fixed counters are rows of metrics.def; counters per route, quota or server are
 * slots given out by name when a configuration is built, and kept across reloads.  Labels never come
 * from traffic. */
#ifndef SLUICE_METRICS_METRICS_H
#define SLUICE_METRICS_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base_err.h"
#include "base/base_span.h"

#define METRICS_SLOTS_MAX 8192
#define METRICS_SLOT_LOST                                                                          \
    0 /* where numbers go when the table is full; shown as a series of its own */

enum metrics_id {
    METRICS_LOST,
#define METRIC(id, name, type, label, value, help) METRICS_##id,
#include "metrics/metrics.def"
#undef METRIC
    METRICS_FIXED
};

/* A slot is an index into a block: METRICS_* or one from metrics_registry_slot. */
typedef uint32_t metrics_slot;

/* The numbers of one thread.  Owner: that thread.  Thread: written by it alone, read by any. */
struct metrics_block {
    _Atomic uint64_t values[METRICS_SLOTS_MAX];
};

struct metrics_registry;

struct metrics_registry *metrics_registry_new(void);
void metrics_registry_free(struct metrics_registry *registry);

/* A new zeroed block that the registry sums; freed with the registry.  NULL when out of memory. */
struct metrics_block *metrics_registry_add_block(struct metrics_registry *registry);

/* The slot of `family{label1="value1",label2="value2"}`, made at first use; label2 may be NULL.
 * family, help, type and labels are static strings; values are copied.  Takes a lock: not for
 * traffic.  METRICS_SLOT_LOST when the table is full. */
metrics_slot metrics_registry_slot(struct metrics_registry *registry, const char *family,
                                   const char *type, const char *help, const char *label1,
                                   struct span value1, const char *label2, struct span value2);

/* The first slot of a histogram of durations, `family{label="value"}`, made at first use; label may be
 * NULL.  Buckets go from 100 us to 10 s in steps of 1, 2.5, 5; shown in seconds, so the family's name
 * ends in _seconds.  For metrics_observe_us only.  METRICS_SLOT_LOST when the table is full. */
metrics_slot metrics_registry_histogram(struct metrics_registry *registry, const char *family,
                                        const char *help, const char *label, struct span value);

uint64_t metrics_registry_sum(struct metrics_registry *registry, metrics_slot slot);

/* Prometheus text format 0.0.4, malloc'ed; the caller frees.  NULL when out of memory. */
char *metrics_registry_render(struct metrics_registry *registry, size_t *len);

static inline void metrics_add(struct metrics_block *block, metrics_slot slot, uint64_t n)
{
    /* One writer: a plain load and store, no locked instruction. */
    uint64_t value = atomic_load_explicit(&block->values[slot], memory_order_relaxed);
    atomic_store_explicit(&block->values[slot], value + n, memory_order_relaxed);
}

static inline void metrics_sub(struct metrics_block *block, metrics_slot slot, uint64_t n)
{
    metrics_add(block, slot, 0 - n);
}

static inline void metrics_set(struct metrics_block *block, metrics_slot slot, uint64_t value)
{
    atomic_store_explicit(&block->values[slot], value, memory_order_relaxed);
}

/* A histogram is METRICS_BUCKETS counts (each of its bucket alone), the count above the last bound,
 * and the sum of microseconds. */
#define METRICS_BUCKETS         16
#define METRICS_SUM             (METRICS_BUCKETS + 1)
#define METRICS_HISTOGRAM_SLOTS (METRICS_BUCKETS + 2)
#define METRICS_FIRST_US        100 /* the first bound */

/* How many bounds are below us: 0 .. METRICS_BUCKETS. */
unsigned metrics_bucket_of(uint64_t us);

static inline void metrics_observe_us(struct metrics_block *block, metrics_slot slot, uint64_t us)
{
    if (slot == METRICS_SLOT_LOST) {
        metrics_add(block, METRICS_SLOT_LOST, 1);
        return;
    }
    /* Below the first bound is every decision that was made here. */
    metrics_add(block, us <= METRICS_FIRST_US ? slot : slot + metrics_bucket_of(us), 1);
    metrics_add(block, slot + METRICS_SUM, us);
}

#endif
