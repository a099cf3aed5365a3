/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h - one thread's reactor: an event_base that is never touched from another thread, coarse
 * timers, precise alarms, tasks for the end of the turn, and a mailbox for other threads.  Gives one
 * clock reading per turn.  Never locks on the hot path. */
#ifndef SLUICE_LOOP_LOOP_H
#define SLUICE_LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_err.h"
#include "base/base_list.h"
#include "base/base_rng.h"
#include "metrics/metrics.h"

struct event_base;

#define LOOP_SCRATCH_BYTES 65536
#define LOOP_TICK_US       250000

struct loop_mailbox;
struct loop_wheel;

/* Owner: one thread.  Freed by: loop_free.  Thread: the owner's, but for loop_post and loop_stop. */
struct loop {
    struct event_base *base;
    uint64_t mono_us, wall_us;     /* read once per turn, after the wait: see loop_touch */
    bool is_fresh;                 /* they are this turn's */
    uint64_t turn;                 /* counts them */
    struct metrics_block *metrics; /* borrowed; this thread's */
    struct rng rng;
    char *scratch; /* LOOP_SCRATCH_BYTES; valid within one callback only */
    struct list tasks;
    struct loop_wheel *wheel;
    struct loop_mailbox *mailbox;
};

struct loop *loop_new(struct metrics_block *metrics);
void loop_free(struct loop *loop);

void loop_read_clocks(struct loop *loop);

/* First thing in every callback of the reactor: makes the clocks this turn's. */
static inline void loop_touch(struct loop *loop)
{
    if (!loop->is_fresh)
        loop_read_clocks(loop);
}

/* Runs until loop_stop. */
void loop_run(struct loop *loop);
/* From any thread; the loop returns after its current turn. */
void loop_stop(struct loop *loop);

/* Run fn(arg) on the loop's thread soon.  From any thread.  ERR_NOMEM when it cannot be queued. */
MUST_USE enum err loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);

/* The same in two halves, for what must not fail when its time has come: NULL when out of memory; posting takes the
 * letter. */
struct loop_letter *loop_letter_new(void (*fn)(void *arg), void *arg);
void loop_letter_post(struct loop *loop, struct loop_letter **letter);
void loop_letter_free(struct loop_letter *letter); /* one that was not posted */

/* Runs once at the end of the turn in which it was scheduled; scheduling again is harmless. */
struct loop_task {
    struct list node;
    void (*fn)(void *arg);
    void *arg;
};
void loop_task_init(struct loop_task *task, void (*fn)(void *arg), void *arg);
void loop_task_schedule(struct loop *loop, struct loop_task *task);
void loop_task_cancel(struct loop_task *task);

/* Coarse: fires at most one tick (250 ms) and one turn late, never early.  Moving it later costs a store. */
struct loop_timer {
    struct list node;
    uint64_t due_us; /* monotonic; 0 = off */
    uint64_t slot_us;
    void (*fn)(void *arg);
    void *arg;
};
void loop_timer_init(struct loop_timer *timer, void (*fn)(void *arg), void *arg);
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_us);
void loop_timer_cancel(struct loop_timer *timer);

/* Precise (about a millisecond): for decision and command deadlines. */
struct loop_alarm;
struct loop_alarm *loop_alarm_new(struct loop *loop, void (*fn)(void *arg), void *arg);
void loop_alarm_set(struct loop_alarm *alarm, uint64_t due_us); /* monotonic; 0 = off */
void loop_alarm_free(struct loop_alarm *alarm);

#endif
