/* SPDX-License-Identifier: Apache-2.0 */
/* admin_client.h - asking a running instance: one request to its admin address.  For verbs: blocks up to
 * its deadline. */
#ifndef SLUICE_ADMIN_CLIENT_H
#define SLUICE_ADMIN_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base_span.h"

enum admin_client_result {
    ADMIN_CLIENT_OK,          /* there is an answer, whatever its status */
    ADMIN_CLIENT_NOT_RUNNING, /* nobody listens there */
    ADMIN_CLIENT_PERMISSION,
    ADMIN_CLIENT_DEADLINE,
    ADMIN_CLIENT_BROKEN, /* what answers is not an admin socket */
};

/* Freed by: admin_client_reply_fini. */
struct admin_client_reply {
    unsigned status;
    char *bytes;      /* malloc'ed: head and body */
    struct span body; /* inside bytes */
};

/* address: "unix:/run/...", a path, or "127.0.0.1:9181"; then the token is read from the file that SLUICE_ADMIN_TOKEN_FILE
 * names.  `why` is a sentence unless the result is OK. */
enum admin_client_result admin_client_ask(struct admin_client_reply *reply, const char *address,
                                          const char *method, const char *path, uint64_t timeout_us,
                                          char why[512]);
/* The same, with a body. */
enum admin_client_result admin_client_send(struct admin_client_reply *reply, const char *address,
                                           const char *path, struct span body, uint64_t timeout_us,
                                           char why[512]);
void admin_client_reply_fini(struct admin_client_reply *reply);

/* Gets each line, with its newline, of an answer that has no end.  False: enough. */
typedef bool (*admin_client_line_fn)(void *arg, struct span line);
/* GET, until the instance ends it or on_line has had enough: then status is 200 and there is no body.  Another status comes with
 * the whole answer.  timeout_us: for its beginning. */
enum admin_client_result admin_client_follow(struct admin_client_reply *reply, const char *address,
                                             const char *path, uint64_t timeout_us,
                                             admin_client_line_fn on_line, void *arg,
                                             char why[512]);

#endif
