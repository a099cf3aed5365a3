/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_table.h - what metrics.c, metrics_registry.c and their tests share: the rows of both tables, and the bounds of a
 * histogram. */
#ifndef SLUICE_METRICS_METRICS_TABLE_H
#define SLUICE_METRICS_METRICS_TABLE_H

#include "metrics/metrics.h"

struct metrics_row {
    const char *name, *type, *label, *value, *help;
};
/* By slot.  A histogram's row is that of its first slot; those behind it have no name. */
extern const struct metrics_row metrics_rows[METRICS_FIXED];

enum metrics_fold {
    METRICS_FOLD_OWN,
    METRICS_FOLD_SUM,
    METRICS_FOLD_DROP,
};

struct metrics_family_row {
    const char *name, *type;
    enum metrics_fold fold;
    unsigned names;
    const char *label1;
    unsigned values;
    const char *label2; /* NULL: none */
    const char *help;
};
extern const struct metrics_family_row metrics_family_rows[METRICS_FAMILIES];

/* As metrics_registry_slot. */
metrics_slot metrics_registry_slot_of(struct metrics_registry *registry,
                                      const struct metrics_family_row *row, struct span value1,
                                      struct span value2);

extern const uint32_t metrics_bucket_us[METRICS_BUCKETS]; /* upper bounds, ascending */

#endif
