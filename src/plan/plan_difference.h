/* SPDX-License-Identifier: Apache-2.0 */
/* plan_difference.h - what another configuration would change, told as who gets more and who gets less.  Takes: two plans.
 * Gives: sentences and JSON, both of bounded length.  Never shows a secret. */
#ifndef SLUICE_PLAN_DIFFERENCE_H
#define SLUICE_PLAN_DIFFERENCE_H

#include "plan/plan.h"

#define PLAN_DIFFERENCE_TEXT_MAX 16384
#define PLAN_DIFFERENCE_JSON_MAX 24576

/* First who gets more, then who gets less, routes, listeners, servers, and the rest.  Freed by: plan_difference_fini. */
struct plan_difference {
    /* A line each: "quota ip gives more: limits minute 60 -> 90"; empty: there is none. */
    char *text;
    /* [{"effect":"more","item":"quota ip","key":"limits minute","was":60,"is":90}]; effect: more, less, added, removed,
     * opened, closed, changed, reordered. */
    char *json;
    unsigned count;
    unsigned left_off; /* of them: for which there was no room, in one of the two */
};

/* False: no memory, and nothing to free. */
bool plan_difference_make(struct plan_difference *difference, const struct plan *old,
                          const struct plan *next);
void plan_difference_fini(struct plan_difference *difference);

#endif
