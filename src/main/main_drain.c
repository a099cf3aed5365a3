/* SPDX-License-Identifier: Apache-2.0 */
/* main_drain.c - see main_drain.h. */
#include "main/main_drain.h"

#include "base/base_log.h"
#include "worker/worker.h"

#define DRAIN_POLL_US 20000

static void drain_workers(struct main_drain *drain)
{
    drain->state = MAIN_DRAIN_BEGUN;
    drain->until_us = drain->loop->mono_us + drain->drain_us;
    log_info("draining: requests in progress have %llu ms",
             (unsigned long long)(drain->drain_us / 1000));
    for (unsigned i = 0; i < drain->count; i++)
        worker_drain(drain->workers[i]);
    loop_alarm_set(drain->alarm, drain->loop->mono_us + DRAIN_POLL_US);
}

static void drain_look(struct main_drain *drain)
{
    bool is_idle = true;
    unsigned owed = 0;
    for (unsigned i = 0; i < drain->count; i++) {
        is_idle &= worker_is_idle(drain->workers[i]);
        owed += worker_owed(drain->workers[i]);
    }
    if (is_idle) {
        drain->on_end(drain->arg, 0);
        return;
    }
    if (drain->loop->mono_us < drain->until_us) {
        loop_alarm_set(drain->alarm, drain->loop->mono_us + DRAIN_POLL_US);
        return;
    }
    if (owed != 0)
        log_warn("%s is over: %u connections with unfinished requests are ended",
                 drain->is_own ? "the deadline of the drain" : "limits.drain_timeout", owed);
    drain->on_end(drain->arg, owed);
}

static void drain_on_alarm(void *arg)
{
    struct main_drain *drain = arg;
    if (drain->state == MAIN_DRAIN_ANNOUNCED)
        drain_workers(drain);
    else
        drain_look(drain);
}

enum err main_drain_init(struct main_drain *drain, struct loop *loop,
                         void (*on_end)(void *arg, unsigned unfinished), void *arg)
{
    *drain = (struct main_drain){.loop = loop, .on_end = on_end, .arg = arg};
    drain->alarm = loop_alarm_new(loop, drain_on_alarm, drain);
    return drain->alarm == NULL ? ERR_NOMEM : ERR_OK;
}

void main_drain_fini(struct main_drain *drain)
{
    loop_alarm_free(drain->alarm);
    drain->alarm = NULL;
}

static void drain_change(struct main_drain *drain, const struct main_drain_order *order)
{
    drain->drain_us = order->drain_us;
    drain->is_own = true;
    if (drain->state == MAIN_DRAIN_BEGUN)
        drain->until_us = drain->loop->mono_us + drain->drain_us;
    log_info("draining: requests in progress have %llu ms, as was just asked for",
             (unsigned long long)(drain->drain_us / 1000));
}

void main_drain_begin(struct main_drain *drain, struct worker *const *workers, unsigned count,
                      const struct main_drain_order *order)
{
    if (drain->state != MAIN_DRAIN_NONE) {
        if (order->is_own)
            drain_change(drain, order);
        return;
    }
    drain->workers = workers;
    drain->count = count;
    drain->drain_us = order->drain_us;
    drain->is_own = order->is_own;
    if (order->announce_us == 0) {
        drain_workers(drain);
        return;
    }
    drain->state = MAIN_DRAIN_ANNOUNCED;
    log_info("not ready from here on; requests are taken for another %llu ms",
             (unsigned long long)(order->announce_us / 1000));
    loop_alarm_set(drain->alarm, drain->loop->mono_us + order->announce_us);
}
