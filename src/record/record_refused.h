/* SPDX-License-Identifier: Apache-2.0 */
/* record_refused.h - who was refused lately, and by what.  Takes: refusals of quotas.  Gives: a row for each subject and window
 * that refused it, with what was said last.  Pure: the time is an argument.  Never: allocates, keeps what no log would show.
 *
 * Bounded: RECORD_REFUSED rows, the one that was silent longest gives way; and RECORD_REFUSED_PER_S a second, so that a flood of
 * refusals costs a comparison each.  Those that were passed over are counted. */
#ifndef SLUICE_RECORD_RECORD_REFUSED_H
#define SLUICE_RECORD_RECORD_REFUSED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"
#include "quota/quota.h"

#define RECORD_REFUSED             32
#define RECORD_REFUSED_PER_S       32
#define RECORD_REFUSED_NAME_MAX    64 /* of a quota and a route; a longer one is cut */
#define RECORD_REFUSED_SUBJECT_MAX 80

struct record_refused_row {
    uint64_t wall_us; /* 0: free */
    uint64_t number;  /* of the refusal among those that were kept */
    uint8_t key[16];
    uint8_t quota_id[16];
    uint32_t period_s;      /* of the window; 0: slots */
    uint32_t used, limit;   /* as the client was told */
    uint32_t retry_after_s; /* 0: waiting does not help */
    uint8_t kind;           /* the caller's word for the subject */
    bool is_cut;            /* the subject is longer */
    bool is_degraded;       /* without the store */
    uint8_t quota_len, route_len, subject_len, window_len;
    char window[QUOTA_WINDOW_TEXT_MAX]; /* "minute"; empty: slots */
    char quota[RECORD_REFUSED_NAME_MAX];
    char route[RECORD_REFUSED_NAME_MAX];
    char subject[RECORD_REFUSED_SUBJECT_MAX];
};

/* Zeroed when new.  Owner: a worker.  Thread: the worker's. */
struct record_refused {
    uint64_t count;         /* ever kept */
    uint64_t skipped;       /* ever passed over */
    uint64_t full_until_us; /* monotonic: nothing is kept before */
    uint64_t second_end_us;
    uint32_t in_second;
    struct record_refused_row rows[RECORD_REFUSED];
};

/* One refusal; everything borrowed. */
struct record_refused_by {
    const struct quota *quota;
    const uint8_t *key;              /* 16 bytes */
    const struct quota_limit *limit; /* the window that refused; NULL: all slots are taken */
    const struct quota_decision *decision;
    struct span route, subject; /* the subject as logs show it */
    uint8_t kind;
};

/* The rest of record_refused_may. */
void record_refused_begin(struct record_refused *refused, uint64_t mono_us);

/* May one more be kept now?  False: it was counted as passed over. */
static inline bool record_refused_may(struct record_refused *refused, uint64_t mono_us)
{
    if (mono_us < refused->full_until_us) {
        refused->skipped++;
        return false;
    }
    record_refused_begin(refused, mono_us);
    return true;
}

void record_refused_add(struct record_refused *refused, uint64_t wall_us,
                        const struct record_refused_by *by);

#endif
