/* SPDX-License-Identifier: Apache-2.0 */
/* main_notify.h - telling systemd (sd_notify(3)) how the service is; nothing happens without it. */
#ifndef SLUICE_MAIN_NOTIFY_H
#define SLUICE_MAIN_NOTIFY_H

#include <stdint.h>

/* "WATCHDOG=1", "MAINPID=4711", ...  Never blocks, never fails. */
void main_notify(const char *state);
/* It serves, with this generation of its configuration: READY=1 and a STATUS. */
void main_notify_ready(uint32_t generation);
/* It ends, which takes so long at most, whatever TimeoutStopSec says: STOPPING=1, EXTEND_TIMEOUT_USEC and a STATUS. */
void main_notify_stopping(uint64_t longest_us);
/* A reload begins: RELOADING=1 and MONOTONIC_USEC, as systemd 253 and later want them.  main_notify_ready ends it. */
void main_notify_reloading(void);

#endif
