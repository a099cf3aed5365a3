/* SPDX-License-Identifier: Apache-2.0 */
/* main_verbs.h - what `sluice VERB` does.  Each takes parsed options and gives an exit code. */
#ifndef SLUICE_MAIN_VERBS_H
#define SLUICE_MAIN_VERBS_H

#include "admin/admin_client.h"
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

/* The admin address of the file, also when the file has errors: that is when `reload` and `status` are
 * needed.  malloc'ed. */
char *main_verb_socket(const struct main_options *options, uint64_t *file_hash);
/* Ask the running instance.  The exit code; OK: there is a reply, whatever its status. */
int main_verb_ask(const struct main_options *options, const char *method, const char *path,
                  uint64_t timeout_us, struct admin_client_reply *reply, uint64_t *file_hash);
/* The same with POST and a body. */
int main_verb_send(const struct main_options *options, const char *path, struct span body,
                   uint64_t timeout_us, struct admin_client_reply *reply);
/* The same for an answer without an end. */
int main_verb_follow(const struct main_options *options, const char *path, uint64_t timeout_us,
                     admin_client_line_fn on_line, void *arg, struct admin_client_reply *reply);
/* What a problem document says, on stderr. */
int main_verb_problem(const struct admin_client_reply *reply, int exit_code);
/* The reply for people, by text_of (malloc'ed; what is no answer goes to stderr), or as JSON where that was asked for. */
int main_verb_tell(const struct main_options *options, const struct admin_client_reply *reply,
                   char *(*text_of)(struct span body), int exit_code);
/* The reply as it came, for who wants JSON: a line.  Malloc'ed; NULL: no memory. */
char *main_verb_line(const struct admin_client_reply *reply);

/* A configuration, read for a verb that serves nothing. */
struct main_verb_plan {
    struct main_bundle bundle; /* no files: it could not be read, which has been said */
    struct plan_report report;
    struct plan *plan; /* NULL: the report says why */
};

/* The exit code.  Close it in any case. */
int main_verb_plan_open(struct main_verb_plan *file, const struct main_options *options);
void main_verb_plan_close(struct main_verb_plan *file);

/* What a verb that ends or replaces the instance ends with, of the answer's status. */
int main_verb_order_exit(unsigned status);

#endif
