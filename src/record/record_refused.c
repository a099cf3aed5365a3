/* SPDX-License-Identifier: Apache-2.0 */
/* record_refused.c - see record_refused.h. */
#include "record/record_refused.h"

#include <string.h>

void record_refused_begin(struct record_refused *refused, uint64_t mono_us)
{
    if (mono_us >= refused->second_end_us) {
        refused->second_end_us = mono_us + 1000000;
        refused->in_second = 0;
    }
    if (++refused->in_second == RECORD_REFUSED_PER_S)
        refused->full_until_us = refused->second_end_us;
}

/* The row of this subject and window, else the one that may be taken for it. */
static struct record_refused_row *find_row(struct record_refused *refused,
                                           const struct record_refused_by *by, uint32_t period_s)
{
    struct record_refused_row *oldest = &refused->rows[0];
    for (unsigned i = 0; i < RECORD_REFUSED; i++) {
        struct record_refused_row *row = &refused->rows[i];
        if (row->wall_us != 0 && row->period_s == period_s &&
            memcmp(row->key, by->key, sizeof(row->key)) == 0 &&
            memcmp(row->quota_id, by->quota->id, sizeof(row->quota_id)) == 0)
            return row;
        if (row->number < oldest->number)
            oldest = row;
    }
    return oldest;
}

/* Cut between two characters where it is longer than the room. */
static uint8_t put_name(char *room, size_t size, struct span name, bool *is_cut)
{
    size_t len = name.len;
    *is_cut = len > size;
    if (*is_cut)
        for (len = size; len > 0 && ((unsigned char)name.ptr[len] & 0xc0) == 0x80;)
            len--;
    if (len != 0)
        memcpy(room, name.ptr, len);
    return (uint8_t)len;
}

void record_refused_add(struct record_refused *refused, uint64_t wall_us,
                        const struct record_refused_by *by)
{
    const struct quota_decision *decision = by->decision;
    const uint32_t period_s = by->limit == NULL ? 0 : by->limit->period_s;
    struct record_refused_row *row = find_row(refused, by, period_s);
    bool is_cut;
    row->wall_us = wall_us;
    row->number = ++refused->count;
    memcpy(row->key, by->key, sizeof(row->key));
    memcpy(row->quota_id, by->quota->id, sizeof(row->quota_id));
    row->period_s = period_s;
    row->limit = decision->limit;
    row->used = decision->limit > decision->remaining ? decision->limit - decision->remaining : 0;
    row->retry_after_s = decision->retry_after_s;
    row->kind = by->kind;
    row->is_degraded = decision->verdict == QUOTA_DEGRADED_REFUSE;
    row->window_len =
        by->limit == NULL ? 0 : (uint8_t)quota_window_text(row->window, by->limit, false);
    row->quota_len = put_name(row->quota, sizeof(row->quota), by->quota->name, &is_cut);
    row->route_len = put_name(row->route, sizeof(row->route), by->route, &is_cut);
    row->subject_len = put_name(row->subject, sizeof(row->subject), by->subject, &row->is_cut);
}
