/* SPDX-License-Identifier: Apache-2.0 */
/* main_completion.h - what a shell needs to complete a command line.  Takes: the verbs and the table of options.  Gives: a script
 * for bash. */
#ifndef SLUICE_MAIN_COMPLETION_H
#define SLUICE_MAIN_COMPLETION_H

#include <stdio.h>

struct main_completion_verb {
    const char *name;
    unsigned options; /* MAIN_OPTION bits */
};

void main_completion_bash(FILE *out, const struct main_completion_verb *verbs, unsigned count);

#endif
