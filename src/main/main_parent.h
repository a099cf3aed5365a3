/* SPDX-License-Identifier: Apache-2.0 */
/* main_parent.h - the supervising process.  Takes: the path of a configuration.  Gives: an exit code, when the
 * service has ended.  Opens everything, serves nothing, and never reads traffic. */
#ifndef SLUICE_MAIN_PARENT_H
#define SLUICE_MAIN_PARENT_H

/* words: the command line, for a program that takes over. */
int main_parent_run(const char *path, char *const *words);

#endif
