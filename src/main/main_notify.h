/* SPDX-License-Identifier: Apache-2.0 */
/* main_notify.h - telling systemd (sd_notify(3)) how the service is; nothing happens without it. */
#ifndef SLUICE_MAIN_NOTIFY_H
#define SLUICE_MAIN_NOTIFY_H

#include <stdint.h>

/* "STOPPING=1", "WATCHDOG=1", ...  Never blocks, never fails. */
void main_notify(const char *state);
/* It serves, with this generation of its configuration: READY=1 and a STATUS. */
void main_notify_ready(uint32_t generation);
/* A reload begins: RELOADING=1 and MONOTONIC_USEC, as systemd 253 and later want them.  main_notify_ready ends it. */
void main_notify_reloading(void);

#endif
