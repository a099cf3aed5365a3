/* SPDX-License-Identifier: Apache-2.0 */
/* main_sandbox.h - what the serving process may ask of the kernel.  Takes: nothing.  Gives: a process without privileges, for
 * good.  Never: part of the supervising process, which starts programs. */
#ifndef SLUICE_MAIN_SANDBOX_H
#define SLUICE_MAIN_SANDBOX_H

#include <stdbool.h>

/* False in programs with a sanitizer: it traces its own process, and reads files that are none of ours. */
bool main_sandbox_is_possible(void);

/* Every capability in every set, so that not even root keeps one.  False: errno. */
bool main_sandbox_drop_capabilities(void);

/* For a while, in a process with one thread: no capability is in effect, or again all that there are.  False: errno. */
bool main_sandbox_set_effective(bool is_in_effect);

/* In the child, before its first thread and the first byte of traffic.  No new privileges, no capabilities, no core
 * and no tracer, and only the calls of MAIN_SANDBOX_CALLS: others fail with EPERM; another program, or a look into another process,
 * kills this one.  NULL, or what could not be had (errno says why); the rest is in force. */
const char *main_sandbox_enter(void);

#endif
