/* SPDX-License-Identifier: Apache-2.0 */
/* http_framing.h - where a message's body ends; decided once, by one function per direction, for both
 * sides of the proxy.  Pure. */
#ifndef SLUICE_HTTP_FRAMING_H
#define SLUICE_HTTP_FRAMING_H

#include "http/http_head.h"

enum http_body_kind {
    HTTP_BODY_NONE,
    HTTP_BODY_LENGTH, /* exactly length_bytes */
    HTTP_BODY_CHUNKED,
    HTTP_BODY_CLOSE,  /* responses: until the connection ends */
    HTTP_BODY_TUNNEL, /* responses: 101 */
};

struct http_framing {
    enum http_body_kind kind;
    uint64_t
        length_bytes; /* HTTP_BODY_LENGTH (> 0); also the Content-Length of a bodiless HEAD or 304 */
    bool has_length;  /* a Content-Length was there */
    bool keep_alive;  /* the sender lets the connection live (version and Connection) */
    bool expect_continue; /* requests */
    uint64_t nominated;   /* HTTP_FIELD_BITs of the known fields that Connection names */
};

/* The rules, in order; the first that applies decides.  BAD fills the fault.  HTAB around the value makes
 * Transfer-Encoding, Content-Length, Expect and Host bad.
 *
 * Requests
 *   CONNECT                                          BAD CONNECT_REFUSED          RFC 9110 9.3.6
 *   Transfer-Encoding in HTTP/1.0                    BAD TRANSFER_ENCODING_IN_1_0 RFC 9112 6.1
 *   Transfer-Encoding and Content-Length             BAD LENGTH_AND_CHUNKED       RFC 9112 6.1, 6.3 (3)
 *   Transfer-Encoding twice, or not "chunked" alone  BAD BAD_TRANSFER_ENCODING    RFC 9112 6.1, 6.3 (4)
 *   Transfer-Encoding: chunked                       CHUNKED                      RFC 9112 6.3 (4), 7.1
 *   Content-Length twice (even if equal), a list,    BAD BAD_CONTENT_LENGTH       RFC 9110 8.6,
 *     empty, signed, with a leading zero, or of more                              RFC 9112 6.3 (5)
 *     than 18 digits
 *   Content-Length: 0                                NONE, has_length             RFC 9112 6.3 (6)
 *   Content-Length                                   LENGTH                       RFC 9112 6.3 (6)
 *   neither                                          NONE                         RFC 9112 6.3 (7)
 *   then: Connection is not a list of tokens, has    BAD BAD_CONNECTION           RFC 9110 7.6.1
 *     more than 16 unknown options, or nominates
 *     a known field that is not hop-by-hop
 *   then: Expect other than one "100-continue"       BAD BAD_EXPECT               RFC 9110 10.1.1
 *     (that one is ignored in HTTP/1.0 and without
 *     a body)
 *
 * Responses
 *   the Transfer-Encoding and Content-Length faults  BAD, as above                RFC 9112 6.1, 6.3
 *   Connection is not a list of tokens, or too long  BAD BAD_CONNECTION           RFC 9110 7.6.1
 *   1xx or 204 with Transfer-Encoding                BAD BAD_TRANSFER_ENCODING    RFC 9112 6.1
 *   1xx or 204 with Content-Length above 0           BAD BAD_CONTENT_LENGTH       RFC 9110 8.6
 *   205 with Content-Length above 0                  BAD BAD_CONTENT_LENGTH       RFC 9110 15.3.6
 *   101                                              TUNNEL                       RFC 9110 15.2.2
 *   1xx, 204, 304, any response to HEAD              NONE (has_length is kept)    RFC 9112 6.3 (1)
 *   Transfer-Encoding: chunked                       CHUNKED                      RFC 9112 6.3 (4)
 *   Content-Length: 0                                NONE, has_length             RFC 9112 6.3 (6)
 *   Content-Length                                   LENGTH                       RFC 9112 6.3 (6)
 *   neither                                          CLOSE                        RFC 9112 6.3 (8)
 * That a 101 was asked for at all (UNEXPECTED_UPGRADE) is for the caller to judge.  205 is else read
 * like 200: RFC 9112 gives it a body, RFC 9110 forbids one, and browsers read none.
 *
 * keep_alive: HTTP/1.1 unless "close"; HTTP/1.0 only with "keep-alive" and without "close"; never with
 * CLOSE or TUNNEL (RFC 9112 section 9.3). */
enum http_parse http_framing_request(const struct http_head *head, struct http_framing *framing,
                                     struct http_fault *fault);
enum http_parse http_framing_response(const struct http_head *head, enum http_method request_method,
                                      struct http_framing *framing, struct http_fault *fault);

/* Does Connection name one of these fields, which http_field_id_of does not know?  Known ones are judged with the framing. */
bool http_connection_names(const struct http_head *head, const struct span *names, unsigned count);

/* The request's Host and target checked together (RFC 9112 sections 3.2 and 3.3).
 * Target: origin-form; absolute-form of http and https without userinfo; "*" only for OPTIONS; CONNECT
 * refused.  Host: exactly one in HTTP/1.1, at most one in HTTP/1.0; a name (letters, digits, "-", "_",
 * "."; no empty label but after a last dot), an IPv4 address or a bracketed IPv6 address without
 * zone, and perhaps a port from 1 to 65535.  RFC 3986 allows more (percent-encoding, sub-delims, an
 * empty port); nothing that is a host has them.  The authority of an absolute-form target must equal
 * Host but for the case of letters.
 * Gives spans into the head: authority as sent, host (authority without port, an IPv6 address with its
 * brackets), path (begins with "/", or is "*"; a static text when an absolute-form target has
 * none), query (without "?"; ptr NULL when there is none).  Without Host, in HTTP/1.0, authority and
 * host are empty. */
struct http_target {
    struct span authority, host, path, query;
    bool is_absolute;
};
enum http_parse http_target_parse(const struct http_head *head, struct http_target *target,
                                  struct http_fault *fault);

/* The same for one request after the other.  The last good Host mostly is the next one too, and then needs no
 * second look (measured: 150 instructions less).  All zeroes is none. */
struct http_host_memo {
    uint8_t len, host_len;
    char text[62];
};
enum http_parse http_target_parse_next(const struct http_head *head, struct http_host_memo *memo,
                                       struct http_target *target, struct http_fault *fault);

#endif
