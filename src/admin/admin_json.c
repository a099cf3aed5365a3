/* SPDX-License-Identifier: Apache-2.0 */
/* admin_json.c - see admin_json.h. */
#include "admin/admin_json.h"

#include "base/base_fmt.h"

json_t *admin_json_number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

json_t *admin_json_text(struct span text)
{
    json_t *json = json_stringn(text.ptr == NULL ? "" : text.ptr, text.len);
    return json != NULL ? json : json_string("(bytes)");
}

json_t *admin_json_instant(uint64_t wall_us)
{
    char out[FMT_RFC3339_MAX];
    return json_stringn(out, (size_t)(fmt_rfc3339_ms(out, wall_us) - out));
}

json_t *admin_json_sum(struct metrics_registry *metrics, metrics_slot slot)
{
    return admin_json_number(slot == METRICS_SLOT_LOST ? 0 : metrics_registry_sum(metrics, slot));
}
