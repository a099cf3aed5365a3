/* SPDX-License-Identifier: Apache-2.0 */
/* admin_explain_judge.h - each quota of an explanation with what the store, or this process, says of it.  Takes: an explanation
 * and the answers.  Gives: what would be decided, and a finding for each quota.  Never: asks or charges anything. */
#ifndef SLUICE_ADMIN_EXPLAIN_JUDGE_H
#define SLUICE_ADMIN_EXPLAIN_JUDGE_H

#include "admin/admin_explain_verdict.h"
#include "lease/lease_foresee.h"

/* What is found out about one quota.  Borrows from its judgement. */
struct admin_explain_finding {
    const char *verdict;               /* a word for the row */
    const struct quota_charge *charge; /* as the request would be told; NULL: none is asked */
    const struct quota_charge *use;    /* and without it */
    const struct quota_slot *slot;     /* NULL: none is asked */
    uint32_t held;
    bool has_numbers; /* use and charge say something */
    uint64_t now_s;   /* by the clock that they count from */
};

/* Large: on the heap. */
struct admin_explain_judgement {
    struct lease_foresight enforced;                     /* decides */
    struct lease_foresight shadows[QUOTA_MAX_PER_ROUTE]; /* each of one quota alone */
    unsigned shadow_count;
    bool is_away, is_moving, has_leased;
    unsigned count; /* of the explanation's quotas; 0: it does not come to them */
    struct admin_explain_finding findings[ADMIN_EXPLAIN_ROWS];
};

/* Zeroed before.  Tiers that were looked up are put into the explanation. */
void admin_explain_judge(struct admin_explain_judgement *judgement,
                         struct admin_explanation *explanation,
                         const struct admin_explain_questions *questions,
                         const struct admin_explain_moment *moment);

#endif
