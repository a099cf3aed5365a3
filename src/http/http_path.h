/* SPDX-License-Identifier: Apache-2.0 */
/* http_path.h - the one normaliser: how a path is judged by routes, quotas and logs.  What is
 * forwarded is the client's own bytes, so whatever servers could read differently is refused.  Pure. */
#ifndef SLUICE_HTTP_PATH_H
#define SLUICE_HTTP_PATH_H

#include "http/http_head.h"

/* Percent-encoded unreserved bytes are decoded, other escapes get upper-case digits, runs of "/" are
 * folded.  Dot segments (raw or encoded), encoded slash or backslash, raw backslash, encoded controls and ";" are
 * faults.  Writes at most path.len bytes to out (room for that is the caller's) and returns the
 * length; when nothing had to change returns path itself without writing.  Fault: BAD. */
enum http_parse http_path_judge(struct span path, char *out, struct span *judged,
                                struct http_fault *fault);

#endif
