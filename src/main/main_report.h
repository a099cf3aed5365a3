/* SPDX-License-Identifier: Apache-2.0 */
/* main_report.h - what of a configuration's report is worth a line in a log. */
#ifndef SLUICE_MAIN_REPORT_H
#define SLUICE_MAIN_REPORT_H

#include <stdbool.h>

#include "base/base_span.h"

/* The next line that tells an error, without source lines, carets and warnings; of a report that has no such line,
 * the first.  *rest is the report at first, *line SPAN_NONE.  False at the end. */
bool main_report_next(struct span *rest, struct span *line);

#endif
