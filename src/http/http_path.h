/* SPDX-License-Identifier: Apache-2.0 */
/* http_path.h - the one normaliser: how a path is judged by routes, quotas and logs.  What is
 * forwarded is the client's own bytes, so whatever servers could read differently is refused, unless
 * the route says that its servers read it as we do.  Pure. */
#ifndef SLUICE_HTTP_PATH_H
#define SLUICE_HTTP_PATH_H

#include "http/http_head.h"

enum http_path_doubt {
#define DOUBT(id, word, fault) HTTP_PATH_##id,
#include "http/http_path_doubts.def"
#undef DOUBT
    HTTP_PATH_DOUBTS
};

#define HTTP_PATH_BIT(doubt) (1U << (doubt))

/* A path as judged.  A judged path is judged as itself. */
struct http_path {
    struct span judged;
    uint32_t doubts;               /* HTTP_PATH_BITs of what was found */
    uint32_t at[HTTP_PATH_DOUBTS]; /* the first of each, where doubts has it */
};

/* Judge a path that begins with "/", or is "*".
 *
 * Read alike by all servers: escapes of bytes that may stand raw in a path are decoded (unreserved ones,
 * ":", "@", sub-delims and the like but ";"), other escapes get upper-case digits, runs of "/" are folded.
 * One level is decoded, as RFC 3986 section 2.4 says.
 *
 * Doubts, judged in one way and reported:
 *   DOT_SEGMENTS     "." and "..", raw or encoded, resolved (RFC 3986 section 5.2.4)
 *   ENCODED_SLASH    "%2F" stays as it is: a byte of its segment, never a separator
 *   BACKSLASH        raw or "%5C", both become "\": a byte of its segment too
 *   PARAMETERS       ";" and what follows it in its segment is left away: "/admin;x/a" is "/admin/a"
 *   DOUBLE_ENCODING  "%25" before two hexadecimal digits stays as it is.  Who decodes twice reads "%252e"
 *                    as "." and "%2561" as "a", so such a path would be somebody else's
 *
 * BAD whatever is allowed, since no two servers agree on these or since they are an attack:
 *   - dot segments that climb above the root, or in a path that also has an empty segment ("/a//../b"),
 *     an encoded slash, a backslash or a double encoding
 *   - a dot segment with parameters ("..;x"), or one that appears when a segment is split at encoded
 *     slashes and backslashes ("..%2Fa", "a\..")
 *   - encoded controls and NUL, a "%" without two hexadecimal digits, UTF-8 longer than need be that
 *     spells one of these or one of the doubts
 *   - what no target has: raw controls, space, bytes from 0x80 on
 * When a doubt comes before, the fault is the doubt's.
 *
 * Writes at most path.len bytes to out (room for that is the caller's); when nothing had to change
 * judged is path itself.  fault->offset counts from the path's first byte. */
enum http_parse http_path_judge(struct span path, char *out, struct http_path *result,
                                struct http_fault *fault);

/* BAD with the first doubt that is not among `allowed` (HTTP_PATH_BITs). */
enum http_parse http_path_allow(const struct http_path *path, uint32_t allowed,
                                struct http_fault *fault);

#endif
