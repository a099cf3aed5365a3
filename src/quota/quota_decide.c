/* SPDX-License-Identifier: Apache-2.0 */
/* quota_decide.c - several quotas, one verdict.  Takes: what every window said.  Gives: the verdict and
 * the window that the client is shown.  Pure. */
#include "quota/quota.h"

#define US_PER_S UINT64_C(1000000)

/* A window that may be shown. */
struct candidate {
    const struct quota *quota;
    const struct quota_limit *limit;
    const struct quota_reading *reading;
    const struct quota_outlook *outlook; /* not of fixed windows */
    uint8_t charge, window;
};

/* What all windows together have said. */
struct summary {
    bool is_refused, is_hopeless, is_degraded, is_near;
};

static uint64_t end_us(const struct candidate *c)
{
    if (c->quota->algorithm != QUOTA_FIXED)
        return c->outlook->end_us;
    return ((uint64_t)c->reading->start_s + c->limit->period_s) * US_PER_S;
}

static uint32_t remaining(const struct candidate *c)
{
    const struct quota_reading *reading = c->reading;
    if (c->quota->algorithm != QUOTA_FIXED)
        return c->outlook->left;
    return reading->used < reading->limit ? reading->limit - reading->used : 0;
}

/* The documented header knows 1 x minute, hour and day. */
static bool is_documented(const struct quota_limit *limit)
{
    return limit->count == 1 && limit->unit != QUOTA_SECOND;
}

/* Does a bind before b, both having refused?  Ties (a minute that ends with its hour) as below. */
static bool refuses_longer(const struct candidate *a, const struct candidate *b)
{
    if (end_us(a) != end_us(b))
        return end_us(a) > end_us(b);
    return a->limit->period_s < b->limit->period_s;
}

/* Does a bind before b, none having refused?  False on a full tie: file order decides. */
static bool is_tighter(const struct candidate *a, const struct candidate *b)
{
    if (is_documented(a->limit) != is_documented(b->limit))
        return is_documented(a->limit);
    /* a/A < b/B without a fraction: 32 x 32 bits fit.  A limit of 0 is as tight as can be. */
    uint64_t left = (uint64_t)remaining(a) * (b->reading->limit | !b->reading->limit);
    uint64_t right = (uint64_t)remaining(b) * (a->reading->limit | !a->reading->limit);
    if (left != right)
        return left < right;
    return a->limit->period_s < b->limit->period_s;
}

/* Would the next window admit it?  A local share is no measure: the store may be back by then. */
static bool is_hopeless(const struct quota_charge *charge, const struct candidate *c)
{
    uint32_t limit = charge->is_degraded ? c->limit->limit : c->reading->limit;
    if (c->quota->burst != 0 && limit != 0)
        limit = c->quota->burst;
    return charge->cost > limit || limit == 0;
}

static void show(struct quota_decision *decision, const struct candidate *binding, uint64_t now_us)
{
    uint64_t end = end_us(binding);
    uint64_t left_s = end > now_us ? (end - now_us + US_PER_S - 1) / US_PER_S : 1;
    decision->has_binding = true;
    decision->charge = binding->charge;
    decision->window = binding->window;
    decision->limit = binding->reading->limit;
    decision->remaining = remaining(binding);
    decision->reset_s = (uint32_t)left_s;
}

/* The verdict, once the binding window (NULL: none is shown) and what all said are known. */
static inline void conclude(struct quota_decision *decision, const struct quota_charge *charges,
                            const struct candidate *best, struct summary said, uint64_t now_us)
{
    decision->is_near = said.is_near;
    if (best != NULL)
        show(decision, best, now_us);
    if (said.is_refused) {
        /* Of the binding window: a refusal by the store is a plain one, whatever else was away. */
        bool is_local = charges[best->charge].is_degraded;
        decision->verdict = is_local ? QUOTA_DEGRADED_REFUSE : QUOTA_REFUSE;
        decision->retry_after_s = said.is_hopeless ? 0 : decision->reset_s;
    } else {
        decision->verdict = said.is_degraded ? QUOTA_DEGRADED_ALLOW : QUOTA_ALLOW;
    }
}

/* One quota with one window: nothing to compare. */
static inline void decide_single(struct quota_decision *decision, const struct quota_charge *charge,
                                 uint64_t now_us)
{
    const struct candidate only = {
        charge->quota, charge->quota->limits, charge->readings, charge->outlooks, 0, 0};
    bool is_refused = only.reading->refused;
    const struct summary said = {
        .is_refused = is_refused,
        .is_hopeless = is_refused && is_hopeless(charge, &only),
        .is_degraded = charge->is_degraded,
        .is_near = quota_reading_is_near(only.quota, only.reading),
    };
    conclude(decision, charge, &only, said, now_us);
}

void quota_decide_one(struct quota_decision *decision, const struct quota_charge *charge,
                      uint64_t now_us)
{
    const struct quota_reading *reading = charge->readings;
    const uint64_t now_s = now_us / US_PER_S;
    const uint64_t end_s = (uint64_t)reading->start_s + charge->quota->limits[0].period_s;
    if (reading->refused || charge->is_degraded || charge->quota->burst != 0 || end_s <= now_s) {
        quota_decide(decision, charge, 1, now_us);
        return;
    }
    *decision = (struct quota_decision){
        .verdict = QUOTA_ALLOW,
        .has_binding = true,
        .limit = reading->limit,
        .remaining = reading->used < reading->limit ? reading->limit - reading->used : 0,
        .reset_s = (uint32_t)(end_s - now_s), /* of a second that has begun all is counted */
        .is_near = (uint64_t)reading->used * 5 >= (uint64_t)reading->limit * 4,
        .now_s = now_s,
    };
}

void quota_decide(struct quota_decision *decision, const struct quota_charge *charges,
                  unsigned count, uint64_t now_us)
{
    struct candidate best = {0};
    struct summary said = {0};
    *decision = (struct quota_decision){.verdict = QUOTA_NONE, .now_s = now_us / US_PER_S};
    if (count == 0)
        return;
    bool is_mute = charges->is_skipped || charges->is_hidden;
    if (count == 1 && charges->quota->limit_count == 1 && !is_mute) {
        decide_single(decision, charges, now_us);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        const struct quota_charge *charge = &charges[i];
        said.is_degraded = said.is_degraded || charge->is_degraded || charge->is_skipped;
        is_mute = charge->is_skipped || charge->is_hidden;
        unsigned windows = is_mute ? 0 : charge->quota->limit_count;
        for (unsigned w = 0; w < windows; w++) {
            struct candidate here = {charge->quota,        &charge->quota->limits[w],
                                     &charge->readings[w], &charge->outlooks[w],
                                     (uint8_t)i,           (uint8_t)w};
            const struct quota_reading *reading = here.reading;
            if (quota_reading_is_near(here.quota, here.reading))
                said.is_near = true;
            if (reading->refused && is_hopeless(charge, &here))
                said.is_hopeless = true;
            bool is_better = best.limit == NULL || (reading->refused && !said.is_refused);
            if (!is_better && reading->refused == said.is_refused)
                is_better =
                    said.is_refused ? refuses_longer(&here, &best) : is_tighter(&here, &best);
            if (is_better)
                best = here;
            said.is_refused = said.is_refused || reading->refused;
        }
    }
    conclude(decision, charges, best.limit == NULL ? NULL : &best, said, now_us);
}

static bool has_refused(const struct quota_charge *charge)
{
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        if (charge->readings[w].refused)
            return true;
    }
    return false;
}

void quota_let_gates_speak(struct quota_charge *charges, unsigned count)
{
    bool is_shut = false;
    for (unsigned i = 0; i < count; i++) {
        struct quota_charge *charge = &charges[i];
        if (!charge->quota->is_gate)
            continue;
        charge->is_hidden = charge->is_skipped || !has_refused(charge);
        is_shut = is_shut || !charge->is_hidden;
    }
    for (unsigned i = 0; is_shut && i < count; i++) {
        struct quota_charge *charge = &charges[i];
        if (charge->quota->is_gate)
            continue;
        charge->is_skipped = true;
        for (unsigned w = 0; w < QUOTA_WINDOWS_MAX; w++)
            charge->readings[w] = (struct quota_reading){0};
    }
}

struct quota_standing quota_window_standing(const struct quota_charge *charge, unsigned window)
{
    const struct candidate here = {
        .quota = charge->quota,
        .limit = &charge->quota->limits[window],
        .reading = &charge->readings[window],
        .outlook = &charge->outlooks[window],
    };
    return (struct quota_standing){
        .limit = here.reading->limit,
        .remaining = remaining(&here),
        .end_s = (end_us(&here) + US_PER_S - 1) / US_PER_S,
    };
}
