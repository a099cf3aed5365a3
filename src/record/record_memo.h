/* SPDX-License-Identifier: Apache-2.0 */
/* record_memo.h - what lines of one worker have in common.  Takes: pieces of lines that were written, with what they
 * were made of.  Gives: them again for the next line of the same.  Names of the configuration are told by where they
 * stand and by its generation (see record.h), everything else by what it says. */
#ifndef SLUICE_RECORD_RECORD_MEMO_H
#define SLUICE_RECORD_RECORD_MEMO_H

#include "base/base_fmt_memo.h"

#define RECORD_RUN_BYTES 256 /* of a kept piece at most; copied 64 bytes at a time */
#define RECORD_RUNS      16  /* a power of two */
#define RECORD_FRAMES    32  /* the same */
#define RECORD_TAILS     32  /* the same */

/* What a piece was made of.  The names are only compared, never read: they may be gone. */
struct record_made {
    const void *names[3];
    uint64_t key, more; /* numbers */
    uint32_t generation;
};

struct record_run {
    struct record_made of;
    uint32_t len; /* 0: free */
    char text[RECORD_RUN_BYTES];
};

/* Where the pieces of the line begin that was written last; only told until the next is. */
struct record_marks {
    const char *routing, *subject, *subject_end; /* the first subject's text */
    const char *used, *used_end; /* the number, of the last window; NULL: there is none */
    const char *bytes_out, *bytes_out_end, *times;
    bool is_whole; /* nothing was cut, nothing was not UTF-8 */
};

/* Of record_usual.h: what a frame and the tail of its window were made of.  Pointers are only compared, as above. */
struct record_frame_made {
    const void *names[4]; /* listener, route, identity, quota; all 0: it is free */
    uint64_t server_len;
    uint32_t generation, start_s, cost, what;
};
struct record_frame {
    struct record_frame_made of;
    unsigned routing_len, window_len;
    char server[64];
    char routing
        [RECORD_RUN_BYTES]; /* ,"listener":"... to a subject's opening quote; copied 64 bytes at a time */
    char window[RECORD_RUN_BYTES]; /* "},"quotas":[... to "used": */
};
struct record_tail_made {
    const char *end;
    uint32_t limit, reset_s, retry_after_s;
    uint16_t status;
    uint8_t source;
};
struct record_tail {
    struct record_tail_made of;
    unsigned limit_len, end_len; /* 0: free */
    char limit[128];             /* ,"limit":... to "bytes_out": */
    char end[32];                /* ,"end":"..." */
};

/* Owner: the worker.  All zeroes is an empty one. */
struct record_memo {
    uint64_t from_us; /* of the millisecond that `begin` tells */
    uint32_t generation;
    uint32_t begin_len; /* 0: none yet */
    char begin[64];     /* ,"ts":"...","gen":N,"id":" */
    struct fmt_memo numbers;
    struct record_run routings[RECORD_RUNS];  /* ,"listener":"... to "reused":true */
    struct record_run decisions[RECORD_RUNS]; /* ,"decision":"... to a subject's opening quote */
    struct record_run windows[RECORD_RUNS];   /* {"q":"... to "used": */
    struct record_run limits[RECORD_RUNS];    /* ,"limit":... to the brace */
    struct record_marks marks;
    struct record_frame frames[RECORD_FRAMES];
    struct record_tail tails[RECORD_TAILS];
};

void record_memo_begin_anew(struct record_memo *memo, uint64_t wall_us, uint32_t generation);

/* Lines of one millisecond begin alike, and one turn of the loop ends many requests. */
static inline __attribute__((always_inline)) char *
record_memo_begin(struct record_memo *memo, char *out, uint64_t wall_us, uint32_t generation)
{
    if (wall_us - memo->from_us >= 1000 || memo->generation != generation || memo->begin_len == 0)
        record_memo_begin_anew(memo, wall_us, generation);
    fmt_copy32(out, memo->begin);
    fmt_copy32(out + 32, memo->begin + 32);
    return out + memo->begin_len;
}

#endif
