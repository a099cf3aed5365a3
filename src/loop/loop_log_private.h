/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log_private.h - what the files of the log share; included by loop_log*.c alone. */
#ifndef SLUICE_LOOP_LOG_PRIVATE_H
#define SLUICE_LOOP_LOG_PRIVATE_H

#include <pthread.h>

#include "loop/loop_log.h"
#include "loop/loop_log_out.h"
#include "loop/loop_log_ring.h"
#include "loop/loop_log_tap.h"
#include "loop/loop_log_last.h"

#define LOOP_LOG_SIDE_RING_BYTES (256u * 1024)

/* The two streams; each has a target.  Lines of the access stream are numbered. */
enum loop_log_stream {
    LOOP_LOG_ACCESS,
    LOOP_LOG_ERROR,
    LOOP_LOG_STREAMS
};

/* Rings behind those of the workers: one line of either kind at a time, from any thread of the child under
 * side_lock, or from the parent. */
enum loop_log_side {
    LOOP_LOG_CHILD_EVENTS,
    LOOP_LOG_CHILD_ERRORS,
    LOOP_LOG_PARENT_EVENTS,
    LOOP_LOG_PARENT_ERRORS,
    LOOP_LOG_SIDES
};

/* One life of a serving process. */
struct loop_log_boot {
    char id[LOOP_LOG_BOOT_ID + 1];
    uint64_t seq; /* the last number given */
};

/* How the service that wrote to the same file before this one ended. */
enum loop_log_before {
    LOOP_LOG_BEFORE_NONE, /* nothing is known of one */
    LOOP_LOG_BEFORE_STOPPED,
    LOOP_LOG_BEFORE_KILLED /* what it had not written is lost */
};

/* What a pass of the writer changes, all of it or nothing: filled first, then armed, then applied.  A
 * successor applies an armed one again. */
struct loop_log_intent {
    atomic_bool is_armed;
    uint64_t seq, lost_from, error_lost, too_long_told;
    uint64_t dropped[LOOP_LOG_WHYS];
    uint32_t lost_why;
    struct {
        bool is_new;
        uint32_t len, lines, told_at, told_why;
        uint64_t told_from;
    } stage[LOOP_LOG_STREAMS];
};

/* In shared memory, in front of the stages and rings. */
struct loop_log_shared {
    _Atomic uint64_t lines, write_errors;
    _Atomic uint64_t dropped[LOOP_LOG_WHYS]; /* each by the lowest bit of its reason */
    _Atomic uint32_t boot_index;             /* of boots: this one; the other is the previous */
    _Atomic uint64_t seq;                    /* of this boot, for status */
    uint32_t starts;                         /* boots begun so far */
    _Atomic uint32_t generation;             /* of the configuration, for the start line */
    enum loop_log_before before;             /* of the first boot */
    uint64_t lost_from;        /* numbers from here to the last are missing; 0: none */
    uint32_t lost_why;         /* enum loop_log_why */
    _Atomic uint64_t too_long; /* events */
    uint64_t too_long_told;
    uint64_t error_lost; /* lines of the error log */
    struct loop_log_boot boots[2];
    struct loop_log_intent intent;
    struct loop_log_stage stages[LOOP_LOG_STREAMS];
};

/* One per process.  Owner: the parent's, and by inheritance the child's, main.  Freed by: loop_log_free. */
struct loop_log {
    struct loop_log_shared *shared;
    size_t shared_bytes;
    unsigned ring_count;          /* of workers and main thread */
    struct loop_log_ring **rings; /* ring_count, then LOOP_LOG_SIDES */
    int wake_fd;
    bool is_child;  /* whose side rings are used */
    bool is_beside; /* loop_log_begin_beside */
    pthread_mutex_t side_lock;
    struct loop_log_tap tap; /* who watches access lines */

    /* the writer's */
    struct loop_log_out outs[LOOP_LOG_STREAMS];
    struct metrics_block *metrics;
    bool is_draining_left; /* lines of the previous boot are being written */
    bool is_start_due;     /* the start line is not written yet */
    bool is_merged;        /* both streams go to one file */
    bool is_busy;          /* some ring was a quarter full when the last pass began */
    unsigned first_ring;   /* where the next pass begins, so that no ring starves */
    pthread_t thread;
    bool has_thread;
    struct {
        pthread_mutex_t lock;
        bool stop, reopen;
        struct {
            bool is_set;
            int fd, error;
            char target[PATH_MAX];
        } retarget[LOOP_LOG_STREAMS];
    } orders;
};

/* loop_log_writer.c: one pass from the rings to the targets; true when more is waiting and can be written. */
bool loop_log_pass(struct loop_log *log);
/* What a killed writer left half done. */
void loop_log_recover(struct loop_log *log);
/* Begin a new boot, as soon as the lines of the previous one are written. */
void loop_log_enter_boot(struct loop_log *log);
/* Is everything that was committed written, or beyond writing? */
bool loop_log_is_empty(const struct loop_log *log);

#endif
