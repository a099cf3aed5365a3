/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_show.h - how offline tools print what stood in a log: for people, without a byte that moves a terminal, and as JSON.
 * And what all of them say first: which files and lines they have read. */
#ifndef SLUICE_LOGTOOL_SHOW_H
#define SLUICE_LOGTOOL_SHOW_H

#include <jansson.h>
#include <stdio.h>

#include "logtool/logtool_read.h"
#include "logtool/logtool_seq.h"

/* Printable characters as they are; controls and what is no UTF-8 as \xNN.  The width in characters. */
size_t logtool_show_text(FILE *out, struct span text);

/* The same in a column of so many characters, spaces behind it. */
void logtool_show_column(FILE *out, struct span text, size_t width);

/* "2026-11-22T14:02:11Z" */
void logtool_show_second(FILE *out, uint64_t second);

/* A member of an object that may be NULL already. */
void logtool_show_number(json_t **json, const char *key, uint64_t number);
/* What is no UTF-8 becomes U+FFFD.  NULL: no memory. */
json_t *logtool_show_string(struct span text);
json_t *
logtool_show_when(uint64_t us); /* with milliseconds; null for a time that there is none of */

/* "2 files, 1204 lines from ... to ..." and the lines that cannot be read, with file:line. */
void logtool_show_reading(FILE *out, const struct logtool_reading *reading);
/* Members "files", "lines", "bytes", "from", "to", "unreadable" of a new object. */
json_t *logtool_show_reading_json(const struct logtool_reading *reading);

/* The gaps: "lost: boot 0a1b2c3d: seq 17 to 19 (3 lines)". */
void logtool_show_gaps(FILE *out, const struct logtool_gap *gaps, unsigned room, uint64_t count,
                       uint64_t missing);
/* {"lines", "gaps": [{"boot", "from_seq", "to_seq"}]} */
json_t *logtool_show_gaps_json(const struct logtool_gap *gaps, unsigned room, uint64_t count,
                               uint64_t missing);

/* What `show` writes, as one text; malloc'ed, NULL: no memory. */
typedef void (*logtool_show_fn)(FILE *out, const void *arg);
char *logtool_show_whole(logtool_show_fn show, const void *arg);

/* An object (taken, may be NULL) as a line; malloc'ed, NULL: no memory. */
char *logtool_show_line(json_t *json);

#endif
