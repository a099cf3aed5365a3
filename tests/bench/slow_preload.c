/* SPDX-License-Identifier: Apache-2.0 */
/* slow_preload.c - makes every epoll_wait() of a program cost some thousand instructions more, in a function of
 * a name that a report can be searched for: what scripts/check-instructions has to find. */
#include <stddef.h>
#include <sys/epoll.h>

#define TURNS 2000

__attribute__((noinline)) static void needless_work(void)
{
    for (volatile unsigned i = 0; i < TURNS; i++) {
    }
}

__attribute__((visibility("default"))) int epoll_wait(int epfd, struct epoll_event *events,
                                                      int maxevents, int timeout)
{
    needless_work();
    return epoll_pwait(epfd, events, maxevents, timeout, NULL);
}
