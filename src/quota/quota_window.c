/* SPDX-License-Identifier: Apache-2.0 */
/* quota_window.c - windows as people write them.  Takes: "5 minutes".  Gives: unit and count, and the
 * text back.  Pure. */
#include "quota/quota.h"

#include "base/base_fmt.h"
#include "base/base_parse.h"

#define PERIOD_MAX_S (366 * 86400U)

static const struct {
    struct span one, many;
    uint32_t seconds;
} units[] = {
    [QUOTA_SECOND] = {SPAN("second"), SPAN("seconds"), 1},
    [QUOTA_MINUTE] = {SPAN("minute"), SPAN("minutes"), 60},
    [QUOTA_HOUR] = {SPAN("hour"), SPAN("hours"), 3600},
    [QUOTA_DAY] = {SPAN("day"), SPAN("days"), 86400},
};
#define UNITS (sizeof(units) / sizeof(units[0]))

static const char *const fault_form =
    "must be second, minute, hour or day, or several of them (\"5 minutes\")";

const char *quota_limit_parse(struct quota_limit *limit, struct span unit_text)
{
    uint64_t count = 1;
    struct span unit = unit_text;
    size_t space = span_find(unit_text, ' ');
    bool has_count = space < unit_text.len;
    if (has_count) {
        if (!parse_u64((struct span){unit_text.ptr, space}, &count))
            return fault_form;
        unit = (struct span){unit_text.ptr + space + 1, unit_text.len - space - 1};
    }
    for (unsigned i = 0; i < UNITS; i++) {
        if (!span_eq(unit, units[i].one) && !(has_count && span_eq(unit, units[i].many)))
            continue;
        if (count == 0)
            return "must span at least one second";
        if (count > PERIOD_MAX_S / units[i].seconds)
            return "must not span more than 366 days";
        limit->unit = (uint8_t)i;
        limit->count = (uint32_t)count;
        limit->period_s = (uint32_t)count * units[i].seconds;
        return NULL;
    }
    return fault_form;
}

size_t quota_window_text(char *out, const struct quota_limit *limit, bool always_count)
{
    char *end = out;
    if (always_count || limit->count != 1) {
        end = fmt_u64(end, limit->count);
        *end++ = ' ';
    }
    end = fmt_span(end, units[limit->unit % UNITS].one);
    return (size_t)(end - out);
}
