/* SPDX-License-Identifier: Apache-2.0 */
/* http_connection.h - what the Connection fields of a head say (RFC 9110 section 7.6.1).  Only for
 * this module; http_write.h and http_framing.h have the public side. */
#ifndef SLUICE_HTTP_CONNECTION_H
#define SLUICE_HTTP_CONNECTION_H

#include "http/http_head.h"

/* More options than this are refused: every one is compared with every unknown field. */
#define HTTP_CONNECTION_OPTIONS_MAX 16

struct http_connection {
    bool has_close;
    uint64_t nominated; /* HTTP_FIELD_BIT of known fields */
    unsigned other_count;
    /* options that are no known field, but "close" */
    struct span others[HTTP_CONNECTION_OPTIONS_MAX];
};

/* The next element of a comma-separated list (RFC 9110 section 5.6.1), empty ones skipped; false at the
 * end.  *rest moves behind it. */
bool http_list_next(struct span *rest, struct span *element);

/* False when a value is not a list of tokens or there are too many. */
bool http_connection_read(const struct http_head *head, struct http_connection *connection);

#endif
