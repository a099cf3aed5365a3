/* SPDX-License-Identifier: Apache-2.0 */
/* main_watchdog.c - see main_watchdog.h.  Asked four times in an interval: one late answer is not the end. */
#include "main/main_watchdog.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/base_parse.h"
#include "main/main_notify.h"
#include "main/main_parent_private.h"

#define WATCHDOG_QUESTIONS 4 /* in an interval */

void main_watchdog_start(struct main_watchdog *watchdog, uint64_t now_us)
{
    const char *interval = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t number;
    if (interval == NULL || !parse_u64(span_of(interval), &watchdog->interval_us))
        watchdog->interval_us = 0;
    if (pid != NULL && (!parse_u64(span_of(pid), &number) || number != (uint64_t)getpid()))
        watchdog->interval_us = 0;
    if (watchdog->interval_us != 0)
        watchdog->at_us = now_us;
}

void main_watchdog_stop(struct main_watchdog *watchdog)
{
    watchdog->at_us = 0;
}

void main_watchdog_begin(struct main_watchdog *watchdog)
{
    watchdog->answered = watchdog->asked;
}

/* While there is no child the parent is about to start one: that is no reason to end it. */
void main_watchdog_on_time(struct parent *parent, uint64_t now_us)
{
    struct main_watchdog *watchdog = &parent->watchdog;
    struct main_message ping = {.kind = MAIN_MESSAGE_PING, .value = watchdog->asked + 1};
    if (watchdog->at_us == 0 || now_us < watchdog->at_us)
        return;
    watchdog->at_us = now_us + watchdog->interval_us / WATCHDOG_QUESTIONS;
    if (parent->child == 0)
        main_notify("WATCHDOG=1");
    else if (watchdog->asked == watchdog->answered && main_parent_tell(parent, &ping))
        watchdog->asked = ping.value;
}

void main_watchdog_on_pong(struct parent *parent, uint32_t number)
{
    struct main_watchdog *watchdog = &parent->watchdog;
    if (number != watchdog->asked || watchdog->answered == number || watchdog->at_us == 0)
        return;
    watchdog->answered = number;
    main_notify("WATCHDOG=1");
}
