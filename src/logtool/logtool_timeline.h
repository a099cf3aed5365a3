/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_timeline.h - how many requests there were when.  Takes: instants in any order, over any span of time.  Gives: equal
 * steps, as short as a bounded number of them allows: a second, and doubled as often as needed.  Pure. */
#ifndef SLUICE_LOGTOOL_TIMELINE_H
#define SLUICE_LOGTOOL_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

#define LOGTOOL_TIMELINE_STEPS 240

struct logtool_timeline_step {
    uint64_t requests, refused;
};

/* All zeroes is an empty one. */
struct logtool_timeline {
    uint64_t from_s, width_s; /* of the first step, a multiple of the width; width 0: empty */
    unsigned first, last;     /* steps with something in them, and between */
    struct logtool_timeline_step steps[LOGTOOL_TIMELINE_STEPS];
};

void logtool_timeline_add(struct logtool_timeline *line, uint64_t at_s, bool is_refused);

#endif
