/* SPDX-License-Identifier: Apache-2.0 */
/* admin_json.h - the values that answers of the admin interface are made of.  Takes: what the process knows.  Gives: JSON, or NULL
 * without memory, as config_json.h wants it. */
#ifndef SLUICE_ADMIN_ADMIN_JSON_H
#define SLUICE_ADMIN_ADMIN_JSON_H

#include <jansson.h>
#include <stdint.h>

#include "base/base_span.h"
#include "metrics/metrics.h"

json_t *admin_json_number(uint64_t value);

/* What is not UTF-8, as a path may be, is "(bytes)". */
json_t *admin_json_text(struct span text);

/* RFC 3339, with milliseconds. */
json_t *admin_json_instant(uint64_t wall_us);

/* Of all workers; 0 for a slot that was never had. */
json_t *admin_json_sum(struct metrics_registry *metrics, metrics_slot slot);

#endif
