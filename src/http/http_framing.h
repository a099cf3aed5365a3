/* SPDX-License-Identifier: Apache-2.0 */
/* http_framing.h - where a message's body ends; decided once, by one function per direction, for both
 * sides of the proxy.  Pure. */
#ifndef SLUICE_HTTP_FRAMING_H
#define SLUICE_HTTP_FRAMING_H

#include "http/http_head.h"

enum http_body_kind {
    HTTP_BODY_NONE,
    HTTP_BODY_LENGTH,  /* exactly length_bytes */
    HTTP_BODY_CHUNKED,
    HTTP_BODY_CLOSE, /* responses: until the connection ends */
    HTTP_BODY_TUNNEL, /* responses: 101 */
};

struct http_framing {
    enum http_body_kind kind;
    uint64_t length_bytes; /* HTTP_BODY_LENGTH; also the Content-Length of a bodiless HEAD or 304 */
    bool has_length;       /* a Content-Length was there */
    bool keep_alive;       /* the sender lets the connection live (version and Connection) */
    bool expect_continue;  /* requests */
    bool has_upgrade;      /* requests: Connection nominates Upgrade and the field is there */
};

/* The rules, in order; the first that applies decides (RFC 9112 section 6.3).
 *   see http_framing.c for the table with its RFC sections
 * BAD fills the fault. */
enum http_parse http_framing_request(const struct http_head *head, struct http_framing *framing,
                                     struct http_fault *fault);
enum http_parse http_framing_response(const struct http_head *head, enum http_method request_method,
                                      struct http_framing *framing, struct http_fault *fault);

/* The request's Host and target checked together (RFC 9112 sections 3.2 and 3.3): exactly one valid
 * Host in HTTP/1.1, no userinfo, no fragment, authority of an absolute-form target equal to Host.
 * Gives spans into the head: authority as sent, host (authority without port), path (begins with "/", or is "*"), query
 * (without "?"; ptr NULL when there is none). */
struct http_target {
    struct span authority, host, path, query;
    bool is_absolute;
};
enum http_parse http_target_parse(const struct http_head *head, struct http_target *target,
                                  struct http_fault *fault);

#endif
