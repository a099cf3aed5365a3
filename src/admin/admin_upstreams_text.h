/* SPDX-License-Identifier: Apache-2.0 */
/* admin_upstreams_text.h - how servers stand, for people.  Takes: the JSON answers about upstreams and orders.  Gives: lines that name
 * the thing, say why, and say what to do next. */
#ifndef SLUICE_ADMIN_UPSTREAMS_TEXT_H
#define SLUICE_ADMIN_UPSTREAMS_TEXT_H

#include "base/base_span.h"

/* Malloc'ed; NULL: it is not that, or there is no memory.  A problem document becomes its detail. */
char *admin_upstreams_text(struct span answer);

#endif
