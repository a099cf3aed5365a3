/* SPDX-License-Identifier: Apache-2.0 */
/* main_report.c - see main_report.h.  The form of a report is config/config_report.h's:
 * "file:line:column: error: /pointer: what is wrong". */
#include "main/main_report.h"

static bool report_has(struct span text, struct span word)
{
    return memmem(text.ptr, text.len, word.ptr, word.len) != NULL;
}

static struct span report_line(struct span *rest)
{
    struct span line = {rest->ptr, span_find(*rest, '\n')};
    size_t taken = line.len < rest->len ? line.len + 1 : line.len;
    rest->ptr += taken;
    rest->len -= taken;
    return line;
}

bool main_report_next(struct span *rest, struct span *line)
{
    const struct span error = SPAN(": error: ");
    if (rest->len == 0)
        return false;
    if (!report_has(*rest, error)) {
        bool is_first = line->ptr == NULL;
        *line = report_line(rest);
        rest->len = 0;
        return is_first;
    }
    do
        *line = report_line(rest);
    while (!report_has(*line, error));
    return true;
}
