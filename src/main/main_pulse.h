/* SPDX-License-Identifier: Apache-2.0 */
/* main_pulse.h - does the whole serving process answer?  Takes: a question with a number.  Gives: the number back, once the
 * main thread and every worker have taken a turn of their loops since. */
#ifndef SLUICE_MAIN_PULSE_H
#define SLUICE_MAIN_PULSE_H

#include "base/base_err.h"
#include "loop/loop.h"

struct worker;

/* Owner: the child.  Freed by: main_pulse_fini.  Thread: the main one. */
struct main_pulse {
    struct loop *loop;
    struct loop_alarm *poll;
    struct worker *const *workers;
    unsigned count, told; /* workers, and those of them who have been asked */
    uint32_t number;
    void (*answer)(void *arg, uint32_t number);
    void *arg;
};

MUST_USE enum err main_pulse_init(struct main_pulse *pulse, struct loop *loop,
                                  void (*answer)(void *arg, uint32_t number), void *arg);
void main_pulse_fini(struct main_pulse *pulse);
/* number is not 0 and differs from the one before. */
void main_pulse_ask(struct main_pulse *pulse, struct worker *const *workers, unsigned count,
                    uint32_t number);

#endif
