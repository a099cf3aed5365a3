/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c - the turn of one thread's reactor, its tasks and its clocks.  Takes: libevent's event_base.
 * Gives: callbacks with fresh clocks.  Never uses libevent's own locking: a base belongs to one thread. */
#include "loop/loop.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>

#include "base/base_clock.h"
#include "loop/loop_private.h"

static struct event_base *loop_base_new(void)
{
    struct event_config *config = event_config_new();
    if (config == NULL)
        return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    /* Streams rely on both.  When epoll cannot be had at this moment libevent would take poll(), which has neither. */
    event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

struct loop *loop_new(struct metrics_block *metrics)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return NULL;
    list_init(&loop->tasks);
    loop->metrics = metrics;
    rng_seed(&loop->rng);
    loop_read_clocks(loop);
    loop->base = loop_base_new();
    loop->scratch = malloc(LOOP_SCRATCH_BYTES);
    if (loop->base != NULL) {
        loop->wheel = loop_wheel_new(loop);
        loop->mailbox = loop_mailbox_new(loop);
    }
    if (loop->scratch == NULL || loop->wheel == NULL || loop->mailbox == NULL) {
        loop_free(loop);
        return NULL;
    }
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    loop_mailbox_free(loop->mailbox);
    loop_wheel_free(loop->wheel);
    if (loop->base != NULL)
        event_base_free(loop->base);
    free(loop->scratch);
    free(loop);
}

/* Once a turn: not inlined into every callback, which would look for an overrun of what it has on its stack. */
__attribute__((noinline)) void loop_read_clocks(struct loop *loop)
{
    loop->mono_us = clock_mono_us();
    loop->wall_us = clock_wall_us();
    loop->is_fresh = true;
    loop->turn++;
}

/* Tasks that schedule themselves again run in the next turn, so that no task can starve the sockets. */
static void loop_run_tasks(struct loop *loop)
{
    struct list ready;
    if (list_is_empty(&loop->tasks))
        return;
    loop_touch(loop);
    list_take_all(&ready, &loop->tasks);
    while (!list_is_empty(&ready)) {
        struct loop_task *task = LIST_OF(ready.next, struct loop_task, node);
        list_remove(&task->node);
        task->fn(task->arg);
    }
}

void loop_run(struct loop *loop)
{
    while (!loop_mailbox_is_stopped(loop->mailbox)) {
        int flags = EVLOOP_ONCE;
        if (!list_is_empty(&loop->tasks))
            flags |= EVLOOP_NONBLOCK;
        loop->is_fresh = false;
        event_base_loop(loop->base, flags);
        loop_run_tasks(loop);
    }
}

void loop_stop(struct loop *loop)
{
    loop_mailbox_stop(loop->mailbox);
}

void loop_task_init(struct loop_task *task, void (*fn)(void *arg), void *arg)
{
    list_init(&task->node);
    task->fn = fn;
    task->arg = arg;
}

void loop_task_schedule(struct loop *loop, struct loop_task *task)
{
    if (list_is_empty(&task->node))
        list_push_back(&loop->tasks, &task->node);
}

void loop_task_cancel(struct loop_task *task)
{
    list_remove(&task->node);
}
