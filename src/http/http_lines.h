/* SPDX-License-Identifier: Apache-2.0 */
/* http_lines.h - the field lines that nearly all are: whole, good, with a plain name of 2 to 31 bytes and a plain
 * value.  Takes: bytes.  Gives: the fields of the first such lines, and where the first other one begins.  Never
 * judges that one, never reads at or past `stop`.  Only for this module. */
#ifndef SLUICE_HTTP_LINES_H
#define SLUICE_HTTP_LINES_H

#include "http/http_head.h"

/* From *off on, which may lie beyond the stop; *off moves behind the last of them.  Fields beyond `max` are left where they are.  Like the parser it
 * notes present, repeated and first. */
void http_lines_read(struct http_head *head, const char *buf, size_t stop, size_t *off,
                     unsigned max);

/* The twin that takes no more than every machine of its kind has; what the tests compare with. */
void http_lines_read_portable(struct http_head *head, const char *buf, size_t stop, size_t *off,
                              unsigned max);

#endif
