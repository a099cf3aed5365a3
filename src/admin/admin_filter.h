/* SPDX-License-Identifier: Apache-2.0 */
/* admin_filter.h - which lines of the access log somebody wants to see.  Takes: "route=search & status>=500", and lines.  Gives:
 * yes or no.  Looks at the fields of a line itself, and into "subjects" and "refused_by".  Allocates nothing.  Pure.
 *
 *   conditions  condition { "&" condition }
 *   condition   field ("=" | "!=") value { "|" value }
 *             | field (">" | ">=" | "<" | "<=") number or time
 *   value       text up to "&" or "|" without spaces at its ends, or "text" in quotes
 *
 * A line without the field does not meet the condition.  Times ("t_...") are in microseconds, or have a unit: 100ms. */
#ifndef SLUICE_ADMIN_ADMIN_FILTER_H
#define SLUICE_ADMIN_ADMIN_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"

#define ADMIN_FILTER_TEXT_MAX   1000 /* of an expression */
#define ADMIN_FILTER_CONDITIONS 16
#define ADMIN_FILTER_VALUES     32

enum admin_filter_sign {
    ADMIN_FILTER_EQUAL,
    ADMIN_FILTER_UNEQUAL,
    ADMIN_FILTER_ABOVE,
    ADMIN_FILTER_ABOVE_OR_EQUAL,
    ADMIN_FILTER_BELOW,
    ADMIN_FILTER_BELOW_OR_EQUAL,
};

/* As it stands in a line: escaped.  In `text` of the filter. */
struct admin_filter_value {
    uint32_t off, len;
    uint64_t number; /* of a field that is a number or a time */
};

struct admin_filter_condition {
    uint8_t field; /* row of the table of fields */
    uint8_t sign;  /* enum admin_filter_sign */
    uint8_t first, count;
};

/* No conditions: every line. */
struct admin_filter {
    unsigned count, value_count;
    uint32_t text_len;
    struct admin_filter_condition conditions[ADMIN_FILTER_CONDITIONS];
    struct admin_filter_value values[ADMIN_FILTER_VALUES];
    char text[6 * ADMIN_FILTER_TEXT_MAX + 16];
};

/* False: `why` says what is wrong, and at which byte (the first is 1). */
bool admin_filter_parse(struct admin_filter *filter, struct span text, char why[256]);

/* line: an object of JSON, or anything. */
bool admin_filter_has(const struct admin_filter *filter, struct span line);

#endif
