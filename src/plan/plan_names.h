/* SPDX-License-Identifier: Apache-2.0 */
/* plan_names.h - takes: a plan that nobody has yet.  Gives: it, with the addresses of the servers that it names.  Never fails:
 * a name that is not known now is watched by those who connect. */
#ifndef SLUICE_PLAN_NAMES_H
#define SLUICE_PLAN_NAMES_H

#include "plan/plan.h"

/* Blocks until all are answered, but no longer than patience_us.  Without this the first requests to a server come before its
 * address, and are refused. */
void plan_find_names(struct plan *plan, uint64_t patience_us);

#endif
