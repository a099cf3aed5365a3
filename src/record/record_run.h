/* SPDX-License-Identifier: Apache-2.0 */
/* record_run.h - finding, copying and keeping the pieces of record_memo.h; used by record_access.c alone. */
#ifndef SLUICE_RECORD_RECORD_RUN_H
#define SLUICE_RECORD_RECORD_RUN_H

#include "base/base_fmt_json.h"
#include "base/base_load.h"
#include "record/record_memo.h"

/* Does the kept text at `at` begin with this one?  Reads 16 bytes behind `at` at most where the value is shorter:
 * callers have compared the lengths, and a run has the room. */
static inline __attribute__((always_inline)) bool record_run_has(const char *at, struct span text)
{
    size_t len = text.len;
    if (len > 16)
        return memcmp(at, text.ptr, len) == 0;
    if (len >= 8)
        return ((load_u64(at) ^ load_u64(text.ptr)) |
                (load_u64(at + len - 8) ^ load_u64(text.ptr + len - 8))) == 0;
    if (len >= 4)
        return ((load_u32(at) ^ load_u32(text.ptr)) |
                (load_u32(at + len - 4) ^ load_u32(text.ptr + len - 4))) == 0;
    return len == 0 || (at[0] == text.ptr[0] && at[len / 2] == text.ptr[len / 2] &&
                        at[len - 1] == text.ptr[len - 1]);
}

static inline __attribute__((always_inline)) char *record_run_copy(char *out,
                                                                   const struct record_run *run)
{
    for (size_t at = 0; at < run->len; at += 64)
        memcpy(out + at, run->text + at, 64);
    return out + run->len;
}

static inline __attribute__((always_inline)) bool record_run_is(const struct record_run *run,
                                                                const struct record_made *of)
{
    return run->of.names[0] == of->names[0] && run->of.names[1] == of->names[1] &&
           run->of.names[2] == of->names[2] && run->of.key == of->key && run->of.more == of->more &&
           run->of.generation == of->generation && run->len != 0;
}

/* What was written from `begin` to `end` is kept, unless it is too long or `json` tells of something that the next line
 * would not tell. */
static inline void record_run_keep(struct record_run *run, const struct record_made *of,
                                   const struct fmt_json *json, const char *begin, const char *end)
{
    size_t len = (size_t)(end - begin);
    bool is_kept = len <= sizeof(run->text) && !json->cut && !json->bytes;
    run->of = *of;
    run->len = is_kept ? (uint32_t)len : 0;
    memcpy(run->text, begin, run->len);
}

/* Where a piece of what stands at this address is looked for. */
static inline unsigned record_run_place(const void *name, unsigned other)
{
    return ((unsigned)((uintptr_t)name >> 4) + other) % RECORD_RUNS;
}

#endif
