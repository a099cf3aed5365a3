/* SPDX-License-Identifier: Apache-2.0 */
/* http_upgrade.h - leaving HTTP on a connection (RFC 9110 section 7.8): who asks for it, and whether a 101 is
 * the answer to that.  Takes: heads, and the protocols that a route lists.  Gives: an offer of those that were
 * asked for, or the fault of an answer.  Pure. */
#ifndef SLUICE_HTTP_UPGRADE_H
#define SLUICE_HTTP_UPGRADE_H

#include "http/http_framing.h"

#define HTTP_UPGRADE_PROTOCOLS_MAX  8  /* of one route */
#define HTTP_UPGRADE_PROTOCOL_BYTES 64 /* of one of them */

/* What a route lists: "websocket" or "name/version".  Owner: the plan. */
struct http_upgrade_list {
    const struct span *protocols;
    unsigned count;
};

/* Which of them a request asks for, in its own order; count 0: none. */
struct http_upgrade_offer {
    uint8_t count;
    uint8_t protocols[HTTP_UPGRADE_PROTOCOLS_MAX]; /* indices into the list */
};

/* May a route list this protocol?  NULL, or the sentence that says why not: it is malformed, or it is one that
 * would carry requests past this proxy (HTTP in any version, "h2c", TLS). */
const char *http_upgrade_protocol_fault(struct span protocol);

/* What a request asks for.  The offer is empty, and the request an ordinary one, unless
 *   it is a GET of HTTP/1.1 without a body,
 *   Connection has "upgrade",
 *   there is one Upgrade field, a list of protocols (of which some may be unknown).
 * Protocols are compared without regard to case, each is offered once.
 *
 * "websocket" is offered only as RFC 6455 section 4.2.1 demands: BAD BAD_WEBSOCKET unless there is one
 * Sec-WebSocket-Version and, when it is 13, one Sec-WebSocket-Key of 16 bytes in base64.  With any other
 * version it is not offered: the server shall answer which one it speaks. */
enum http_parse http_upgrade_request(const struct http_head *head,
                                     const struct http_framing *framing,
                                     const struct http_upgrade_list *list,
                                     struct http_upgrade_offer *offer, struct http_fault *fault);

/* "Connection: upgrade\r\nUpgrade: a, b\r\n", for an offer that is not empty.  At most
 * HTTP_UPGRADE_FIELDS_MAX bytes; returns the byte after. */
#define HTTP_UPGRADE_FIELDS_MAX                                                                    \
    (64 + HTTP_UPGRADE_PROTOCOLS_MAX * (HTTP_UPGRADE_PROTOCOL_BYTES + 2))
char *http_upgrade_write(char *out, const struct http_upgrade_list *list,
                         const struct http_upgrade_offer *offer);

/* Is this 101 the answer to the offer that went out with `request`?  NONE and the protocol it names, or
 *   UNEXPECTED_UPGRADE  nothing was offered, it is not HTTP/1.1, Connection lacks "upgrade", or Upgrade is not
 *                       one field with one protocol of the offer
 *   BAD_WEBSOCKET_ACCEPT  for "websocket": Sec-WebSocket-Accept is not there once with the value that RFC 6455
 *                       section 4.2.2 (5.4) derives from the key */
enum http_fault_id http_upgrade_response(const struct http_head *response,
                                         const struct http_head *request,
                                         const struct http_upgrade_list *list,
                                         const struct http_upgrade_offer *offer,
                                         struct span *protocol);

#endif
