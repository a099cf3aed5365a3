/* SPDX-License-Identifier: Apache-2.0 */
/* main_instance.h - a verb and the running instance it asks.  Takes: options and a request.  Gives: the answer, said as every
 * verb says it, and the exit code.  What was asked for goes to stdout, as does all JSON; what was refused goes to stderr. */
#ifndef SLUICE_MAIN_INSTANCE_H
#define SLUICE_MAIN_INSTANCE_H

#include "admin/admin_client.h"
#include "main/main_options.h"

/* The admin address of the file, also when the file has errors: that is when `reload` and `status` are needed.  file_hash: of
 * the file as it is now, 0 where none is meant.  Malloc'ed; NULL: no memory. */
char *main_instance_socket(const struct main_options *options, uint64_t *file_hash);

/* The exit code; OK: there is a reply, whatever its status, and the caller ends it.  Anything else has been said. */
int main_instance_ask(const struct main_options *options, const char *method, const char *path,
                      uint64_t timeout_us, struct admin_client_reply *reply, uint64_t *file_hash);
/* The same with POST and a body. */
int main_instance_send(const struct main_options *options, const char *path, struct span body,
                       uint64_t timeout_us, struct admin_client_reply *reply);
/* The same for an answer without an end. */
int main_instance_follow(const struct main_options *options, const char *path, uint64_t timeout_us,
                         admin_client_line_fn on_line, void *arg, struct admin_client_reply *reply);

/* The exit code that a status of the admin interface stands for. */
int main_instance_exit(unsigned status);
/* The same where a conflict means that the order was refused and all stays as it was. */
int main_instance_order_exit(unsigned status);

/* Say the reply for people, by text_of (malloc'ed; it has to understand a problem document too), or as JSON where that was asked for. */
int main_instance_tell(const struct main_options *options, const struct admin_client_reply *reply,
                       char *(*text_of)(struct span body), int exit_code);
/* What a problem document says, on stderr. */
int main_instance_problem(const struct admin_client_reply *reply, int exit_code);

/* All of it, for a verb that has nothing to add: ask, say, end with what exit_of makes of the status. */
int main_instance_run(const struct main_options *options, const char *method, const char *path,
                      uint64_t timeout_us, char *(*text_of)(struct span body),
                      int (*exit_of)(unsigned status));

#endif
