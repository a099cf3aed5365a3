/* SPDX-License-Identifier: Apache-2.0 */
/* loop_wheel.c - coarse timers: a wheel of 256 slots of 250 ms.  A timer that is only moved later keeps its
 * slot and is looked at again when the slot comes by, so touching a deadline costs one store.  Never
 * fires early. */
#include <event2/event.h>
#include <stdlib.h>

#include "loop/loop_private.h"

#define WHEEL_SLOTS 256

/* Owner: the loop.  Freed by: loop_wheel_free.  Thread: the loop's. */
struct loop_wheel {
    struct loop *loop;
    struct event *tick;
    uint64_t done_tick; /* the last tick whose slot was emptied */
    uint64_t due_us;    /* when the next tick should come */
    struct list slots[WHEEL_SLOTS];
};

static void wheel_link(struct loop_wheel *wheel, struct loop_timer *timer)
{
    uint64_t tick = (timer->due_us + LOOP_TICK_US - 1) / LOOP_TICK_US;
    if (tick <= wheel->done_tick)
        tick = wheel->done_tick + 1;
    if (tick > wheel->done_tick + WHEEL_SLOTS - 1)
        tick = wheel->done_tick + WHEEL_SLOTS - 1;
    timer->slot_us = tick * LOOP_TICK_US;
    list_push_back(&wheel->slots[tick % WHEEL_SLOTS], &timer->node);
}

static void wheel_turn_slot(struct loop_wheel *wheel, uint64_t tick)
{
    struct list *slot = &wheel->slots[tick % WHEEL_SLOTS];
    struct list ready;
    list_take_all(&ready, slot);
    while (!list_is_empty(&ready)) {
        struct loop_timer *timer = LIST_OF(ready.next, struct loop_timer, node);
        list_remove(&timer->node);
        if (timer->due_us > wheel->loop->mono_us) {
            wheel_link(wheel, timer);
        } else {
            timer->due_us = 0;
            timer->fn(timer->arg);
        }
    }
}

/* What else wanted this thread meanwhile had to wait as long. */
static void wheel_measure_lag(struct loop_wheel *wheel)
{
    uint64_t now_us = wheel->loop->mono_us;
    bool is_late = now_us > wheel->due_us;
    metrics_observe_us(wheel->loop->metrics, METRICS_LOOP_LAG,
                       is_late ? now_us - wheel->due_us : 0);
    wheel->due_us += LOOP_TICK_US;
    if (!is_late || wheel->due_us <= now_us) /* the reactor counts from here on too */
        wheel->due_us = now_us + LOOP_TICK_US;
}

static void wheel_on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct loop_wheel *wheel = arg;
    (void)fd;
    (void)what;
    loop_touch(wheel->loop);
    wheel_measure_lag(wheel);
    uint64_t now_tick = wheel->loop->mono_us / LOOP_TICK_US;
    if (now_tick >
        wheel->done_tick + WHEEL_SLOTS) /* the process was stopped: once round is enough */
        wheel->done_tick = now_tick - WHEEL_SLOTS;
    while (wheel->done_tick < now_tick)
        wheel_turn_slot(wheel, ++wheel->done_tick);
}

struct loop_wheel *loop_wheel_new(struct loop *loop)
{
    struct loop_wheel *wheel = calloc(1, sizeof(*wheel));
    const struct timeval period = {0, LOOP_TICK_US};
    if (wheel == NULL)
        return NULL;
    wheel->loop = loop;
    wheel->done_tick = loop->mono_us / LOOP_TICK_US;
    wheel->due_us = loop->mono_us + LOOP_TICK_US;
    for (unsigned i = 0; i < WHEEL_SLOTS; i++)
        list_init(&wheel->slots[i]);
    wheel->tick = event_new(loop->base, -1, EV_PERSIST, wheel_on_tick, wheel);
    if (wheel->tick == NULL || event_add(wheel->tick, &period) != 0) {
        loop_wheel_free(wheel);
        return NULL;
    }
    return wheel;
}

void loop_wheel_free(struct loop_wheel *wheel)
{
    if (wheel == NULL)
        return;
    if (wheel->tick != NULL)
        event_free(wheel->tick);
    free(wheel);
}

void loop_timer_init(struct loop_timer *timer, void (*fn)(void *arg), void *arg)
{
    list_init(&timer->node);
    timer->due_us = 0;
    timer->slot_us = 0;
    timer->fn = fn;
    timer->arg = arg;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_us)
{
    timer->due_us = due_us;
    if (!list_is_empty(&timer->node)) {
        if (timer->slot_us <= due_us + LOOP_TICK_US)
            return;
        list_remove(&timer->node);
    }
    wheel_link(loop->wheel, timer);
}

void loop_timer_cancel(struct loop_timer *timer)
{
    timer->due_us = 0;
    list_remove(&timer->node);
}
