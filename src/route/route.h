/* SPDX-License-Identifier: Apache-2.0 */
/* route.h - which rule a request falls under.  Takes: listener, host, judged path, method.  Gives: the
 * first route that matches and the values of its path's {names}.  Pure; the table is const after
 * route_table_new. */
#ifndef SLUICE_ROUTE_ROUTE_H
#define SLUICE_ROUTE_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_err.h"
#include "base/base_span.h"

#define ROUTE_NAMES_MAX      8    /* {names} in one path */
#define ROUTE_SEGMENTS_MAX   64   /* segments of one path template or prefix */
#define ROUTE_PATH_MAX_BYTES 2048 /* of one path template or prefix */
#define ROUTE_HOST_MAX_BYTES 253  /* of a configured host (RFC 1035 section 2.3.4, as text) */
#define ROUTE_NAME_MAX_BYTES 255  /* of a route's own name */

/* One rule as configured; spans are the plan's.
 *
 * A {name} is a whole segment and matches any segment that is not empty.  A rule with neither path nor
 * prefix matches every path, also "*".  Methods and paths are compared exactly, hosts without case; one
 * trailing dot of a host does not count.  "*.example.com" matches a.example.com and a.b.example.com, not
 * example.com. */
struct route_rule {
    struct span name;     /* for logs and metrics; never empty */
    struct span listener; /* empty: any */
    struct span host; /* empty: any; "*.example.com" matches subdomains; without port, lower case */
    struct span path; /* exact, with {names}; or empty */
    struct span
        prefix; /* "/v1/" matches paths that begin so; "/v1" also "/v1" itself and "/v1/...",
                         * not "/v1x"; may hold {names} too */
    const struct span *methods; /* NULL: any */
    unsigned method_count;
    uint32_t allow_path; /* HTTP_PATH_BITs of what its requests' paths may have; not for finding */
};

struct route_query {
    struct span listener, host /* without port */, path /* judged */, method;
};

struct route_match {
    unsigned index; /* of the rule */
    unsigned name_count;
    struct span_pair
        names[ROUTE_NAMES_MAX]; /* names borrow from the rule, values from query.path */
};

struct route_table;

/* Compile; borrows the rules.  Matching cost does not grow with the number of rules that cannot match.
 * NULL when memory is out or a rule has a fault (route_rule_fault). */
struct route_table *route_table_new(const struct route_rule *rules, unsigned count);
void route_table_free(struct route_table *table);

/* Find the first rule in file order that matches; false when none does, and *match is then undefined.
 * Allocates nothing; looks at no more of a long path or host than the longest rule has. */
bool route_table_find(const struct route_table *table, const struct route_query *query,
                      struct route_match *match);

/* Checks host, methods, and path template or prefix (which must be spelled as judged, with nothing that
 * allow_path does not have); the sentence says what is wrong, NULL when nothing is. */
const char *route_rule_fault(const struct route_rule *rule);

/* Does `earlier` match everything that `later` matches?  (Then `later` can never be reached.)  May say
 * no where a proof is hard.  Both rules are without fault. */
bool route_rule_covers(const struct route_rule *earlier, const struct route_rule *later);

#endif
