/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_histogram.h - how often which duration was seen, with an error of at most 1/32.  Pure. */
#ifndef SLUICE_LOGTOOL_HISTOGRAM_H
#define SLUICE_LOGTOOL_HISTOGRAM_H

#include <stdint.h>

#define LOGTOOL_HISTOGRAM_STEPS 32 /* of each doubling */
#define LOGTOOL_HISTOGRAM_CELLS (LOGTOOL_HISTOGRAM_STEPS * 34)

/* All zeroes is an empty one. */
struct logtool_histogram {
    uint64_t count, max_us;
    uint64_t cells[LOGTOOL_HISTOGRAM_CELLS]; /* from 2^38 us on (three days) all are in the last */
};

void logtool_histogram_add(struct logtool_histogram *histogram, uint64_t us);

/* What so many of a hundred thousand do not exceed (50000: the median); the upper end of their cell, at most what was the
 * longest.  0: nothing was seen. */
uint64_t logtool_histogram_percentile(const struct logtool_histogram *histogram,
                                      uint32_t of_100000);

/* How many lie within [2^power, 2^(power + 1)) us; power 0 has 0 too. */
uint64_t logtool_histogram_octave(const struct logtool_histogram *histogram, unsigned power);

#endif
