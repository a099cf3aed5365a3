/* SPDX-License-Identifier: Apache-2.0 */
/* base_fmt_memo.h - numbers that come again and again (limits, starts of windows, times): their text is kept.  Takes: a
 * number.  Gives: its text in a dozen instructions where a number of ten digits costs fifty. */
#ifndef SLUICE_BASE_FMT_MEMO_H
#define SLUICE_BASE_FMT_MEMO_H

#include "base/base_fmt.h"

#define FMT_MEMO_BITS 6

/* Owner: whoever embeds it.  Thread: the owner's.  All zeroes is an empty one. */
struct fmt_memo {
    struct fmt_memo_entry {
        char text[FMT_U32_MAX];
        uint16_t len; /* 0: free */
        uint32_t value;
    } entries[1 << FMT_MEMO_BITS];
};

/* fmt_u64 of a number that is likely to come again. */
static inline char *fmt_u32_memo(struct fmt_memo *memo, char *out, uint32_t value)
{
    struct fmt_memo_entry *entry =
        &memo->entries[(value * UINT32_C(0x9e3779b1)) >> (32 - FMT_MEMO_BITS)];
    if (entry->value != value || entry->len == 0) {
        char room[FMT_U64_MAX];
        entry->len = (uint16_t)(fmt_u64(room, value) - room);
        entry->value = value;
        memcpy(entry->text, room, sizeof(entry->text));
    }
    memcpy(out, entry->text, sizeof(entry->text));
    return out + entry->len;
}

#endif
