/* SPDX-License-Identifier: Apache-2.0 */
/* loop_alarm.c - precise timers, on libevent's own.  Moving an alarm later leaves the armed timer alone; it is
 * armed again when it fires early.  When libevent has no memory for it, the wheel takes it: it comes up to 250 ms late, but
 * it comes. */
#include <event2/event.h>
#include <stdlib.h>

#include "loop/loop_private.h"

/* Owner: who made it.  Freed by: loop_alarm_free.  Thread: the loop's. */
struct loop_alarm {
    struct loop *loop;
    struct event *event;
    struct loop_timer late;    /* when the event could not be armed */
    uint64_t due_us, armed_us; /* 0: off */
    void (*fn)(void *arg);
    void *arg;
};

static void alarm_arm(struct loop_alarm *alarm)
{
    uint64_t now_us = alarm->loop->mono_us;
    uint64_t wait_us = alarm->due_us > now_us ? alarm->due_us - now_us : 0;
    struct timeval wait = {(time_t)(wait_us / 1000000), (suseconds_t)(wait_us % 1000000)};
    alarm->armed_us = alarm->due_us;
    if (event_add(alarm->event, &wait) != 0)
        loop_timer_set(alarm->loop, &alarm->late, alarm->due_us);
}

static void alarm_look(void *arg)
{
    struct loop_alarm *alarm = arg;
    alarm->armed_us = 0;
    if (alarm->due_us == 0)
        return;
    if (alarm->due_us > alarm->loop->mono_us) {
        alarm_arm(alarm);
        return;
    }
    alarm->due_us = 0;
    alarm->fn(alarm->arg);
}

static void alarm_on_event(evutil_socket_t fd, short what, void *arg)
{
    struct loop_alarm *alarm = arg;
    (void)fd;
    (void)what;
    loop_touch(alarm->loop);
    alarm_look(alarm);
}

struct loop_alarm *loop_alarm_new(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct loop_alarm *alarm = calloc(1, sizeof(*alarm));
    if (alarm == NULL)
        return NULL;
    alarm->loop = loop;
    alarm->fn = fn;
    alarm->arg = arg;
    loop_timer_init(&alarm->late, alarm_look, alarm);
    alarm->event = event_new(loop->base, -1, 0, alarm_on_event, alarm);
    if (alarm->event == NULL) {
        free(alarm);
        return NULL;
    }
    return alarm;
}

void loop_alarm_set(struct loop_alarm *alarm, uint64_t due_us)
{
    alarm->due_us = due_us;
    if (due_us == 0 || (alarm->armed_us != 0 && alarm->armed_us <= due_us))
        return;
    alarm_arm(alarm);
}

void loop_alarm_free(struct loop_alarm *alarm)
{
    if (alarm == NULL)
        return;
    loop_timer_cancel(&alarm->late);
    event_free(alarm->event);
    free(alarm);
}
