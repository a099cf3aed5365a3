/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_verify.h - was any quota over-admitted?  Takes: the lines of one or many proxies, in any order, and the
 * configuration if there is one.  Gives: for each window of each subject what was admitted against the limit, what was lost
 * of the log, and what cannot be judged.
 *
 * Judged is, for each calendar window, the sum of what was charged less what was given back.  What a response added (a
 * cost above the estimate) is charged over the limit by design and told beside it in JSON.  A window of a subject that an
 * operator has reset may hold its limit once more for each reset.  A token bucket may let a full bucket pass and what
 * comes in one period; it is as large as the configuration says and operators have granted. */
#ifndef SLUICE_LOGTOOL_VERIFY_H
#define SLUICE_LOGTOOL_VERIFY_H

#include "logtool/logtool_books.h"
#include "logtool/logtool_names.h"
#include "logtool/logtool_read.h"
#include "logtool/logtool_seq.h"
#include "logtool/logtool_subject.h"

#define LOGTOOL_SERIES_MAX   1024  /* windows of quotas */
#define LOGTOOL_ORDERS_MAX   65536 /* of operators: resets, and as many grants */
#define LOGTOOL_EXCESS_SHOWN 50
#define LOGTOOL_GAPS_SHOWN   20

enum logtool_verdict {
    LOGTOOL_CLEAN,
    LOGTOOL_INCOMPLETE, /* nothing is wrong in what is there, but lines or charges are missing */
    LOGTOOL_EXCESS,
    LOGTOOL_NOTHING, /* there was no line */
};

/* One window of one quota, over all subjects. */
struct logtool_series {
    uint32_t quota, window; /* names */
    uint32_t period_s;      /* 0: it is none of the calendar */
    struct logtool_counted counted;
    bool is_slot, is_shadow, is_guess;
    bool is_bucket;                   /* by the configuration, or as its starts show */
    uint64_t charges, local, unnamed; /* unnamed: of lines without the subject */
    uint64_t astray;                  /* begun within a window of a quota that is no bucket */
    uint64_t windows, excess, unsure, resets, settled;
    struct logtool_book fullest; /* limit 0: none */
};

/* What an operator did to one subject of one quota. */
struct logtool_order {
    uint32_t quota, subject; /* names; the subject as it is shown */
    uint64_t at_us;
    uint32_t extra, for_s; /* of a grant */
};

struct logtool_orders {
    struct logtool_order *list; /* room for LOGTOOL_ORDERS_MAX */
    unsigned count;
};

struct logtool_excess {
    struct logtool_book book;
    uint64_t allowed; /* the limit, with resets and the like */
};

/* Owner: the verb.  Freed by: logtool_verify_fini. */
struct logtool_verify {
    const struct plan *plan; /* borrowed; may be NULL */
    struct logtool_names names;
    struct logtool_books books;
    struct logtool_seq seq;
    struct logtool_series *series;
    unsigned series_count;
    struct logtool_orders resets, grants;
    const char *limit; /* what was too much, after ERR_LIMIT */
    uint64_t requests, charged_lines;
    uint64_t cut; /* lines that had no room for all charges or subjects */
    char *room;   /* LOGTOOL_LINE_MAX */

    /* After the judgement. */
    struct logtool_excess excess[LOGTOOL_EXCESS_SHOWN]; /* the worst first */
    uint64_t excess_count, windows, unsure;
    struct logtool_gap gaps[LOGTOOL_GAPS_SHOWN];
    uint64_t gap_count, missing;
};

MUST_USE enum err logtool_verify_init(struct logtool_verify *verify, const struct plan *plan);
/* A logtool_line_fn.  ERR_LIMIT: verify->limit says of what there is too much. */
MUST_USE enum err logtool_verify_take(void *verify, const struct logtool_line *line);
/* After the last line. */
MUST_USE enum err logtool_verify_judge(struct logtool_verify *verify,
                                       const struct logtool_reading *reading,
                                       enum logtool_verdict *verdict);
void logtool_verify_fini(struct logtool_verify *verify);

/* What came out, for people and as JSON; malloc'ed, NULL when there is no memory. */
char *logtool_verify_text(const struct logtool_verify *verify,
                          const struct logtool_reading *reading, enum logtool_verdict verdict);
char *logtool_verify_json(const struct logtool_verify *verify,
                          const struct logtool_reading *reading, enum logtool_verdict verdict);

#endif
