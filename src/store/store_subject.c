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

static void read_fixed(const struct store_subject *subject, struct quota_charge *charge, unsigned w)
{
    const struct quota_limit *limit = &charge->quota->limits[w];
    const struct store_subject_window *window = find(subject, limit->period_s);
    uint64_t now_s = subject->now_us / 1000000;
    uint64_t most = (uint64_t)limit->limit + store_subject_extra(subject);
    struct quota_reading *reading = &charge->readings[w];
    *reading = (struct quota_reading){
        .start_s = quota_window_start(limit->period_s, now_s),
        .limit = most > INT32_MAX ? INT32_MAX : (uint32_t)most,
    };
    if (window == NULL)
        return;
    reading->used = window->used;
    reading->start_s = quota_window_settle(limit->period_s, now_s, window->start_s, &reading->used);
}

static void read_other(const struct store_subject *subject, struct quota_charge *charge, unsigned w)
{
    const struct quota *quota = charge->quota;
    struct quota_terms terms = quota_terms_of(quota, w, store_subject_extra(subject), 1);
    struct quota_state state = {0};
    unsigned place = quota_limit_place(quota, w);
    const struct store_subject_window *window = find(subject, quota_place_code(quota, place));
    if (window != NULL)
        state = (struct quota_state){window->start_s, window->used, 0};
    if (window != NULL && quota->algorithm == QUOTA_SLIDING) {
        const struct store_subject_window *before =
            find(subject, quota_place_code(quota, place + 1));
        if (before != NULL && before->start_s + terms.period_s == window->start_s)
            state.before = before->used;
    }
    quota_state_settle(&terms, &state, subject->now_us);
    quota_state_tell(&terms, &state, subject->now_us, 0, false, charge, w);
}

void store_subject_read(const struct store_subject *subject, struct quota_charge *charge)
{
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        if (charge->quota->algorithm == QUOTA_FIXED)
            read_fixed(subject, charge, w);
        else
            read_other(subject, charge, w);
    }
}
