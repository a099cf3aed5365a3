/* SPDX-License-Identifier: Apache-2.0 */
/* main_request.h - a request as the command line describes it.  Takes: METHOD, URL and -H.  Gives: what the proxy's own
 * parser makes of it. */
#ifndef SLUICE_MAIN_REQUEST_H
#define SLUICE_MAIN_REQUEST_H

#include "http/http_framing.h"
#include "main/main_options.h"

#define MAIN_REQUEST_FIELDS 256

/* Owner: whoever embeds it.  Freed by: main_request_fini.  Thread: the owner's. */
struct main_request {
    char *text;
    struct http_field fields[MAIN_REQUEST_FIELDS];
    struct http_head head;
    struct http_framing framing;
    struct http_target target;
    struct http_fault fault; /* id NONE: it is well formed */
};

/* "http://HOST/PATH" or "/PATH" (then Host is "localhost" unless -H gives one).  False and a sentence when no request
 * can be made of the words; one that the proxy would refuse has a fault. */
bool main_request_make(struct main_request *request, const struct main_options *options,
                       const struct http_head_limits *limits, char why[MAIN_FAULT_MAX]);
void main_request_fini(struct main_request *request);

#endif
