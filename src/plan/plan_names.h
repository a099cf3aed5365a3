/* SPDX-License-Identifier: Apache-2.0 */
/* plan_names.h - takes: a plan that nobody has yet.  Gives: it, with the addresses of the servers that it names.  Never fails:
 * a name that is not known now is watched by those who connect. */
#ifndef SLUICE_PLAN_NAMES_H
#define SLUICE_PLAN_NAMES_H

#include "net/net_lookup.h"
#include "plan/plan.h"

/* Asks for all names, and blocks until they are answered, but no longer than patience_us; a tenth of it where the plan before
 * (NULL: there is none) has them all: then those who serve watch them.  Without this the first requests to a server come
 * before its address, and are refused. */
void plan_find_names(struct plan *plan, const struct plan *before, struct net_lookups *lookups,
                     uint64_t patience_us);

#endif
