/* SPDX-License-Identifier: Apache-2.0 */
/* route_pattern.h - what a rule's path or prefix means: a walk over segments and how the path may end
 * behind them.  Private to the module. */
#ifndef SLUICE_ROUTE_PATTERN_H
#define SLUICE_ROUTE_PATTERN_H

#include "http/http_prefix.h"
#include "route/route.h"

/* Where a path may end once a pattern's segments have matched. */
enum route_end {
    ROUTE_END_EXACT,  /* right here */
    ROUTE_END_PREFIX, /* here or later: prefix "/v1" */
    ROUTE_END_BELOW,  /* later only: prefix "/v1/" */
    ROUTE_ENDS
};

/* A walk over the segments of "/a/b/" ("a", "b", ""). */
struct route_segments {
    struct span rest;
    bool has_more;
};

/* A path that does not begin with "/" has no segments. */
struct route_segments route_segments_of(struct span path);
bool route_segments_next(struct route_segments *segments, struct span *segment);

/* The rule's pattern: its segments, and how it ends. */
enum route_end route_pattern_of(const struct route_rule *rule, struct route_segments *segments);

/* Without one trailing dot. */
static inline struct span route_host_plain(struct span host)
{
    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    return host;
}

static inline bool route_host_is_wild(struct span host)
{
    return host.len > 1 && host.ptr[0] == '*';
}

#endif
