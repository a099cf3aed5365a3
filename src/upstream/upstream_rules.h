/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_rules.h - when a server is left alone, and how often requests may be sent once more.  Takes: outcomes and
 * the time.  Gives: states.  Pure: reads no clock, allocates nothing, locks nothing. */
#ifndef SLUICE_UPSTREAM_RULES_H
#define SLUICE_UPSTREAM_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_statuses.h"

/* "health" of an upstream, without its checks.  Const after loading.  Owner: the plan. */
struct upstream_health_conf {
    uint32_t failures; /* in a row that eject a server; 0: none is ejected */
    uint64_t eject_base_us, eject_max_us;
    uint32_t eject_percent;   /* of the servers, at most at once */
    uint32_t panic_percent;   /* fewer usable: all are used; 0: never */
    struct statuses eject_on; /* answers that count as failures */
};

struct upstream_retry_conf {
    uint32_t percent; /* of the requests */
    uint32_t minimum; /* in UPSTREAM_BUDGET_US, however few requests there are */
};

/* ---- checks ---- */

/* What checks say of a server: it changes only after several results that agree.  At the beginning it is up, and the
 * first bad result takes it down (as in HAProxy). */
struct upstream_trial {
    bool is_begun, is_down;
    uint32_t run; /* results in a row that speak against it */
};

/* True when it has changed. */
bool upstream_trial_note(struct upstream_trial *trial, bool is_good, uint32_t rise, uint32_t fall);

/* ---- ejection ---- */

/* How often a server was ejected lately, and until when it is. */
struct upstream_ejection {
    uint32_t count;
    bool is_out;
    uint64_t until_us, returned_at_us;
};

/* Of that many servers, how many may be ejected at once? */
unsigned upstream_ejection_max(unsigned servers, uint32_t percent);
/* Eject: count x base long, at most max.  The count falls by one for every base time without a new ejection. */
void upstream_ejection_begin(struct upstream_ejection *ejection,
                             const struct upstream_health_conf *conf, uint64_t now_us);
void upstream_ejection_end(struct upstream_ejection *ejection, uint64_t now_us);

/* Fewer than percent of the servers are usable: rather all than so few (as in Envoy). */
bool upstream_is_panic(unsigned usable, unsigned servers, uint32_t percent);

/* ---- the retry budget ---- */

#define UPSTREAM_BUDGET_US 10000000 /* what "lately" means */

/* Two bounds, in thousandths of a try: how many may be in progress, and how many may still fail.  What gets an answer
 * costs nothing; what failed is not saved up for, so that failures never are more than their share of the requests. */
struct upstream_budget {
    uint64_t room_milli; /* in progress */
    int64_t left_milli;  /* failures; those in progress count as failed until they are not */
    uint32_t open;       /* in progress */
    uint64_t at_us;      /* when it was filled last; 0: never */
    /* When failures were left to the full last: requests before that bring none. */
    uint64_t full_us;
};

/* That many requests have begun since since_us, which is when the worker that has counted them filled it last: they bring
 * their share, or as much as the minimum allows for the time since anybody did, whichever is more; what is older than
 * UPSTREAM_BUDGET_US is forgotten, as if they had come evenly. */
void upstream_budget_fill(struct upstream_budget *budget, const struct upstream_retry_conf *conf,
                          uint64_t requests, uint64_t since_us, uint64_t now_us);
/* One extra try begins; false: it may not. */
bool upstream_budget_take(struct upstream_budget *budget);
/* One is over. */
void upstream_budget_end(struct upstream_budget *budget, bool is_answered);

#endif
