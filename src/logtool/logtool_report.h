/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_report.h - what a log tells in sum.  Takes: lines.  Gives: counts by route, quota, subject, tier and ending, times,
 * and the loss check; as text, as JSON or as a page of HTML. */
#ifndef SLUICE_LOGTOOL_REPORT_H
#define SLUICE_LOGTOOL_REPORT_H

#include "logtool/logtool_books.h"
#include "logtool/logtool_histogram.h"
#include "logtool/logtool_names.h"
#include "logtool/logtool_read.h"
#include "logtool/logtool_seq.h"
#include "logtool/logtool_subject.h"
#include "logtool/logtool_timeline.h"

#define LOGTOOL_ROWS_MAX  1024 /* routes, windows of quotas, tiers, endings: of each */
#define LOGTOOL_TOP       10
#define LOGTOOL_GAPS_TOLD 20

/* Requests that have something in common. */
struct logtool_row {
    uint32_t name;
    uint64_t requests, refused, near, errors; /* errors: status 5xx */
    struct logtool_histogram *times;          /* t_total; of routes alone */
};

struct logtool_rows {
    struct logtool_row *rows; /* LOGTOOL_ROWS_MAX */
    unsigned count;
};

/* A quota, for its subjects. */
struct logtool_report_quota {
    uint32_t name;
    struct logtool_counted counted;
    uint32_t top[LOGTOOL_TOP]; /* books, the most often refused first */
    unsigned top_count;
    uint64_t subjects, refused_subjects;
};

/* Owner: the verb.  Freed by: logtool_report_fini. */
struct logtool_report {
    const struct plan *plan; /* borrowed; may be NULL */
    struct logtool_names names;
    struct logtool_seq seq;
    struct logtool_books books; /* kept, refused and near of each subject of each quota */
    struct logtool_rows routes, windows, tiers, ends;
    struct logtool_report_quota *quotas; /* LOGTOOL_ROWS_MAX */
    unsigned quota_count;
    uint64_t requests, decisions[LOGTOOL_DECISIONS], statuses[6]; /* [1] to [5]; [0]: none */
    struct logtool_histogram total, store, first;
    struct logtool_timeline over_time;
    const char *limit; /* what was too much, after ERR_LIMIT */
    char *room;        /* LOGTOOL_LINE_MAX */

    struct logtool_gap gaps[LOGTOOL_GAPS_TOLD]; /* after logtool_report_end */
    uint64_t gap_count, missing;
};

MUST_USE enum err logtool_report_init(struct logtool_report *report, const struct plan *plan);
/* A logtool_line_fn. */
MUST_USE enum err logtool_report_take(void *report, const struct logtool_line *line);
/* After the last line. */
void logtool_report_end(struct logtool_report *report);
void logtool_report_fini(struct logtool_report *report);

/* malloc'ed; NULL: no memory. */
char *logtool_report_text(const struct logtool_report *report,
                          const struct logtool_reading *reading);
char *logtool_report_json(const struct logtool_report *report,
                          const struct logtool_reading *reading);
/* One page that needs no other file. */
char *logtool_report_html(const struct logtool_report *report,
                          const struct logtool_reading *reading);

/* What each of them shows. */
struct logtool_report_shown {
    const struct logtool_report *report;
    const struct logtool_reading *reading;
};

#endif
