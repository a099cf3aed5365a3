/* SPDX-License-Identifier: Apache-2.0 */
/* store_subject.c - see store_subject.h. */
#include "store/store_subject.h"

static const struct store_subject_window *find(const struct store_subject *subject, uint32_t code)
{
    for (unsigned i = 0; i < subject->window_count; i++) {
        if (subject->windows[i].code == code)
            return &subject->windows[i];
    }
    return NULL;
}

void store_subject_apply(struct store_subject *subject, const struct store_order *order)
{
    if (order->verb == STORE_ORDER_GRANT) {
        subject->extra = order->extra;
        subject->expires_s = (uint32_t)(subject->now_us / 1000000) + order->for_s;
    }
    if (order->verb != STORE_ORDER_RESET)
        return;
    subject->generation++;
    for (unsigned i = 0; i < subject->window_count; i++) {
        struct store_subject_window *window = &subject->windows[i];
        window->used = 0;
        if (quota_code_kind(window->code) == QUOTA_KIND_BUCKET)
            window->start_s = 0;
    }
}

uint32_t store_subject_extra(const struct store_subject *subject)
{
    return subject->expires_s > subject->now_us / 1000000 ? subject->extra : 0;
}

struct quota_terms store_subject_terms(const struct store_subject *subject,
                                       const struct quota *quota, unsigned limit)
{
    return quota_terms_of(quota, limit, store_subject_extra(subject), 1);
}

static struct quota_state settle_fixed(const struct store_subject *subject, uint32_t period_s,
                                       const struct store_subject_window *window)
{
    uint64_t now_s = subject->now_us / 1000000;
    struct quota_state state = {quota_window_start(period_s, now_s), 0, 0};
    if (window == NULL)
        return state;
    state.count = window->used;
    state.at_s = quota_window_settle(period_s, now_s, window->start_s, &state.count);
    return state;
}

struct quota_state store_subject_state(const struct store_subject *subject,
                                       const struct quota *quota, unsigned limit)
{
    struct quota_terms terms = store_subject_terms(subject, quota, limit);
    struct quota_state state = {0};
    unsigned place = quota_limit_place(quota, limit);
    const struct store_subject_window *window = find(subject, quota_place_code(quota, place));
    if (quota->algorithm == QUOTA_FIXED)
        return settle_fixed(subject, terms.period_s, window);
    if (window != NULL)
        state = (struct quota_state){window->start_s, window->used, 0};
    if (window != NULL && quota->algorithm == QUOTA_SLIDING) {
        const struct store_subject_window *before =
            find(subject, quota_place_code(quota, place + 1));
        if (before != NULL && before->start_s + terms.period_s == window->start_s)
            state.before = before->used;
    }
    quota_state_settle(&terms, &state, subject->now_us);
    return state;
}

void store_subject_read(const struct store_subject *subject, struct quota_charge *charge)
{
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        struct quota_terms terms = store_subject_terms(subject, charge->quota, w);
        struct quota_state state = store_subject_state(subject, charge->quota, w);
        quota_state_tell(&terms, &state, subject->now_us, 0, false, charge, w);
    }
}
