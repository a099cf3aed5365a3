/* SPDX-License-Identifier: Apache-2.0 */
/* main_verbs.h - what `sluice VERB` does.  Each takes parsed options and gives an exit code. */
#ifndef SLUICE_MAIN_VERBS_H
#define SLUICE_MAIN_VERBS_H

#include "main/main_bundle.h"
#include "main/main_options.h"

int main_verb_run(const struct main_options *options);
int main_verb_check(const struct main_options *options);
int main_verb_explain(const struct main_options *options);
int main_verb_hash(const struct main_options *options);
int main_verb_seal(const struct main_options *options);
int main_verb_status(const struct main_options *options);
int main_verb_reload(const struct main_options *options);
int main_verb_upgrade(const struct main_options *options);
int main_verb_drain(const struct main_options *options);
int main_verb_diff(const struct main_options *options);
int main_verb_show(const struct main_options *options);
int main_verb_reset(const struct main_options *options);
int main_verb_grant(const struct main_options *options);
int main_verb_tail(const struct main_options *options);
int main_verb_log(const struct main_options *options);
int main_verb_top(const struct main_options *options);
int main_verb_errors(const struct main_options *options);
int main_verb_upstreams(const struct main_options *options);
int main_verb_dashboard(const struct main_options *options);
int main_verb_doctor(const struct main_options *options);
int main_verb_replay(const struct main_options *options);
int main_verb_report(const struct main_options *options);
int main_verb_verify(const struct main_options *options);
int main_verb_schema(const struct main_options *options);
int main_verb_version(const struct main_options *options);

/* ---- what verbs share ---- */

/* The configuration that is meant. */
const char *main_verb_path(const struct main_options *options);

/* Text on stdout, which may be a full disk: a verb that printed nothing has not succeeded.  NULL: there was no
 * memory for it. */
int main_verb_print(const char *text, int exit_code);

/* A configuration, read for a verb that serves nothing. */
struct main_verb_plan {
    struct main_bundle bundle; /* no files: it could not be read, which has been said */
    struct plan_report report;
    struct plan *plan; /* NULL: the report says why */
};

/* The exit code.  Close it in any case. */
int main_verb_plan_open(struct main_verb_plan *file, const struct main_options *options);
void main_verb_plan_close(struct main_verb_plan *file);

#endif
