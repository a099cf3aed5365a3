/* SPDX-License-Identifier: Apache-2.0 */
/* main_sandbox_filter.h - the filter of system calls.  Takes: the rows of main_sandbox.def.  Gives: a process that makes no other
 * calls, for good.  Never: allocates. */
#ifndef SLUICE_MAIN_SANDBOX_FILTER_H
#define SLUICE_MAIN_SANDBOX_FILTER_H

/* After PR_SET_NO_NEW_PRIVS, before the first thread.  0, or a negative errno and no filter. */
int main_sandbox_filter_load(void);

#endif
