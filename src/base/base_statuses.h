/* SPDX-License-Identifier: Apache-2.0 */
/* base_statuses.h - a few statuses of responses, as a configuration names them: classes ("2xx") and single codes
 * ("404").  Pure. */
#ifndef SLUICE_BASE_STATUSES_H
#define SLUICE_BASE_STATUSES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"

#define STATUSES_CODES_MAX 16

/* All zeroes: none is named. */
struct statuses {
    uint16_t classes; /* bit 2: "2xx" */
    uint8_t code_count;
    uint16_t codes[STATUSES_CODES_MAX];
};

/* "2xx" or "404": NULL, or what is wrong with it. */
const char *statuses_add(struct statuses *statuses, struct span text);
/* Is this single status named? */
bool statuses_names(const struct statuses *statuses, unsigned status);
/* Is it named, or its class? */
bool statuses_has(const struct statuses *statuses, unsigned status);

static inline bool statuses_is_empty(const struct statuses *statuses)
{
    return statuses->classes == 0 && statuses->code_count == 0;
}

#endif
