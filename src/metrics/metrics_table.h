/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_table.h - what metrics.c and metrics_registry.c share: the fixed rows and the layout of a
 * histogram's slots. */
#ifndef SLUICE_METRICS_METRICS_TABLE_H
#define SLUICE_METRICS_METRICS_TABLE_H

#include "metrics/metrics.h"

struct metrics_row {
    const char *name, *type, *label, *value, *help;
};
extern const struct metrics_row metrics_rows[METRICS_FIXED];

/* A histogram is METRICS_BUCKETS counts (each of its bucket alone), the count above the last bound,
 * and the sum of microseconds. */
#define METRICS_BUCKETS         16
#define METRICS_SUM             (METRICS_BUCKETS + 1)
#define METRICS_HISTOGRAM_SLOTS (METRICS_BUCKETS + 2)

extern const uint32_t metrics_bucket_us[METRICS_BUCKETS]; /* upper bounds, ascending */

#endif
