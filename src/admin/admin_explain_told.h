/* SPDX-License-Identifier: Apache-2.0 */
/* admin_explain_told.h - what a running instance is asked about a request, and what it says, for people.  Takes: the words; the
 * JSON answer.  Gives: the body of the question; lines, and whether the request would be admitted. */
#ifndef SLUICE_ADMIN_EXPLAIN_TOLD_H
#define SLUICE_ADMIN_EXPLAIN_TOLD_H

#include <stdbool.h>

#include "admin/admin_explain_request.h"

/* The body of the question, as POST /v1/explain takes it; ip, listener: NULL for the default.  Malloc'ed; NULL: some word is
 * no UTF-8, or there is no memory. */
char *admin_explain_body(const struct admin_explain_words *words, const char *ip,
                         const char *listener);

/* Malloc'ed; NULL: it is not that, or there is no memory. */
char *admin_explain_told(struct span answer);

/* False also of what is no such answer. */
bool admin_explain_is_admitted(struct span answer);

#endif
