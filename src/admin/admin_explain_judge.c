/* SPDX-License-Identifier: Apache-2.0 */
/* admin_explain_judge.c - see admin_explain_judge.h; and the questions that the answers are to. */
#include "admin/admin_explain_judge.h"

#include <string.h>

#include "base/base_fmt.h"
#include "lease/lease_lookup.h"

/* ---- the questions ---- */

static struct lease_question *add_question(struct admin_explain_questions *questions,
                                           enum lease_question_kind kind, const uint8_t key[16])
{
    struct lease_question *question = &questions->list[questions->count++];
    *question = (struct lease_question){.kind = kind};
    memcpy(question->key, key, sizeof(question->key));
    return question;
}

/* As exchange_lookup.c names a member. */
static struct span member_name(const struct admin_explain_subject *subject,
                               char hash[IDENTITY_TEXT_LEN])
{
    const struct identity_value *value = &subject->value;
    bool is_clear = !value->is_shared && identity_is_clear(value->kind) &&
                    value->value.len <= LEASE_FIELD_MAX &&
                    (value->kind == IDENTITY_IP || !identity_is_like_sign(value->value));
    if (is_clear)
        return value->value;
    fmt_base64url(hash, subject->mac, IDENTITY_KEY_BYTES);
    return (struct span){hash, IDENTITY_TEXT_LEN};
}

static void ask_tiers(const struct admin_explanation *explanation,
                      struct admin_explain_questions *questions, unsigned i)
{
    const struct admin_explain_quota *row = &explanation->quotas[i];
    questions->rows[i].tiers = &questions->list[questions->count];
    for (unsigned k = 0; k < row->base->key_count; k++) {
        const struct admin_explain_subject *subject = &explanation->subjects[row->parts[k]];
        uint8_t key[IDENTITY_KEY_BYTES];
        identity_quota_key(subject->mac, row->base->id, key);
        struct lease_question *question = add_question(questions, LEASE_ASK_TIER, key);
        question->as_request = true;
        question->quota = row->base;
        question->member = member_name(subject, questions->rows[i].names[k]);
        questions->rows[i].tier_count++;
    }
}

void admin_explain_ask(const struct admin_explanation *explanation,
                       struct admin_explain_questions *questions)
{
    memset(questions->rows, 0, sizeof(questions->rows));
    questions->count = 0;
    for (unsigned i = 0; explanation->end == END_OK && i < explanation->quota_count; i++) {
        const struct admin_explain_quota *row = &explanation->quotas[i];
        if (!row->has_key || row->is_passed || (!row->is_counted && !row->is_live))
            continue;
        questions->rows[i].subject = add_question(questions, LEASE_ASK_SUBJECT, row->key);
        if (row->base->in_flight != 0 || row->quota->in_flight != 0) {
            questions->rows[i].slots = add_question(questions, LEASE_ASK_SLOTS, row->key);
            questions->rows[i].slots->quota = row->base;
        }
        if (row->is_live)
            ask_tiers(explanation, questions, i);
    }
}

/* ---- the answers ---- */

/* The first part of the key that is a member of a tier that there is. */
static void take_tier(struct admin_explain_quota *row,
                      const struct admin_explain_questions *questions, unsigned i)
{
    const struct lease_question *tiers = questions->rows[i].tiers;
    const struct quota_tier *tier = NULL;
    for (unsigned k = 0; tier == NULL && k < questions->rows[i].tier_count; k++) {
        if (tiers[k].told == LEASE_TOLD_FOUND)
            tier = quota_tiers_named(row->base->tiers, span_of(tiers[k].text));
    }
    row->is_told = true;
    if (tier != NULL)
        admin_explain_set_tier(row, tier);
}

/* Is a quota in shadow tried, though its subject may be made up?  As exchange_may_try has it. */
static bool may_try(const struct admin_explanation *explanation,
                    const struct admin_explain_quota *row)
{
    for (unsigned k = 0; k < row->base->key_count; k++) {
        const struct admin_explain_subject *subject = &explanation->subjects[row->parts[k]];
        if (subject->is_claimed && !subject->is_verified && !subject->has_gate)
            return false;
    }
    return true;
}

static void add_charge(struct lease_foresight *f, struct admin_explain_finding *found,
                       const struct admin_explain_quota *row, uint32_t cost,
                       const struct lease_question *answer)
{
    const unsigned i = f->count++;
    quota_charge_begin(&f->charges[i], row->quota, row->key, cost);
    f->charges[i].is_claimed = row->has_claims;
    f->charges[i].is_guarded = row->is_guarded;
    f->stored[i] = answer;
    f->has_gates = f->has_gates || row->quota->is_gate;
    found->charge = &f->charges[i];
    found->use = &f->uses[i];
}

static void add_slot(struct lease_foresight *f, struct admin_explain_finding *found,
                     const struct admin_explain_quota *row, const struct lease_question *answer)
{
    const unsigned k = f->slot_count++;
    f->slots[k] = (struct quota_slot){.quota = row->quota};
    memcpy(f->slots[k].key, row->key, sizeof(f->slots[k].key));
    f->taken[k] = answer;
    found->slot = &f->slots[k];
}

/* One quota that counts the request: among those that decide, or by itself. */
static void enter(struct admin_explain_judgement *judgement,
                  const struct admin_explanation *explanation,
                  const struct admin_explain_questions *questions, unsigned i)
{
    const struct admin_explain_quota *row = &explanation->quotas[i];
    struct admin_explain_finding *found = &judgement->findings[i];
    struct lease_foresight *f = &judgement->enforced;
    const uint32_t cost = row->is_bucket ? 1 : explanation->route->cost.estimate;
    if (row->quota->mode == QUOTA_SHADOW)
        f = &judgement->shadows[judgement->shadow_count++];
    if (row->quota->limit_count != 0 && f->count < QUOTA_MAX_PER_ROUTE)
        add_charge(f, found, row, cost, questions->rows[i].subject);
    if (row->quota->in_flight != 0 && f->slot_count < QUOTA_MAX_PER_ROUTE)
        add_slot(f, found, row, questions->rows[i].slots);
    judgement->has_leased = judgement->has_leased || row->quota->accuracy == QUOTA_LEASED;
}

/* In shadow a window and a slot are tried each by itself. */
static void foresee_shadow(const struct admin_explain_moment *moment, struct lease_foresight *f)
{
    const unsigned count = f->count;
    f->count = 0;
    lease_foresee(moment->lease, moment->loop, f);
    const bool is_away = f->is_away;
    const unsigned slot_count = f->slot_count;
    f->count = count;
    f->slot_count = 0;
    lease_foresee(moment->lease, moment->loop, f);
    f->slot_count = slot_count;
    f->is_away = f->is_away || is_away;
}

static bool has_refused(const struct admin_explain_finding *found)
{
    bool is_refused = found->slot != NULL && found->slot->is_refused;
    for (unsigned w = 0; found->charge != NULL && w < found->charge->quota->limit_count; w++)
        is_refused = is_refused || found->charge->readings[w].refused;
    return is_refused;
}

static const char *word_of(const struct admin_explain_quota *row,
                           const struct admin_explain_finding *found,
                           const struct lease_foresight *f)
{
    const bool is_shadow = row->quota->mode == QUOTA_SHADOW;
    if (f->is_away && is_shadow)
        return "skipped"; /* nobody waits for it */
    if (f->is_away && row->quota->on_failure == QUOTA_FAIL_DENY &&
        f->decision.verdict == QUOTA_UNAVAILABLE)
        return "unavailable";
    if (has_refused(found))
        return is_shadow ? "would_refuse" : "refuses";
    if (found->charge != NULL && found->charge->is_skipped)
        return "skipped";
    return "ok";
}

/* What is said of a quota that is not asked. */
static const char *word_unasked(const struct admin_explain_quota *row)
{
    if (row->is_passed)
        return "passed";
    if (row->is_exempt)
        return "exempt";
    return row->has_key ? "unlimited" : "not_counted";
}

static void find_out(struct admin_explain_judgement *judgement,
                     const struct admin_explanation *explanation, unsigned i,
                     const struct lease_foresight *f, uint64_t now_s)
{
    const struct admin_explain_quota *row = &explanation->quotas[i];
    struct admin_explain_finding *found = &judgement->findings[i];
    found->verdict = word_of(row, found, f);
    found->has_numbers = found->charge != NULL && !found->use->is_skipped;
    if (found->charge != NULL)
        found->held = f->held[found->charge - f->charges];
    found->now_s = now_s;
    if (found->charge != NULL && !f->is_away)
        found->now_s = f->stored[found->charge - f->charges]->subject.now_us / 1000000;
}

void admin_explain_judge(struct admin_explain_judgement *judgement,
                         struct admin_explanation *explanation,
                         const struct admin_explain_questions *questions,
                         const struct admin_explain_moment *moment)
{
    const struct lease_foresight *of_row[ADMIN_EXPLAIN_ROWS] = {NULL};
    bool is_exempt = false;
    if (explanation->end != END_OK)
        return;
    judgement->count = explanation->quota_count;
    for (unsigned i = 0; i < judgement->count; i++) {
        struct admin_explain_quota *row = &explanation->quotas[i];
        unsigned shadows = judgement->shadow_count;
        if (row->is_live && row->has_key)
            take_tier(row, questions, i);
        is_exempt =
            is_exempt || row->is_exempt || (row->has_key && !row->is_counted && !row->is_passed);
        judgement->findings[i].verdict = word_unasked(row);
        if (!row->is_counted)
            continue;
        if (row->quota->mode == QUOTA_SHADOW && !may_try(explanation, row)) {
            judgement->findings[i].verdict = "not_tried";
            continue;
        }
        enter(judgement, explanation, questions, i);
        of_row[i] = shadows == judgement->shadow_count ? &judgement->enforced
                                                       : &judgement->shadows[shadows];
    }
    lease_foresee(moment->lease, moment->loop, &judgement->enforced);
    if (judgement->enforced.decision.verdict == QUOTA_NONE && is_exempt)
        judgement->enforced.decision.verdict = QUOTA_EXEMPT;
    for (unsigned k = 0; k < judgement->shadow_count; k++)
        foresee_shadow(moment, &judgement->shadows[k]);
    for (unsigned i = 0; i < judgement->count; i++) {
        if (of_row[i] == NULL)
            continue;
        find_out(judgement, explanation, i, of_row[i],
                 lease_foresee_now_us(moment->lease, moment->loop) / 1000000);
        judgement->is_away = judgement->is_away || of_row[i]->is_away;
        judgement->is_moving = judgement->is_moving || of_row[i]->is_moving;
    }
}
