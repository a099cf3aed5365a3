/* SPDX-License-Identifier: Apache-2.0 */
/* lease_foresee.c - see lease_foresee.h. */
#include "lease/lease_foresee.h"

#include <stddef.h>
#include <string.h>

#include "base/base_clock.h"
#include "lease/lease_hold.h"
#include "lease/lease_private.h"

/* What this process knows of one key, copied. */
struct known {
    struct store_cell cell; /* lease_local_look wants the body behind one */
    struct lease_cell body;
    bool is_there;
    bool is_here;    /* all that the request takes is held */
    bool is_refused; /* and what is missing was refused lately */
    uint32_t held, need;
    struct store_redis_claim claim; /* what the request would ask the store for */
};

_Static_assert(offsetof(struct known, body) == sizeof(struct store_cell),
               "as store_cell_body has it");

/* One question while it is thought about. */
struct thought {
    const struct lease *lease;
    struct lease_foresight *f;
    struct known known[QUOTA_MAX_PER_ROUTE]; /* over Redis */
    uint64_t now_us, mono_us;                /* the store's clock, as far as is known; ours */
};

static uint32_t capped(uint64_t number)
{
    return number > INT32_MAX ? INT32_MAX : (uint32_t)number;
}

static bool is_over_redis(const struct thought *t)
{
    return t->lease->memory == NULL;
}

static bool is_answer(const struct lease_question *question)
{
    return question->told == LEASE_TOLD_FOUND || question->told == LEASE_TOLD_NOTHING;
}

static void conclude(struct lease_foresight *f, uint64_t now_us)
{
    if (f->has_gates)
        quota_let_gates_speak(f->charges, f->count);
    quota_decide(&f->decision, f->charges, f->count, now_us);
}

static bool has_refused(const struct quota_charge *charge)
{
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        if (charge->readings[w].refused)
            return true;
    }
    return false;
}

/* ---- what is known here ---- */

static void know(struct thought *t, unsigned i)
{
    struct known *known = &t->known[i];
    const struct quota_charge *charge = &t->f->charges[i];
    const struct quota *quota = charge->quota;
    struct store_cell *found = lease_table_find(&t->lease->table, charge->key);
    *known = (struct known){.is_there = found != NULL};
    if (found != NULL) {
        known->body = *(const struct lease_cell *)store_cell_body(found);
        store_cell_unlock(found);
    }
    lease_cell_settle(&known->body, quota, t->now_us / 1000000);
    if (!lease_is_leased(quota))
        lease_tokens_release(&known->body); /* it was, before a reload */
    known->held = lease_tokens_held(&known->body, t->mono_us);
    known->is_here = known->held != 0 && known->held >= charge->cost;
    known->need = charge->cost > known->held ? charge->cost - known->held : 0;
    known->is_refused = !known->is_here && known->is_there &&
                        lease_cell_refuses(&known->body, quota, known->need, t->mono_us);
    struct lease_cell asking = known->body;
    lease_cell_claim(&asking, quota, known->need, true, &known->claim);
    t->f->held[i] = known->held;
    t->f->is_moving |= known->body.asking != 0;
    for (unsigned w = 0; w < QUOTA_WINDOWS_MAX; w++)
        t->f->is_moving |= known->body.windows[w].billed != 0;
}

/* ---- what the store would say: of a value that another server has lost it may be told more, which is not foreseen ---- */

static void bill(uint32_t *count, const struct store_redis_window *window, bool is_past)
{
    if (!is_past && window->floor > *count)
        *count = window->floor;
    if (!is_past)
        *count -= window->back < *count ? window->back : *count;
    *count = capped((uint64_t)*count + window->debt);
}

/* One limit in the store, with what the claim would bring along. */
static struct quota_state state_of(const struct thought *t, unsigned i, unsigned w)
{
    const struct quota *quota = t->f->charges[i].quota;
    const struct store_subject *subject = &t->f->stored[i]->subject;
    struct quota_state state = store_subject_state(subject, quota, w);
    if (!is_over_redis(t))
        return state;
    const struct known *known = &t->known[i];
    const struct store_redis_window *window = &known->claim.windows[quota_limit_place(quota, w)];
    const struct quota_terms terms = store_subject_terms(subject, quota, w);
    const bool is_past = known->body.generation < subject->generation;
    if (quota->algorithm == QUOTA_BUCKET) {
        if (window->debt != 0)
            quota_state_take(&terms, &state, subject->now_us, window->debt);
        if (window->back != 0 && !is_past)
            quota_state_give_back(&terms, &state, subject->now_us, window->back,
                                  (uint64_t)window->mark_s << 32);
        return state;
    }
    if (window->start_s == state.at_s)
        bill(&state.count, window, is_past);
    if (quota->algorithm == QUOTA_SLIDING && window[1].start_s + terms.period_s == state.at_s)
        bill(&state.before, &window[1], is_past);
    return state;
}

/* What is used without the request; what is held here is not. */
static void read_use(struct thought *t, unsigned i)
{
    struct quota_charge *use = &t->f->uses[i];
    const struct store_subject *subject = &t->f->stored[i]->subject;
    *use = t->f->charges[i];
    for (unsigned w = 0; w < use->quota->limit_count; w++) {
        struct quota_terms terms = store_subject_terms(subject, use->quota, w);
        struct quota_state state = state_of(t, i, w);
        if (lease_is_leased(use->quota))
            state.count -= t->f->held[i] < state.count ? t->f->held[i] : state.count;
        quota_state_tell(&terms, &state, subject->now_us, 0, false, use, w);
    }
}

/* Would the store let `need` in?  The charge's readings are those of a refusal where it would not. */
static bool store_has_room(struct thought *t, unsigned i, uint32_t need)
{
    struct quota_charge *charge = &t->f->charges[i];
    const struct store_subject *subject = &t->f->stored[i]->subject;
    charge->source = QUOTA_SOURCE_STORE;
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        struct quota_terms terms = store_subject_terms(subject, charge->quota, w);
        struct quota_state state = state_of(t, i, w);
        bool is_refused = !quota_state_has_room(&terms, &state, subject->now_us, need);
        quota_state_tell(&terms, &state, subject->now_us, need, is_refused, charge, w);
        uint32_t held = t->f->held[i], *used = &charge->readings[w].used;
        *used -= held < *used ? held : *used;
    }
    return !has_refused(charge);
}

static void read_granted(struct thought *t, unsigned i, uint32_t need)
{
    struct quota_charge *charge = &t->f->charges[i];
    const struct store_subject *subject = &t->f->stored[i]->subject;
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        struct quota_terms terms = store_subject_terms(subject, charge->quota, w);
        struct quota_state state = state_of(t, i, w);
        quota_state_take(&terms, &state, subject->now_us, need);
        quota_state_tell(&terms, &state, subject->now_us, need, false, charge, w);
    }
}

/* ---- deciding ---- */

static void decide_in_memory(struct thought *t)
{
    struct lease_foresight *f = t->f;
    bool is_granted = true;
    for (unsigned i = 0; i < f->count; i++) {
        if (!store_has_room(t, i, f->charges[i].cost))
            is_granted = false;
    }
    for (unsigned i = 0; is_granted && i < f->count; i++)
        read_granted(t, i, f->charges[i].cost);
    conclude(f, t->now_us);
}

/* False: no cell says why, which is no refusal. */
static bool is_refused_lately(struct thought *t)
{
    struct lease_foresight *f = t->f;
    bool is_refused = false, has_reason = false;
    for (unsigned i = 0; i < f->count; i++)
        is_refused = is_refused || t->known[i].is_refused;
    for (unsigned i = 0; is_refused && i < f->count; i++) {
        const struct known *known = &t->known[i];
        bool may_refuse = known->is_there && t->mono_us < known->body.refused_until_us;
        lease_read(known->is_there ? &known->body : NULL, &f->charges[i], f->charges[i].cost,
                   t->now_us, may_refuse);
        has_reason = has_reason || has_refused(&f->charges[i]);
    }
    if (has_reason)
        conclude(f, t->now_us);
    return has_reason;
}

/* A charge that all is held for. */
static void read_held(struct thought *t, unsigned i, bool is_granted)
{
    struct lease_cell *body = &t->known[i].body;
    if (is_granted)
        body->held -= t->f->charges[i].cost;
    lease_read(body, &t->f->charges[i], 0, t->now_us, false);
}

/* Part of it is held, and the store is asked for the rest; all of it held, for nothing. */
static void decide_over_redis(struct thought *t)
{
    struct lease_foresight *f = t->f;
    bool is_granted = true;
    uint64_t now_us = t->now_us;
    for (unsigned i = 0; i < f->count; i++) {
        if (t->known[i].is_here)
            continue;
        is_granted &= store_has_room(t, i, t->known[i].need);
        now_us = f->stored[i]->subject.now_us;
    }
    for (unsigned i = 0; i < f->count; i++) {
        if (t->known[i].is_here)
            read_held(t, i, is_granted);
        else if (is_granted)
            read_granted(t, i, t->known[i].need);
    }
    conclude(f, now_us);
}

/* ---- the store is away: as lease_local.c decides ---- */

static void be_unavailable(struct lease_foresight *f)
{
    f->decision = (struct quota_decision){.verdict = QUOTA_UNAVAILABLE, .retry_after_s = 1};
}

static bool is_by_lease(const struct thought *t, unsigned i)
{
    return t->known[i].is_here && lease_is_leased(t->f->charges[i].quota);
}

static bool is_by_share(const struct thought *t, unsigned i)
{
    return t->f->charges[i].quota->on_failure == QUOTA_FAIL_LOCAL && !is_by_lease(t, i);
}

static struct lease_held held_of(struct thought *t, unsigned i, uint32_t cost)
{
    return (struct lease_held){
        .cell = &t->known[i].cell, .quota = t->f->charges[i].quota, .cost = cost};
}

static bool look_locally(struct thought *t, unsigned i, struct quota_charge *charge, uint32_t cost,
                         uint32_t proxies)
{
    const struct lease_held held = held_of(t, i, cost);
    return lease_local_look(&held, charge, proxies, t->now_us);
}

/* What is used, each quota by what decides it. */
static void read_uses_locally(struct thought *t, uint32_t proxies)
{
    struct lease_foresight *f = t->f;
    for (unsigned i = 0; i < f->count; i++) {
        struct quota_charge *charge = &f->charges[i], *use = &f->uses[i];
        charge->is_degraded = true;
        charge->source = QUOTA_SOURCE_LOCAL;
        charge->is_skipped = !is_by_share(t, i) && !is_by_lease(t, i);
        memset(charge->readings, 0, sizeof(charge->readings));
        *use = *charge;
        if (is_by_share(t, i) && proxies != 0)
            (void)look_locally(t, i, use, 0, proxies);
        else
            lease_read(&t->known[i].body, use, 0, t->now_us, false);
        use->is_skipped = charge->is_skipped;
    }
}

/* A gate that refuses speaks alone. */
static bool does_gate_refuse(struct thought *t, uint32_t proxies)
{
    struct lease_foresight *f = t->f;
    bool is_refused = false;
    for (unsigned i = 0; i < f->count; i++) {
        struct quota_charge *charge = &f->charges[i];
        if (charge->quota->is_gate && is_by_share(t, i))
            is_refused |= !look_locally(t, i, charge, charge->cost, proxies);
    }
    if (is_refused)
        conclude(f, t->now_us);
    return is_refused;
}

static void decide_locally(struct thought *t)
{
    struct lease_foresight *f = t->f;
    uint32_t proxies = lease_proxies(t->lease);
    bool is_decided = true, has_room = true;
    read_uses_locally(t, proxies);
    for (unsigned i = 0; i < f->count; i++) {
        bool is_deny = f->charges[i].quota->on_failure == QUOTA_FAIL_DENY && !is_by_lease(t, i);
        is_decided = is_decided && !is_deny && (proxies != 0 || !is_by_share(t, i));
    }
    if (!is_decided) {
        be_unavailable(f);
        return;
    }
    if (proxies != 0 && f->has_gates && does_gate_refuse(t, proxies))
        return;
    for (unsigned i = 0; i < f->count; i++) {
        struct quota_charge *charge = &f->charges[i];
        if (is_by_share(t, i))
            has_room &= look_locally(t, i, charge, charge->cost, proxies);
    }
    for (unsigned i = 0; i < f->count; i++) {
        const struct lease_held held = held_of(t, i, f->charges[i].cost);
        if (is_by_lease(t, i))
            read_held(t, i, has_room);
        if (!is_by_share(t, i) || !has_room)
            continue;
        lease_local_take(&held, proxies, t->now_us); /* from the copy */
        lease_local_tell(&held, &f->charges[i], proxies, t->now_us);
    }
    conclude(f, t->now_us);
}

/* ---- slots: as lease_hold.c decides ---- */

static enum quota_verdict judge_slot(struct thought *t, unsigned k)
{
    struct quota_slot *slot = &t->f->slots[k];
    uint32_t proxies = t->f->is_away ? lease_proxies(t->lease) : 1;
    slot->limit = slot->quota->in_flight;
    slot->source = QUOTA_SOURCE_STORE;
    slot->used = t->f->taken[k]->slots;
    if (t->f->is_away) {
        slot->is_degraded = true;
        slot->source = QUOTA_SOURCE_LOCAL;
        slot->used = lease_slots_used(&t->lease->slots, slot->key, slot->quota);
        if (slot->quota->on_failure == QUOTA_FAIL_DENY ||
            (slot->quota->on_failure == QUOTA_FAIL_LOCAL && proxies == 0))
            return QUOTA_UNAVAILABLE;
        slot->is_skipped = slot->quota->on_failure == QUOTA_FAIL_ALLOW;
        if (slot->is_skipped)
            return QUOTA_DEGRADED_ALLOW;
        slot->limit /= proxies;
    }
    slot->is_refused = slot->used >= slot->limit;
    if (slot->is_refused)
        return slot->is_degraded ? QUOTA_DEGRADED_REFUSE : QUOTA_REFUSE;
    return slot->is_degraded ? QUOTA_DEGRADED_ALLOW : QUOTA_ALLOW;
}

/* Of all slots: unavailable beats refused, which beats what is granted.  The slot that refuses, if any. */
static enum quota_verdict judge_slots(struct thought *t, const struct quota_slot **by)
{
    enum quota_verdict verdict = QUOTA_NONE;
    bool is_unavailable = false;
    *by = NULL;
    for (unsigned k = 0; k < t->f->slot_count; k++) {
        enum quota_verdict one = judge_slot(t, k);
        is_unavailable = is_unavailable || one == QUOTA_UNAVAILABLE;
        if (t->f->slots[k].is_refused && *by == NULL) {
            *by = &t->f->slots[k];
            verdict = one;
        } else if (*by == NULL && (verdict == QUOTA_NONE || one == QUOTA_DEGRADED_ALLOW)) {
            verdict = one;
        }
    }
    return is_unavailable ? QUOTA_UNAVAILABLE : verdict;
}

static void refuse_slot(struct thought *t, const struct quota_slot *by, enum quota_verdict verdict)
{
    t->f->decision = (struct quota_decision){
        .verdict = verdict,
        .in_flight = by->quota,
        .limit = by->limit,
        .retry_after_s = LEASE_HOLD_RETRY_S,
        .now_s = t->now_us / 1000000,
    };
}

/* ---- the way of a request ---- */

static void decide_charges(struct thought *t)
{
    t->f->decision = (struct quota_decision){.verdict = QUOTA_NONE, .now_s = t->now_us / 1000000};
    if (t->f->count == 0)
        return;
    if (!is_over_redis(t))
        decide_in_memory(t);
    else if (is_refused_lately(t))
        return;
    else if (t->f->is_away)
        decide_locally(t);
    else
        decide_over_redis(t);
}

static void begin(struct thought *t)
{
    struct lease_foresight *f = t->f;
    f->is_away = f->is_moving = false;
    for (unsigned i = 0; i < f->count; i++)
        f->is_away = f->is_away || !is_answer(f->stored[i]);
    for (unsigned k = 0; k < f->slot_count; k++)
        f->is_away = f->is_away || !is_answer(f->taken[k]);
    for (unsigned i = 0; i < f->count; i++) {
        f->held[i] = 0;
        if (is_over_redis(t))
            know(t, i);
        if (!f->is_away)
            read_use(t, i);
    }
    if (f->is_away)
        read_uses_locally(t, lease_proxies(t->lease));
}

uint64_t lease_foresee_now_us(const struct lease *lease, const struct loop *loop)
{
    return lease->memory != NULL ? loop->wall_us : lease_now_us(lease, loop);
}

void lease_foresee(const struct lease *lease, const struct loop *loop,
                   struct lease_foresight *foresight)
{
    struct thought t = {.lease = lease, .f = foresight, .mono_us = clock_mono_us()};
    const struct quota_slot *by;
    t.now_us = lease_foresee_now_us(lease, loop);
    begin(&t);
    /* A flood over the limit of a window costs the store nothing: its slots are not asked for. */
    if (is_over_redis(&t) && foresight->count != 0 && is_refused_lately(&t))
        return;
    enum quota_verdict verdict = judge_slots(&t, &by);
    if (verdict == QUOTA_UNAVAILABLE) {
        be_unavailable(foresight);
        return;
    }
    if (by != NULL) {
        refuse_slot(&t, by, verdict);
        return;
    }
    decide_charges(&t);
    struct quota_decision *decision = &foresight->decision;
    if (decision->verdict == QUOTA_NONE ||
        (decision->verdict == QUOTA_ALLOW && verdict == QUOTA_DEGRADED_ALLOW))
        decision->verdict = verdict;
}

uint32_t lease_foresee_others(const struct lease *lease)
{
    uint32_t proxies = lease->memory == NULL ? lease_proxies(lease) : 0;
    return proxies > 1 ? proxies : 0;
}
