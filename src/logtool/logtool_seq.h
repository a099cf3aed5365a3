/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_seq.h - the loss check: which numbers of each boot were seen, in whatever order files come.  Memory: 16 bytes
 * for each run of numbers without a gap, and for a moment those of one boot twice.  A line moves few of them, whatever its
 * number. */
#ifndef SLUICE_LOGTOOL_SEQ_H
#define SLUICE_LOGTOOL_SEQ_H

#include "base/base_err.h"
#include "base/base_hash.h"
#include "logtool/logtool_line.h"

#define LOGTOOL_BOOTS_MAX    4096
#define LOGTOOL_RUNS_MAX     65536   /* of one boot */
#define LOGTOOL_RUNS_ALL_MAX 1048576 /* of all boots */

/* What verbs say of ERR_LIMIT. */
#define LOGTOOL_SEQ_TOO_MUCH "more than 4,096 boots, 65,536 gaps in one, or 1,048,576 in all"

struct logtool_run {
    uint64_t from, to;
};

/* In order.  They may touch each other, and never overlap. */
struct logtool_runs {
    struct logtool_run *runs;
    unsigned count, room;
};

struct logtool_boot {
    char id[LOGTOOL_BOOT_MAX];
    uint8_t id_len;
    struct logtool_runs kept;  /* most of them */
    struct logtool_runs fresh; /* a few that were begun lately, so that little moves for one more */
    unsigned last;             /* place in kept of the line before */
    char previous[LOGTOOL_BOOT_MAX]; /* as its start line says; previous_len 0: nothing */
    uint8_t previous_len;
    char heir_of[LOGTOOL_BOOT_MAX]; /* whose counters it took over; heir_of_len 0: nobody's */
    uint8_t heir_of_len;
    bool is_anew; /* its counters in memory began anew, since all of the service was started anew */
    bool
        is_sequel; /* the one before was killed: what that had not written yet is lost, and nobody knows how much */
    uint64_t previous_seq;
    uint64_t told_from, told_to; /* the first numbers that an event calls dropped; 0: none */
    unsigned root; /* index of the first boot of the same service; see logtool_seq_link */
};

/* Owner: whoever embeds it.  All zeroes is an empty one. */
struct logtool_seq {
    struct hash_key key;
    uint16_t *places; /* of boots: number + 1; 0: free */
    struct logtool_boot *boots;
    unsigned boot_count, last;
    unsigned run_count; /* of all boots */
    uint64_t duplicates;
    uint64_t told_lost,
        told_apart; /* lines that events call dropped; those of them without a place */
};

/* Numbers that nobody has seen. */
struct logtool_gap {
    const struct logtool_boot *boot;
    uint64_t from, to;
};

/* Note a line.  *boot: its index.  *is_new: false when this very number was seen before (a file that was given twice, or
 * copied while it grew).  ERR_LIMIT: LOGTOOL_SEQ_TOO_MUCH. */
MUST_USE enum err logtool_seq_take(struct logtool_seq *seq, const struct logtool_line *line,
                                   unsigned *boot, bool *is_new);

/* How many boots were killed with all of their service, so that the end of their lines may be missing. */
unsigned logtool_seq_killed(const struct logtool_seq *seq);

/* After the last line: give each boot its root.  Boots that a start line or an upgrade ties together served from one memory,
 * unless the service was started anew between them.  has_state: the configuration has a file for its counters; that it
 * was saved and read is not in the log, and is believed.  Of a service that was killed such a file may be older than what was
 * counted, so it begins anew all the same. */
void logtool_seq_link(struct logtool_seq *seq, bool has_state);

/* The gaps of all boots: up to `room` of them are put, the count is returned, *missing is the sum.  What lies before the
 * first number that was seen is none, unless an event says that it was dropped: the log was rotated there.  Behind the last
 * one is one when a later boot's start line says how far it went. */
uint64_t logtool_seq_gaps(const struct logtool_seq *seq, struct logtool_gap *gaps, unsigned room,
                          uint64_t *missing);

void logtool_seq_fini(struct logtool_seq *seq);

#endif
