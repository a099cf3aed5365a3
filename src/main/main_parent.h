/* SPDX-License-Identifier: Apache-2.0 */
/* main_parent.h - the supervising process.  Takes: the path of a configuration.  Gives: an exit code, when the
 * service has ended.  Opens everything, serves nothing, and never reads traffic. */
#ifndef SLUICE_MAIN_PARENT_H
#define SLUICE_MAIN_PARENT_H

#include <stdbool.h>

/* words: the command line, for a program that takes over.  is_sandboxed: the serving process goes into its sandbox
 * (main_sandbox.h), where there is one. */
int main_parent_run(const char *path, char *const *words, bool is_sandboxed);

#endif
