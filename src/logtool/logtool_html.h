/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_html.h - the one way to write HTML.  Takes: a literal with a "$" for each value.  Gives: the literal with the values
 * put in, escaped.  Never: lets a value be markup, whatever it is: there is no other way to put text into a page. */
#ifndef SLUICE_LOGTOOL_HTML_H
#define SLUICE_LOGTOOL_HTML_H

#include <stdint.h>
#include <stdio.h>

#include "base/base_span.h"

enum logtool_html_kind {
    LOGTOOL_HTML_TEXT,   /* escaped; controls and what is no UTF-8 as \xNN, as on a terminal */
    LOGTOOL_HTML_NUMBER, /* 1,234,567 */
    LOGTOOL_HTML_PLACE,  /* of a drawing: one decimal */
    LOGTOOL_HTML_TIME,   /* us: "950 us", "12.3 ms", "1.25 s" */
    LOGTOOL_HTML_SECOND, /* since 1970: "2026-11-22 14:02:11" */
    LOGTOOL_HTML_SHARE,  /* "12.5 %" */
};

struct logtool_html_value {
    enum logtool_html_kind kind;
    struct span text;
    uint64_t number;
    double real;
};

#define HTML_TEXT(value)   ((struct logtool_html_value){.kind = LOGTOOL_HTML_TEXT, .text = (value)})
#define HTML_NUMBER(value) ((struct logtool_html_value){LOGTOOL_HTML_NUMBER, .number = (value)})
#define HTML_PLACE(value)  ((struct logtool_html_value){LOGTOOL_HTML_PLACE, .real = (value)})
#define HTML_TIME(value)   ((struct logtool_html_value){LOGTOOL_HTML_TIME, .number = (value)})
#define HTML_SECOND(value) ((struct logtool_html_value){LOGTOOL_HTML_SECOND, .number = (value)})
#define HTML_SHARE(value)  ((struct logtool_html_value){LOGTOOL_HTML_SHARE, .real = (value)})

/* The form must be a literal: a pointer does not compile. */
#define HTML(out, form)    logtool_html_put(out, "" form "", NULL, 0)
#define HTML_PUT(out, form, ...)                                                                   \
    logtool_html_put(out, "" form "", (const struct logtool_html_value[]){__VA_ARGS__},            \
                     sizeof((const struct logtool_html_value[]){__VA_ARGS__}) /                    \
                         sizeof(struct logtool_html_value))

void logtool_html_put(FILE *out, const char *form, const struct logtool_html_value *values,
                      size_t count);

#endif
