/* SPDX-License-Identifier: Apache-2.0 */
/* http_hops.h - what a request asks of each intermediary on its way: Max-Forwards and TE.  Pure. */
#ifndef SLUICE_HTTP_HOPS_H
#define SLUICE_HTTP_HOPS_H

#include "http/http_head.h"

struct http_hops {
    bool
        has_max_forwards; /* OPTIONS and TRACE: others have no use for it (RFC 9110 section 7.6.2) */
    uint32_t max_forwards; /* 0: who reads this answers */
    bool takes_trailers;   /* TE has "trailers"; its other members are for the next hop alone */
};

/* BAD_MAX_FORWARDS when Max-Forwards counts and is not one plain number of at most 9 digits. */
enum http_parse http_hops_read(const struct http_head *head, struct http_hops *hops,
                               struct http_fault *fault);

#endif
