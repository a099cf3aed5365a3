/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_histogram.c - see logtool_histogram.h.  Below 32 each number has a cell; above, each doubling has 32. */
#include "logtool/logtool_histogram.h"

#define STEPS LOGTOOL_HISTOGRAM_STEPS
#define BITS  5 /* of STEPS */

static unsigned cell_of(uint64_t us)
{
    if (us < STEPS)
        return (unsigned)us;
    unsigned power = 63 - (unsigned)__builtin_clzll(us);
    unsigned cell = (power - BITS + 1) * STEPS + (unsigned)(us >> (power - BITS)) - STEPS;
    return cell < LOGTOOL_HISTOGRAM_CELLS ? cell : LOGTOOL_HISTOGRAM_CELLS - 1;
}

/* The first number of a cell. */
static uint64_t begin_of(unsigned cell)
{
    if (cell < STEPS)
        return cell;
    unsigned shift = cell / STEPS - 1;
    return (uint64_t)(cell % STEPS + STEPS) << shift;
}

void logtool_histogram_add(struct logtool_histogram *histogram, uint64_t us)
{
    histogram->count++;
    histogram->cells[cell_of(us)]++;
    if (us > histogram->max_us)
        histogram->max_us = us;
}

uint64_t logtool_histogram_percentile(const struct logtool_histogram *histogram, uint32_t of_100000)
{
    unsigned __int128 wanted = (unsigned __int128)histogram->count * of_100000;
    uint64_t want = (uint64_t)((wanted + 99999) / 100000), seen = 0;
    for (unsigned cell = 0; cell < LOGTOOL_HISTOGRAM_CELLS && want != 0; cell++) {
        seen += histogram->cells[cell];
        if (seen < want)
            continue;
        uint64_t last = begin_of(cell + 1) - 1;
        return last < histogram->max_us && cell + 1 < LOGTOOL_HISTOGRAM_CELLS ? last
                                                                              : histogram->max_us;
    }
    return 0;
}

uint64_t logtool_histogram_octave(const struct logtool_histogram *histogram, unsigned power)
{
    uint64_t count = 0;
    if (power == 0)
        return histogram->cells[0] + histogram->cells[1];
    unsigned from = cell_of(UINT64_C(1) << power), to = cell_of((UINT64_C(2) << power) - 1);
    for (unsigned cell = from; cell <= to; cell++)
        count += histogram->cells[cell];
    return count;
}
