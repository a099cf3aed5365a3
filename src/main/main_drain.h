/* SPDX-License-Identifier: Apache-2.0 */
/* main_drain.h - how the serving process stops: for a while it only says that it is not ready, so that whoever sends it
 * requests can turn to others; then its workers finish what they have, and a deadline ends that.  Takes: the order.  Gives:
 * one call when the loop may be left.  Never stops a worker. */
#ifndef SLUICE_MAIN_DRAIN_H
#define SLUICE_MAIN_DRAIN_H

#include <stdbool.h>

#include "base/base_err.h"
#include "loop/loop.h"

struct worker;

enum main_drain_state {
    MAIN_DRAIN_NONE,
    MAIN_DRAIN_ANNOUNCED, /* requests are taken as ever */
    MAIN_DRAIN_BEGUN,
};

/* Owner: the child.  Freed by: main_drain_fini.  Thread: the main one. */
struct main_drain {
    struct loop *loop;
    struct loop_alarm *alarm;
    enum main_drain_state state;
    struct worker *const *workers;
    unsigned count;
    uint64_t drain_us, until_us; /* how long, and until when (monotonic) */
    bool is_own;                 /* so long as who asked has said, not as configured */
    void (*on_end)(void *arg, unsigned unfinished);
    void *arg;
};

/* on_end: all is done, or time is over and so many connections are owed a response. */
MUST_USE enum err main_drain_init(struct main_drain *drain, struct loop *loop,
                                  void (*on_end)(void *arg, unsigned unfinished), void *arg);
void main_drain_fini(struct main_drain *drain);

struct main_drain_order {
    uint64_t announce_us, drain_us;
    bool is_own; /* drain_us is not the configured one */
};

/* Once; of later orders only a time of its own changes something: from then on, what is in progress has so long. */
void main_drain_begin(struct main_drain *drain, struct worker *const *workers, unsigned count,
                      const struct main_drain_order *order);

#endif
