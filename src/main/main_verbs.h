/* SPDX-License-Identifier: Apache-2.0 */
/* main_verbs.h - what `sluice VERB` does.  Each takes parsed options and gives an exit code. */
#ifndef SLUICE_MAIN_VERBS_H
#define SLUICE_MAIN_VERBS_H

#include "main/main_options.h"

int main_verb_run(const struct main_options *options);
int main_verb_check(const struct main_options *options);
int main_verb_status(const struct main_options *options);
int main_verb_reload(const struct main_options *options);
int main_verb_schema(const struct main_options *options);
int main_verb_version(const struct main_options *options);

#endif
