/* SPDX-License-Identifier: Apache-2.0 */
/* admin_explain_request.h - a request as somebody describes it.  Takes: a method, a URL, header lines.  Gives: what the proxy's
 * own parser makes of it. */
#ifndef SLUICE_ADMIN_EXPLAIN_REQUEST_H
#define SLUICE_ADMIN_EXPLAIN_REQUEST_H

#include "http/http_framing.h"

#define ADMIN_EXPLAIN_FIELDS  256
#define ADMIN_EXPLAIN_HEADERS 100 /* that can be described */
#define ADMIN_EXPLAIN_WHY     256

/* The words; everything borrowed. */
struct admin_explain_words {
    const char *method, *url;
    const char *const *headers; /* "Name: value" */
    unsigned header_count;
};

/* Owner: whoever embeds it.  Freed by: admin_explain_request_fini.  Thread: the owner's. */
struct admin_explain_request {
    char *text;
    struct http_field fields[ADMIN_EXPLAIN_FIELDS];
    struct http_head head;
    struct http_framing framing;
    struct http_target target;
    struct http_fault fault; /* id NONE: it is well formed */
};

/* "http://HOST/PATH" or "/PATH" (then Host is "localhost" unless -H gives one).  False and a sentence when no request
 * can be made of the words; one that the proxy would refuse has a fault. */
bool admin_explain_request_make(struct admin_explain_request *request,
                                const struct admin_explain_words *words,
                                const struct http_head_limits *limits, char why[ADMIN_EXPLAIN_WHY]);
void admin_explain_request_fini(struct admin_explain_request *request);

#endif
