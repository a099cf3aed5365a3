/* SPDX-License-Identifier: Apache-2.0 */
/* loop_thread.c - as the header says.  Neither a name nor a priority that cannot be had is a failure: they
 * are favours, one to who looks, the other to the latency of what shares the processor. */
#include "loop/loop_thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>

enum err loop_thread_start(pthread_t *thread, const char *name, void *(*run)(void *arg), void *arg)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed != 0) {
        errno = failed;
        return ERR_SYSTEM;
    }
    (void)pthread_setname_np(*thread, name);
    return ERR_OK;
}

void loop_thread_give_way(void)
{
    const struct sched_param none = {0};
    (void)sched_setscheduler(0, SCHED_BATCH, &none); /* 0: the calling thread alone */
}
