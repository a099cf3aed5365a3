/* SPDX-License-Identifier: Apache-2.0 */
/* main_notify.h - telling systemd (sd_notify(3)) how the service is; nothing happens without it. */
#ifndef SLUICE_MAIN_NOTIFY_H
#define SLUICE_MAIN_NOTIFY_H

/* "READY=1", "STOPPING=1", ...  Never blocks, never fails. */
void main_notify(const char *state);

#endif
