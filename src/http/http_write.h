/* SPDX-License-Identifier: Apache-2.0 */
/* http_write.h - writing heads.  Forwarded heads are re-serialised from parsed fields; runs of kept
 * lines are copied at once.  Pure, no allocation; the caller has made sure of the room. */
#ifndef SLUICE_HTTP_WRITE_H
#define SLUICE_HTTP_WRITE_H

#include "http/http_framing.h"

/* Hop-by-hop fields (RFC 9110 section 7.6.1) without Transfer-Encoding and Content-Length, which
 * the framing decides. */
extern const uint64_t HTTP_HOP_BY_HOP;

/* Copy every field line that is kept: not in `drop` (HTTP_FIELD_BITs), not hop-by-hop, not nominated
 * by Connection.  At most head->bytes bytes.  Returns the byte after. */
char *http_write_fields(char *out, const struct http_head *head, uint64_t drop);
/* The same behind the start line as it came: mostly all of it is one run. */
char *http_write_lines(char *out, const struct http_head *head, uint64_t drop);

/* Names of fields, for what is done with all lines of that name: whatever their case, and "_" or "-". */
struct http_names {
    const struct span *names;
    unsigned count;
};
/* As http_write_fields, without the lines of these names.  And the trailer lines (each whole, with its CRLF) without them. */
char *http_write_fields_but(char *out, const struct http_head *head, uint64_t drop,
                            struct http_names names);
char *http_write_trailers_but(char *out, struct span trailers, struct http_names names);

/* Would all lines be copied?  Then they may as well be sent from where they are. */
static inline bool http_write_keeps_all(const struct http_head *head, uint64_t drop)
{
    return (head->present & (drop | HTTP_HOP_BY_HOP)) ==
           0; /* Connection is one: it nominates nothing */
}

/* "200 OK" reasons that we give; "Unknown" never appears. */
struct span http_status_reason(unsigned status);

#endif
