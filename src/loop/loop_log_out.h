/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log_out.h - one target of the log and the block of lines that is on its way there; used by the log
 * alone.  The block lies in shared memory with the size that the file had before it, so a successor of
 * a killed writer finishes the block exactly where it broke off. */
#ifndef SLUICE_LOOP_LOG_OUT_H
#define SLUICE_LOOP_LOG_OUT_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/base_span.h"
#include "loop/loop_log_syslog.h"

#define LOOP_LOG_STAGE_BYTES (256u * 1024)
#define LOOP_LOG_RETRY_US    1000000

/* Why lines were not written; as bits, since one event tells of a row of them. */
enum loop_log_why {
    LOOP_LOG_WHY_RING = 1,     /* memory was full: the writer had no time */
    LOOP_LOG_WHY_READER = 2,   /* memory was full: the target took nothing */
    LOOP_LOG_WHY_DISK = 4,     /* the disk was full, or the file as large as it may be */
    LOOP_LOG_WHY_OPEN = 8,     /* the file could not be opened */
    LOOP_LOG_WHY_WRITE = 16,   /* a write failed otherwise */
    LOOP_LOG_WHY_SYSLOG = 32,  /* no daemon takes datagrams */
    LOOP_LOG_WHY_TOO_LONG = 64 /* an event had more than LOOP_LOG_EVENT_MAX bytes */
};
#define LOOP_LOG_WHYS 7
_Static_assert(LOOP_LOG_WHY_TOO_LONG == 1 << (LOOP_LOG_WHYS - 1), "each reason has a count");

/* Whole lines.  Owner: the shared mapping.  Thread: the writer's. */
struct loop_log_stage {
    _Atomic uint32_t len, done; /* bytes; all of it is written when they are equal */
    uint32_t lines;             /* with a number */
    uint64_t told_from; /* the line at told_at says what is missing from here on; 0: none does */
    uint32_t told_at, told_why;
    atomic_bool is_writing; /* a write was begun, and its end was not seen */
    bool is_begun;          /* dev, ino and start_bytes are known */
    uint64_t dev, ino, start_bytes;
    char data[LOOP_LOG_STAGE_BYTES];
};

enum loop_log_out_state {
    LOOP_LOG_OUT_OFF,
    LOOP_LOG_OUT_READY,   /* the block is written; more may come */
    LOOP_LOG_OUT_STALLED, /* the rest of the block waits for the reader of a pipe */
    LOOP_LOG_OUT_FAILING, /* until retry_at_us; lines are dropped meanwhile */
};

/* Owner: struct loop_log.  Freed by: loop_log_out_close.  Thread: the writer's. */
struct loop_log_out {
    struct loop_log_stage *stage;
    const char *name; /* "access" or "error", for messages */
    char target[PATH_MAX];
    enum loop_log_out_state state;
    int fd; /* -1: none */
    bool is_regular, is_socket;
    bool is_syslog;
    bool is_torn;     /* the file ends in a line that somebody else began: a newline goes first */
    bool was_stalled; /* since the writer asked last */
    unsigned why;     /* of the last failure */
    struct loop_log_syslog syslog;
    dev_t dev;
    ino_t ino;
    uint64_t retry_at_us; /* monotonic */
};

void loop_log_out_init(struct loop_log_out *out, struct loop_log_stage *stage, const char *name);

/* A descriptor for writing to the target without blocking; -1 with errno.  "off" has none (errno 0). */
int loop_log_target_open(const char *target);

/* Write to fd (taken; -1: none, as errno of the failed open tells) from now on.  What is left of the
 * block goes there when it did not all get into the old file. */
void loop_log_out_set(struct loop_log_out *out, int fd, int error, uint64_t mono_us);

/* Open the target again when it is failing and the time for that has come. */
void loop_log_out_retry(struct loop_log_out *out, uint64_t mono_us);

/* Write what can be written.  True when the target failed: then *lost is the part of the block, in whole lines,
 * that is given up. */
bool loop_log_out_flush(struct loop_log_out *out, uint64_t mono_us, struct span *lost);

bool loop_log_out_is_same(const struct loop_log_out *a, const struct loop_log_out *b);
void loop_log_out_close(struct loop_log_out *out);

#endif
