/* SPDX-License-Identifier: Apache-2.0 */
/* admin_explain_verdict.h - an explanation with the numbers of the moment.  Takes: an explanation, and the store's answers to the
 * questions that it raises.  Gives: JSON: what is used, and what the request would be answered. */
#ifndef SLUICE_ADMIN_EXPLAIN_VERDICT_H
#define SLUICE_ADMIN_EXPLAIN_VERDICT_H

#include <jansson.h>

#include "admin/admin_explain.h"
#include "lease/lease_operate.h"

#define ADMIN_EXPLAIN_ROWS      (2 * QUOTA_MAX_PER_ROUTE)
#define ADMIN_EXPLAIN_QUESTIONS (ADMIN_EXPLAIN_ROWS * (2 + QUOTA_KEY_MAX))

/* What the store is asked of an explanation; all are not answered (AWAY) until they are. */
struct admin_explain_questions {
    unsigned count;
    struct lease_question list[ADMIN_EXPLAIN_QUESTIONS];
    struct {
        struct lease_question *subject, *slots; /* NULL: not asked */
        struct lease_question *tiers;           /* so many, in the key's order */
        unsigned tier_count;
        char names[QUOTA_KEY_MAX]
                  [IDENTITY_TEXT_LEN]; /* of members that have no name of their own */
    } rows[ADMIN_EXPLAIN_ROWS];        /* as the explanation's quotas */
};

_Static_assert(ADMIN_EXPLAIN_QUESTIONS <= LEASE_QUESTIONS_MAX, "one inquiry is enough");

/* Borrows from the explanation. */
void admin_explain_ask(const struct admin_explanation *explanation,
                       struct admin_explain_questions *questions);

struct admin_explain_moment {
    const struct lease *lease;
    const struct loop *loop;
    bool is_draining;
};

/* Tiers that were looked up are put into the explanation.  NULL: out of memory. */
json_t *admin_explain_verdict(struct admin_explanation *explanation,
                              const struct admin_explain_questions *questions,
                              const struct admin_explain_moment *moment);

#endif
