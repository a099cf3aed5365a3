/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.h - every number that the metrics page shows.  Takes: increments by slot.  Gives: sums and
 * Prometheus text.  Fixed counters are rows of metrics.def; counters per route, quota or server are
 * slots given out by name when a configuration is built (metrics_families.def), and kept across reloads.
 *
 * The page has at most METRICS_SERIES_MAX series, whatever the traffic and the configuration: labels never come from traffic,
 * and of the names of a configuration each family shows as many as its row says. */
#ifndef SLUICE_METRICS_METRICS_H
#define SLUICE_METRICS_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base_err.h"
#include "base/base_span.h"

#define METRICS_SERIES_MAX 5000 /* lines with a number on the page */
#define METRICS_SLOTS_MAX  5120 /* a block is whole cache lines */
#define METRICS_SLOT_LOST                                                                          \
    0 /* where numbers go that could have no slot; shown as a series of its own */

/* A histogram is METRICS_BUCKETS counts (each of its bucket alone), the count above the last bound,
 * and the sum of microseconds. */
#define METRICS_BUCKETS         16
#define METRICS_SUM             (METRICS_BUCKETS + 1)
#define METRICS_HISTOGRAM_SLOTS (METRICS_BUCKETS + 2)
#define METRICS_FIRST_US        100 /* the first bound */

enum metrics_id {
    METRICS_LOST,
#define METRIC(id, name, type, label, value, help) METRICS_##id,
#define HISTOGRAM(id, name, type, label, value, help)                                              \
    METRICS_##id, METRICS_##id##_END = METRICS_##id + METRICS_HISTOGRAM_SLOTS - 1,
#include "metrics/metrics.def"
#undef METRIC
#undef HISTOGRAM
    METRICS_FIXED
};
#define METRICS_SLOT_NONE METRICS_FIXED /* where numbers go that nobody sees */

enum metrics_family {
#define FAMILY(id, name, type, fold, names, label1, values, label2, help) METRICS_FAMILY_##id,
#include "metrics/metrics_families.def"
#undef FAMILY
    METRICS_FAMILIES
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

/* The slot of the family's series with these values of its labels, made at first use; value2 is not read where there is no
 * second label.  Values are copied.  Takes a lock: not for traffic.  METRICS_SLOT_LOST without memory, or METRICS_SLOT_NONE if
 * the family is one whose numbers do not add up.  Of a histogram it is the first slot, for metrics_observe_us only: buckets go
 * from 100 us to 10 s in steps of 1, 2.5, 5, and are shown in seconds. */
metrics_slot metrics_registry_slot(struct metrics_registry *registry, enum metrics_family family,
                                   struct span value1, struct span value2);
#define METRICS_OTHER SPAN("_other") /* the label of all names that have no series of their own */
/* The slot of a family that has no labels. */
metrics_slot metrics_registry_only(struct metrics_registry *registry, enum metrics_family family);
/* Does it stand for others too, or for nothing? */
bool metrics_registry_is_folded(struct metrics_registry *registry, metrics_slot slot);

/* The slots that are asked for from here on are those of another configuration. */
void metrics_registry_begin(struct metrics_registry *registry);
/* That configuration is in force: its names are shown from here on, and those that it does not have are not, until one has them
 * again; they keep their numbers.  Returns how many of its series are folded. */
unsigned metrics_registry_settle(struct metrics_registry *registry);

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
