/* SPDX-License-Identifier: Apache-2.0 */
/* record_memo.h - what lines of one worker have in common.  Takes: pieces of lines that were written, with what they
 * were made of.  Gives: them again for the next line of the same.  Names of the configuration are told by where they
 * stand and by its generation (see record.h), everything else by what it says. */
#ifndef SLUICE_RECORD_RECORD_MEMO_H
#define SLUICE_RECORD_RECORD_MEMO_H

#include "base/base_fmt_memo.h"

#define RECORD_RUN_BYTES 256 /* of a kept piece at most; copied 64 bytes at a time */
#define RECORD_RUNS      16  /* a power of two */

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

/* Owner: the worker.  All zeroes is an empty one. */
struct record_memo {
    uint64_t wall_ms;
    uint32_t generation;
    uint32_t begin_len; /* 0: none yet */
    char begin[64];     /* ,"ts":"...","gen":N,"id":" */
    struct fmt_memo numbers;
    struct record_run routings[RECORD_RUNS];  /* ,"listener":"... to "reused":true */
    struct record_run decisions[RECORD_RUNS]; /* ,"decision":"... to a subject's opening quote */
    struct record_run windows[RECORD_RUNS];   /* {"q":"... to "used": */
    struct record_run limits[RECORD_RUNS];    /* ,"limit":... to the brace */
};

#endif
