/* SPDX-License-Identifier: Apache-2.0 */
/* main_pulse.c - see main_pulse.h.  Workers answer into a word of theirs, which is looked at until all have. */
#include "main/main_pulse.h"

#include "worker/worker.h"

#define PULSE_POLL_US 10000

/* Without memory for a letter the next look tries again. */
static void pulse_on_poll(void *arg)
{
    struct main_pulse *pulse = arg;
    while (pulse->told < pulse->count && worker_ping(pulse->workers[pulse->told], pulse->number))
        pulse->told++;
    for (unsigned i = 0; i < pulse->count; i++) {
        if (worker_pong(pulse->workers[i]) == pulse->number)
            continue;
        loop_alarm_set(pulse->poll, pulse->loop->mono_us + PULSE_POLL_US);
        return;
    }
    pulse->answer(pulse->arg, pulse->number);
}

enum err main_pulse_init(struct main_pulse *pulse, struct loop *loop,
                         void (*answer)(void *arg, uint32_t number), void *arg)
{
    *pulse = (struct main_pulse){.loop = loop, .answer = answer, .arg = arg};
    pulse->poll = loop_alarm_new(loop, pulse_on_poll, pulse);
    return pulse->poll == NULL ? ERR_NOMEM : ERR_OK;
}

void main_pulse_fini(struct main_pulse *pulse)
{
    loop_alarm_free(pulse->poll);
    pulse->poll = NULL;
}

void main_pulse_ask(struct main_pulse *pulse, struct worker *const *workers, unsigned count,
                    uint32_t number)
{
    pulse->workers = workers;
    pulse->count = count;
    pulse->number = number;
    pulse->told = 0;
    pulse_on_poll(pulse);
}
