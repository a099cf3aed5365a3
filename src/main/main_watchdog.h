/* SPDX-License-Identifier: Apache-2.0 */
/* main_watchdog.h - systemd's watchdog (WatchdogSec=): it hears of the service as long as its serving process answers, main thread
 * and every worker.  Takes: time and answers.  Gives: questions and WATCHDOG=1.  Nothing happens without systemd. */
#ifndef SLUICE_MAIN_WATCHDOG_H
#define SLUICE_MAIN_WATCHDOG_H

#include <stdint.h>

struct parent;

/* Owner: the parent.  Thread: its only one. */
struct main_watchdog {
    uint64_t interval_us; /* 0: systemd does not watch */
    uint64_t at_us;       /* of the next question; 0: none */
    uint32_t asked, answered;
};

/* As WATCHDOG_USEC and WATCHDOG_PID say. */
void main_watchdog_start(struct main_watchdog *watchdog, uint64_t now_us);
void main_watchdog_stop(struct main_watchdog *watchdog);
/* Another serving process: what the one before was asked is not answered any more. */
void main_watchdog_begin(struct main_watchdog *watchdog);
void main_watchdog_on_time(struct parent *parent, uint64_t now_us);
void main_watchdog_on_pong(struct parent *parent, uint32_t number);

#endif
