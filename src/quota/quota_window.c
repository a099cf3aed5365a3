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
} units[QUOTA_UNITS] = {
    [QUOTA_SECOND] = {SPAN("second"), SPAN("seconds"), 1},
    [QUOTA_MINUTE] = {SPAN("minute"), SPAN("minutes"), 60},
    [QUOTA_HOUR] = {SPAN("hour"), SPAN("hours"), 3600},
    [QUOTA_DAY] = {SPAN("day"), SPAN("days"), 86400},
};

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
    for (unsigned i = 0; i < QUOTA_UNITS; i++) {
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

/* Eight bytes, so that a copy needs no call. */
const struct quota_unit_text QUOTA_UNIT_TEXTS[QUOTA_UNITS] = {
    [QUOTA_SECOND] = {"second", 6},
    [QUOTA_MINUTE] = {"minute", 6},
    [QUOTA_HOUR] = {"hour", 4},
    [QUOTA_DAY] = {"day", 3},
};

size_t quota_window_text_long(char *out, const struct quota_limit *limit)
{
    char *end = fmt_u64(out, limit->count);
    *end++ = ' ';
    end = fmt_span(end, units[limit->unit % QUOTA_UNITS].one);
    return (size_t)(end - out);
}
