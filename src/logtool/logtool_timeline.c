/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_timeline.c - see logtool_timeline.h.  Steps begin at multiples of their width, so that two of them make one of twice
 * the width, and none is ever divided. */
#include "logtool/logtool_timeline.h"

#include <string.h>

/* Make room for an instant on either side. */
static void timeline_widen(struct logtool_timeline *line, uint64_t at_s)
{
    const struct logtool_timeline old = *line;
    uint64_t begin_s = old.from_s + old.first * old.width_s;
    uint64_t end_s = old.from_s + (old.last + 1) * old.width_s - 1;
    begin_s = at_s < begin_s ? at_s : begin_s;
    end_s = at_s > end_s ? at_s : end_s;
    while (end_s / line->width_s - begin_s / line->width_s >= LOGTOOL_TIMELINE_STEPS)
        line->width_s *= 2;
    line->from_s = begin_s / line->width_s * line->width_s;
    memset(line->steps, 0, sizeof(line->steps));
    for (unsigned i = old.first; i <= old.last; i++) {
        uint64_t step = (old.from_s + i * old.width_s - line->from_s) / line->width_s;
        line->steps[step].requests += old.steps[i].requests;
        line->steps[step].refused += old.steps[i].refused;
    }
    line->first = 0;
    line->last = (unsigned)((end_s - line->from_s) / line->width_s);
}

void logtool_timeline_add(struct logtool_timeline *line, uint64_t at_s, bool is_refused)
{
    if (line->width_s == 0) {
        line->width_s = 1;
        line->from_s = at_s;
    }
    if (at_s < line->from_s || at_s - line->from_s >= LOGTOOL_TIMELINE_STEPS * line->width_s)
        timeline_widen(line, at_s);
    unsigned step = (unsigned)((at_s - line->from_s) / line->width_s);
    line->first = step < line->first ? step : line->first;
    line->last = step > line->last ? step : line->last;
    line->steps[step].requests++;
    line->steps[step].refused += is_refused;
}
