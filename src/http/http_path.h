/* SPDX-License-Identifier: Apache-2.0 */
/* http_path.h - the one normaliser: how a path is judged by routes, quotas and logs.  What is
 * forwarded is the client's own bytes, so whatever servers could read differently is refused.  Pure. */
#ifndef SLUICE_HTTP_PATH_H
#define SLUICE_HTTP_PATH_H

#include "http/http_head.h"

/* Escapes of bytes that may stand raw in a path are decoded (unreserved ones, and ":", "@", sub-delims
 * and the like but ";": servers route both spellings alike), other escapes get upper-case digits,
 * runs of "/" are folded.  One level is decoded: "%252e" stays as it is.  Faults: dot segments (raw or
 * encoded), encoded slash or backslash, raw backslash, encoded controls, raw ";", a "%" without two
 * hexadecimal digits, UTF-8 longer than need be that spells one of these.  What no target has (raw
 * controls, space, bytes from 0x80 on) is a fault too.
 * Writes at most path.len bytes to out (room for that is the caller's); when nothing had to change
 * *judged is path itself.  fault->offset counts from the path's first byte. */
enum http_parse http_path_judge(struct span path, char *out, struct span *judged,
                                struct http_fault *fault);

#endif
