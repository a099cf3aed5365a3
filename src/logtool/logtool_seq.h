/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_seq.h - the loss check: which numbers of each boot were seen, in whatever order files come.  Memory: 16 bytes for
 * each run of numbers without a gap. */
#ifndef SLUICE_LOGTOOL_SEQ_H
#define SLUICE_LOGTOOL_SEQ_H

#include "base/base_err.h"
#include "logtool/logtool_line.h"

#define LOGTOOL_BOOTS_MAX 4096
#define LOGTOOL_RUNS_MAX  65536 /* of one boot */

struct logtool_run {
    uint64_t from, to;
};

struct logtool_boot {
    char id[LOGTOOL_BOOT_MAX];
    uint8_t id_len;
    struct logtool_run *runs; /* in order, none touches the next */
    unsigned run_count, run_room, last;
    char previous[LOGTOOL_BOOT_MAX]; /* as its start line says; previous_len 0: nothing */
    uint8_t previous_len;
    uint64_t previous_seq;
    unsigned root; /* index of the first boot of the same service; see logtool_seq_link */
};

/* Owner: whoever embeds it.  All zeroes is an empty one. */
struct logtool_seq {
    struct logtool_boot *boots;
    unsigned boot_count, last;
    uint64_t duplicates;
};

/* Numbers that nobody has seen. */
struct logtool_gap {
    const struct logtool_boot *boot;
    uint64_t from, to;
};

/* Note a line.  *boot: its index.  *is_new: false when this very number was seen before (a file that was given twice, or
 * copied while it grew).  ERR_LIMIT: too many boots or gaps. */
MUST_USE enum err logtool_seq_take(struct logtool_seq *seq, const struct logtool_line *line,
                                   unsigned *boot, bool *is_new);

/* After the last line: give each boot its root.  Boots that a start line ties together served from one memory. */
void logtool_seq_link(struct logtool_seq *seq);

/* The gaps of all boots: up to `room` of them are put, the count is returned, *missing is the sum.  What lies before the
 * first number that was seen is none: the log was rotated there.  Behind the last one is one when a later boot's start
 * line says how far it went. */
uint64_t logtool_seq_gaps(const struct logtool_seq *seq, struct logtool_gap *gaps, unsigned room,
                          uint64_t *missing);

void logtool_seq_fini(struct logtool_seq *seq);

#endif
