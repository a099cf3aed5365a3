/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_line.h - one line of an access log as a record.  Takes: its bytes.  Gives: the fields that offline tools look
 * at, or that it cannot be read.  Members that are not known are passed over.  Pure. */
#ifndef SLUICE_LOGTOOL_LINE_H
#define SLUICE_LOGTOOL_LINE_H

#include "logtool/logtool_scan.h"
#include "quota/quota.h"

#define LOGTOOL_LINE_MAX     8192 /* bytes; Sluice writes no longer ones */
#define LOGTOOL_BOOT_MAX     16   /* bytes of "boot" */
#define LOGTOOL_SUBJECTS_MAX 65
#define LOGTOOL_WINDOWS_MAX  (2 * QUOTA_MAX_PER_ROUTE * QUOTA_WINDOWS_MAX)

enum logtool_decision {
    LOGTOOL_NONE,
    LOGTOOL_ALLOW,
    LOGTOOL_REFUSE,
    LOGTOOL_EXEMPT,
    LOGTOOL_DEGRADED_ALLOW,
    LOGTOOL_DEGRADED_REFUSE,
    LOGTOOL_DECISIONS,
};
extern const struct span LOGTOOL_DECISION_WORDS[LOGTOOL_DECISIONS];

/* One entry of "quotas". */
struct logtool_window {
    struct span quota, window; /* "user", "5 minute" */
    uint64_t start_s, charged, used, limit, refunded, added, reset_s;
    bool has_numbers; /* it was read: start, used and limit are there (of a slot: used and limit) */
    bool is_slot;     /* of in_flight: it has no start */
    bool is_shadow, is_refused, is_local;
};

/* Spans borrow from the line or from texts.  Numbers that are not there are UINT64_MAX, but for those of a window. */
struct logtool_line {
    struct span boot;
    uint64_t seq, ts_us, generation;

    struct span event; /* empty: a request */
    struct span subject, identity, quota, previous_boot, from_boot;
    struct span previous; /* how the service before this one ended */
    uint64_t lost, from_seq, previous_seq, extra, for_s;

    struct span id, client_ip, method, host, path, listener, route, upstream, server, tier, end;
    enum logtool_decision decision;
    bool is_near, is_cut, is_bytes;
    bool has_all_charges; /* of a line that is cut: no window and no subject is missing */
    uint64_t cost, status;
    uint64_t t_header_us, t_store_us, t_queue_us, t_connect_us, t_first_us, t_total_us;
    struct span_pair subjects[LOGTOOL_SUBJECTS_MAX]; /* identity, text */
    unsigned subject_count;
    struct logtool_window windows[LOGTOOL_WINDOWS_MAX];
    unsigned window_count;
    struct span refused_by[LOGTOOL_WINDOWS_MAX];
    unsigned refused_by_count;

    char texts[LOGTOOL_LINE_MAX]; /* what had escapes */
    size_t texts_len;
};

/* False: it is no line of ours, cut off, or of another version; `why` is a static sentence. */
bool logtool_line_parse(struct logtool_line *line, struct span bytes, const char **why);

#endif
