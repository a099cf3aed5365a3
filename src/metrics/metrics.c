/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - takes: the rows of metrics.def, a duration.  Gives: the fixed table, the bucket of a
 * duration.  Never: allocates or locks. */
#include "metrics/metrics.h"

#include "metrics/metrics_table.h"

const struct metrics_row metrics_rows[METRICS_FIXED] = {
    [METRICS_LOST] =
        {"metrics_lost_total", "counter", "", "",
         "Increments that had no place of their own because the table of metrics is full."},
#define METRIC(id, name, type, label, value, help)                                                 \
    [METRICS_##id] = {name, type, label, value, help},
#define HISTOGRAM METRIC
#include "metrics/metrics.def"
#undef METRIC
#undef HISTOGRAM
};

#define TYPE_COUNTER   "counter"
#define TYPE_GAUGE     "gauge"
#define TYPE_HISTOGRAM "histogram"

const struct metrics_family_row metrics_family_rows[METRICS_FAMILIES] = {
#define FAMILY(id, name, type, fold, names, label1, values, label2, help)                          \
    [METRICS_FAMILY_##                                                                             \
        id] = {name, TYPE_##type, METRICS_FOLD_##fold, names, label1, values, label2, help},
#include "metrics/metrics_families.def"
#undef FAMILY
};

/* With as many names as there can be, and "_other" beside them. */
#define LINES_COUNTER   1
#define LINES_GAUGE     1
#define LINES_HISTOGRAM (METRICS_BUCKETS + 3)
#define OTHERS_OWN      0
#define OTHERS_SUM      1
#define OTHERS_DROP     0
struct lines { /* a byte for each; there is none of it */
    char lost[1];
#define METRIC(id, name, type, label, value, help)    char id[1];
#define HISTOGRAM(id, name, type, label, value, help) char id[LINES_HISTOGRAM];
#include "metrics/metrics.def"
#undef METRIC
#undef HISTOGRAM
#define FAMILY(id, name, type, fold, names, label1, values, label2, help)                          \
    char family_##id[((names) + OTHERS_##fold) * (values)*LINES_##type];
#include "metrics/metrics_families.def"
#undef FAMILY
};
_Static_assert(sizeof(struct lines) <= METRICS_SERIES_MAX,
               "give the families of metrics_families.def fewer names");
_Static_assert(METRICS_SERIES_MAX < METRICS_SLOTS_MAX, "no series needs more slots than lines");

const uint32_t metrics_bucket_us[METRICS_BUCKETS] = {
    METRICS_FIRST_US, 250,    500,    1000,    2500,    5000,    10000,    25000, 50000,
    100000,           250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

/* By the number of bits of a duration: how many bounds are below all that have so many.  From one bound to the next it is a
 * factor of 2 or more, so at most one lies among them. */
static const uint8_t below_bits[] = {
    0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 13, 14, 15,
};

unsigned metrics_bucket_of(uint64_t us)
{
    if (us > metrics_bucket_us[METRICS_BUCKETS - 1])
        return METRICS_BUCKETS;
    unsigned below = below_bits[us == 0 ? 0 : 64 - __builtin_clzll(us)];
    return below + (us > metrics_bucket_us[below]);
}
