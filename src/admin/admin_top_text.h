/* SPDX-License-Identifier: Apache-2.0 */
/* admin_top_text.h - who takes most, and what was refused as malformed, for people.  Takes: the JSON answers of /v1/top and
 * /v1/errors.  Gives: tables that say what to do next. */
#ifndef SLUICE_ADMIN_ADMIN_TOP_TEXT_H
#define SLUICE_ADMIN_ADMIN_TOP_TEXT_H

#include "base/base_span.h"

/* Malloc'ed; NULL: the answer is no JSON object, or there is no memory.  A problem is told by its detail. */
char *admin_top_text(struct span answer);
char *admin_errors_text(struct span answer);

#endif
