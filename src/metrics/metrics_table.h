/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_table.h - what metrics.c and metrics_registry.c share: the fixed rows and the bounds of a
 * histogram. */
#ifndef SLUICE_METRICS_METRICS_TABLE_H
#define SLUICE_METRICS_METRICS_TABLE_H

#include "metrics/metrics.h"

struct metrics_row {
    const char *name, *type, *label, *value, *help;
};
extern const struct metrics_row metrics_rows[METRICS_FIXED];

extern const uint32_t metrics_bucket_us[METRICS_BUCKETS]; /* upper bounds, ascending */

#endif
