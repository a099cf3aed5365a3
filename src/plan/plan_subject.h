/* SPDX-License-Identifier: Apache-2.0 */
/* plan_subject.h - which subjects an operator may mean.  Takes: a plan and what he wrote.  Gives: for each quota the
 * subjects that it would count under that name.  Asks no store: whether one was ever met is another question.  Pure.
 *
 * He may write a value of an identity that is shown in clear ("alice", "203.0.113.7"), the 22 characters that logs show for
 * the others, either of them behind an identity's name or a source ("user:alice", "ip:203.0.113.7"), and for a quota whose
 * key has several identities their values in order, with commas between them. */
#ifndef SLUICE_PLAN_SUBJECT_H
#define SLUICE_PLAN_SUBJECT_H

#include "plan/plan.h"
#include "quota/quota_tier.h"

#define PLAN_SUBJECTS_MAX 128

/* A subject of one quota.  Owner: struct plan_subjects; borrows from the plan. */
struct plan_subject {
    const struct quota *quota;       /* as configured */
    const struct identity *identity; /* the first of the quota's key */
    struct span source;              /* "basic_user"; "hash": by its 22 characters; "several" */
    struct span shown;               /* as logs show it */
    uint8_t mac[IDENTITY_KEY_BYTES]; /* the same in every quota */
    uint8_t key[IDENTITY_KEY_BYTES]; /* of this quota */
    const struct quota_tier *tier;   /* as the file says; NULL: the quota has no tiers */
    struct span member;              /* its name among live members; empty: they are in the file */
};

/* Owner: the caller.  Freed by: plan_subjects_fini. */
struct plan_subjects {
    struct arena arena;
    unsigned count;
    struct plan_subject list[PLAN_SUBJECTS_MAX];
};

/* quota: the name of the only one that matters; empty: all.  NULL, or why there can be no such subject. */
const char *plan_subjects_find(struct plan_subjects *subjects, const struct plan *plan,
                               struct span text, struct span quota);
void plan_subjects_fini(struct plan_subjects *subjects);

#endif
