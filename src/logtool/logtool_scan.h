/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_scan.h - reads one JSON text (RFC 8259) without making anything of it.  Takes: a span.  Gives: its members and
 * items one after the other, as spans into it.  Never: allocates, looks at a number's size, or at UTF-8.  Pure. */
#ifndef SLUICE_LOGTOOL_SCAN_H
#define SLUICE_LOGTOOL_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base_span.h"

#define LOGTOOL_DEPTH_MAX 16 /* of objects and lists in each other; deeper text is refused */

enum logtool_kind {
    LOGTOOL_STRING,
    LOGTOOL_NUMBER,
    LOGTOOL_TRUE,
    LOGTOOL_FALSE,
    LOGTOOL_NULL,
    LOGTOOL_OBJECT,
    LOGTOOL_LIST,
};

struct logtool_value {
    enum logtool_kind kind;
    bool is_escaped;  /* a string with backslashes */
    struct span text; /* a string: between its quotes, escapes as they stand; else all of it */
};

/* Where the reading stands. */
struct logtool_scan {
    const char *at, *end;
    bool is_begun, is_bad;
};

/* Of an object's or a list's text, brackets included. */
void logtool_scan_open(struct logtool_scan *scan, struct span text);

/* The next member of an object.  False: there is none, or scan->is_bad.  The name has no escapes undone. */
bool logtool_scan_member(struct logtool_scan *scan, struct span *name, struct logtool_value *value);

/* The next item of a list. */
bool logtool_scan_item(struct logtool_scan *scan, struct logtool_value *value);

/* After the last one: is nothing but white space behind the closing bracket? */
bool logtool_scan_is_done(const struct logtool_scan *scan);

/* A string with its escapes undone, in UTF-8, into `out` (room for value->text.len).  is_bytes: \u00XX stands for the byte
 * XX.  The length. */
size_t logtool_scan_unescape(const struct logtool_value *value, bool is_bytes, char *out);

/* A whole number from 0 to 2^53.  False: it is none. */
bool logtool_scan_number(const struct logtool_value *value, uint64_t *number);

#endif
