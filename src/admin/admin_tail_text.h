/* SPDX-License-Identifier: Apache-2.0 */
/* admin_tail_text.h - a line of the access log as a short sentence.  Takes: the line.  Gives: text with its newline. */
#ifndef SLUICE_ADMIN_ADMIN_TAIL_TEXT_H
#define SLUICE_ADMIN_ADMIN_TAIL_TEXT_H

#include "base/base_span.h"

/* Malloc'ed; NULL: it is not that, or there is no memory. */
char *admin_tail_text(struct span line);

#endif
