/* SPDX-License-Identifier: Apache-2.0 */
/* loop_thread.h - a thread of this process: it has a name and takes no signal.  Takes: a function and its
 * argument.  Never joins. */
#ifndef SLUICE_LOOP_THREAD_H
#define SLUICE_LOOP_THREAD_H

#include <pthread.h>

#include "base/base_err.h"

/* name: at most 15 bytes; ps and top show it.  ERR_SYSTEM with errno: nothing runs. */
MUST_USE enum err loop_thread_start(pthread_t *thread, const char *name, void *(*run)(void *arg),
                                    void *arg);

/* The calling thread's work can wait: it takes the processor from no thread that serves when it wakes up (sched(7): SCHED_BATCH),
 * and has its share of a contested one. */
void loop_thread_give_way(void);

#endif
