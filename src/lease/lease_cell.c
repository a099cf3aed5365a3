/* SPDX-License-Identifier: Apache-2.0 */
/* lease_cell.c - see lease_cell.h. */
#include "lease/lease_cell.h"

#include <assert.h>

#include "lease/lease_tokens.h"

#define US_PER_S UINT64_C(1000000)

static uint32_t add_capped(uint32_t a, uint32_t b)
{
    uint64_t sum = (uint64_t)a + b;
    return sum > INT32_MAX ? INT32_MAX : (uint32_t)sum;
}

static uint32_t take_most(uint32_t *from, uint32_t most)
{
    uint32_t taken = *from < most ? *from : most;
    *from -= taken;
    return taken;
}

static bool is_bucket(const struct lease_window *window)
{
    return quota_code_kind(window->period_s) == QUOTA_KIND_BUCKET;
}

static bool owes(const struct lease_window *window)
{
    return (window->local | window->back | window->floor) != 0;
}

static void begin_window(struct lease_window *window, uint32_t start_s)
{
    *window = (struct lease_window){.period_s = window->period_s, .start_s = start_s};
}

static void settle_window(struct lease_window *window, uint64_t now_s)
{
    uint32_t dummy = 1;
    uint32_t start_s = quota_window_settle(window->period_s, now_s, window->start_s, &dummy);
    if (dummy == 0)
        begin_window(window, start_s);
    window->start_s = start_s;
}

static struct lease_window *find_window(struct lease_cell *cell, uint32_t period_s)
{
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++) {
        if (cell->windows[i].period_s == period_s)
            return &cell->windows[i];
    }
    return NULL;
}

static bool is_asked(const struct quota *quota, uint32_t code)
{
    for (unsigned i = 0; i < quota_place_count(quota); i++) {
        if (quota_place_code(quota, i) == code)
            return true;
    }
    return false;
}

/* Put the window of this period at place `at`: one that is there, else a free one, else one that
 * nobody asks for (there is one: every quota has at most as many windows as a cell). */
static void bring_window(struct lease_cell *cell, const struct quota *quota, unsigned at,
                         uint64_t now_s)
{
    uint32_t period_s = quota_place_code(quota, at);
    struct lease_window *found = find_window(cell, period_s);
    bool is_new = found == NULL;
    if (is_new)
        found = find_window(cell, 0);
    for (unsigned i = at; found == NULL && i < QUOTA_WINDOWS_MAX; i++) {
        if (!is_asked(quota, cell->windows[i].period_s))
            found = &cell->windows[i];
    }
    assert(found != NULL);
    struct lease_window moved = cell->windows[at];
    cell->windows[at] = *found;
    *found = moved;
    if (is_new) {
        cell->windows[at].period_s = period_s;
        begin_window(&cell->windows[at], quota_code_kind(period_s) == QUOTA_KIND_COUNT
                                             ? quota_window_start(period_s, now_s)
                                             : 0);
    }
}

/* A count under sliding becomes the one before, with what is owed of it. */
static void slide(struct lease_window *count, struct lease_window *before, uint64_t now_s)
{
    struct lease_window was = *count;
    settle_window(count, now_s);
    if (was.start_s + was.period_s == count->start_s) {
        was.period_s = before->period_s;
        *before = was;
    } else if (before->start_s + count->period_s != count->start_s) {
        begin_window(before, count->start_s - count->period_s);
    }
}

void lease_cell_settle(struct lease_cell *cell, const struct quota *quota, uint64_t now_s)
{
    cell->touched_s = (uint32_t)now_s;
    if (cell->held != 0) {
        if (lease_tokens_fit(cell, quota, now_s))
            return;
        lease_tokens_release(cell);
    }
    for (unsigned i = 0; i < quota_place_count(quota); i++) {
        if (cell->windows[i].period_s != quota_place_code(quota, i))
            bring_window(cell, quota, i, now_s);
        if (quota->algorithm == QUOTA_FIXED)
            settle_window(&cell->windows[i], now_s);
    }
    for (unsigned i = 0; quota->algorithm == QUOTA_SLIDING && i < quota->limit_count; i++)
        slide(&cell->windows[2 * i], &cell->windows[2 * i + 1], now_s);
}

void lease_cell_begin(struct lease_cell *cell, const struct store_redis_claim *claim,
                      uint64_t now_s)
{
    if (cell->windows[0].period_s != 0)
        return;
    cell->touched_s = (uint32_t)now_s;
    for (unsigned i = 0; i < claim->window_count; i++)
        cell->windows[i].period_s = claim->windows[i].period_s;
}

static uint32_t at_least(const struct lease_window *window)
{
    uint32_t used = lease_window_used(window);
    return used > window->floor ? used : window->floor;
}

struct quota_state lease_cell_state(const struct lease_cell *cell, const struct quota *quota,
                                    unsigned limit)
{
    const struct lease_window *window = &cell->windows[quota_limit_place(quota, limit)];
    if (quota->algorithm == QUOTA_BUCKET)
        return (struct quota_state){window->start_s, window->seen, 0};
    return (struct quota_state){window->start_s, at_least(window),
                                quota->algorithm == QUOTA_SLIDING ? at_least(window + 1) : 0};
}

/* What is to be given back goes with the next claim: it is no reason to refuse. */
static uint32_t used_after_return(const struct lease_window *window)
{
    uint32_t used = at_least(window);
    return used > window->back ? used - window->back : 0;
}

static bool refuses_other(const struct lease_cell *cell, const struct quota *quota, uint32_t cost,
                          uint64_t store_now_us)
{
    for (unsigned w = 0; w < quota->limit_count; w++) {
        struct quota_terms terms = quota_terms_of(quota, w, cell->extra, 1);
        struct quota_state state = lease_cell_state(cell, quota, w);
        if (quota->algorithm == QUOTA_SLIDING)
            state.count = used_after_return(&cell->windows[quota_limit_place(quota, w)]);
        quota_state_settle(&terms, &state, store_now_us);
        if (!quota_state_has_room(&terms, &state, store_now_us, cost))
            return true;
    }
    return false;
}

bool lease_cell_refuses(const struct lease_cell *cell, const struct quota *quota, uint32_t cost,
                        uint64_t mono_us)
{
    if (mono_us >= cell->refused_until_us)
        return false;
    uint64_t store_now_us = mono_us + (uint64_t)cell->clock_us;
    if (quota->algorithm != QUOTA_FIXED)
        return refuses_other(cell, quota, cost, store_now_us);
    for (unsigned i = 0; i < quota->limit_count; i++) {
        const struct lease_window *window = &cell->windows[i];
        uint64_t end_us = ((uint64_t)window->start_s + window->period_s) * US_PER_S;
        uint32_t limit = lease_limit(cell, quota->limits[i].limit);
        if (store_now_us < end_us && (uint64_t)used_after_return(window) + cost > limit)
            return true;
    }
    return false;
}

static void claim_window(struct lease_window *window, bool with_debt,
                         struct store_redis_window *claimed)
{
    claimed->period_s = window->period_s;
    claimed->start_s = window->start_s;
    claimed->seen = window->seen;
    claimed->returned = window->returned;
    claimed->floor = window->floor;
    claimed->debt = with_debt ? window->local : 0;
    claimed->back = window->back;
    window->local -= claimed->debt;
    window->billed = add_capped(window->billed, claimed->debt);
    window->back = 0;
}

/* Of what a bucket owes only what is not filled again counts. */
static void claim_bucket(struct lease_window *window, const struct quota_terms *terms,
                         bool with_debt, uint64_t now_us, struct store_redis_window *claimed)
{
    const struct quota_state state = {window->start_s, window->seen, 0};
    uint32_t undone = quota_state_used(terms, &state, now_us);
    if (window->local > undone)
        window->local = undone;
    claim_window(window, with_debt, claimed);
    claimed->mark_s = window->floor;
    claimed->floor = window->floor = 0;
    claimed->interval = terms->interval;
    claimed->whole = terms->capacity * terms->interval;
}

void lease_cell_claim(struct lease_cell *cell, const struct quota *quota, uint32_t cost,
                      bool with_debt, struct store_redis_claim *claim)
{
    claim->lineage = cell->lineage;
    claim->generation = cell->generation;
    claim->cost = cost;
    claim->least = claim->want = claim->divisor = 0;
    claim->is_apart = false;
    claim->window_count = quota_place_count(quota);
    for (unsigned i = 0; i < claim->window_count; i++) {
        struct store_redis_window *claimed = &claim->windows[i];
        unsigned w = quota_place_limit(quota, i);
        claimed->limit = quota->limits[w].limit;
        if (quota->algorithm == QUOTA_BUCKET) {
            struct quota_terms terms = quota_terms_of(quota, w, 0, 1);
            claim_bucket(&cell->windows[i], &terms, with_debt, (uint64_t)cell->touched_s * US_PER_S,
                         claimed);
            continue;
        }
        claim_window(&cell->windows[i], with_debt, claimed);
        if (quota->algorithm == QUOTA_SLIDING && i % 2 == 0)
            claimed->limit = INT32_MAX; /* the window before says what both may be */
    }
}

static void claim_owed(struct lease_window *window, struct store_redis_claim *claim)
{
    struct store_redis_window *claimed = &claim->windows[claim->window_count++];
    claim_window(window, true, claimed);
    claimed->limit = INT32_MAX;
}

/* A window before that has no count beside it belongs to a policy that is gone: nobody can be told of it. */
static void forget_lone(struct lease_cell *cell)
{
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++) {
        struct lease_window *window = &cell->windows[i];
        if (quota_code_kind(window->period_s) == QUOTA_KIND_BEFORE &&
            find_window(cell, quota_code_period(window->period_s)) == NULL)
            window->local = window->back = window->floor = 0;
    }
}

bool lease_cell_claim_debt(struct lease_cell *cell, struct store_redis_claim *claim)
{
    forget_lone(cell);
    bool has_debt = cell->must_tell != 0;
    cell->must_tell = 0;
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++)
        has_debt |= !is_bucket(&cell->windows[i]) && owes(&cell->windows[i]);
    if (!has_debt)
        return false;
    claim->lineage = cell->lineage;
    claim->generation = cell->generation;
    claim->cost = 0;
    claim->least = claim->want = claim->divisor = 0;
    claim->is_apart = true;
    claim->window_count = 0;
    /* A bucket's debts go with its next request: its interval is the quota's to know. */
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++) {
        struct lease_window *count = &cell->windows[i];
        if (count->period_s == 0 || quota_code_kind(count->period_s) != QUOTA_KIND_COUNT)
            continue;
        struct lease_window *before =
            find_window(cell, quota_code(count->period_s, QUOTA_KIND_BEFORE));
        claim_owed(count, claim);
        if (before != NULL)
            claim_owed(before, claim);
    }
    return claim->window_count != 0;
}

bool lease_cell_has_seen(const struct lease_cell *cell, uint64_t now_s)
{
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++) {
        const struct lease_window *window = &cell->windows[i];
        if (quota_code_kind(window->period_s) == QUOTA_KIND_COUNT && window->period_s != 0 &&
            ((window->seen | window->floor) != 0 || cell->generation != 0) &&
            (uint64_t)window->start_s + window->period_s > now_s)
            return true;
    }
    return false;
}

/* The value in the store is of another lineage than the one that we have seen.  What we saw and have not told it with the
 * claim that was answered (`told` was charged) is told next. */
static void leave_lineage(struct lease_window *window, uint32_t told)
{
    if (window->seen > told)
        window->floor = at_least(window);
    window->seen = window->returned = 0;
}

/* Neither falls while a window lasts: an older answer has less of the one or the other. */
static void see(struct lease_window *window, uint32_t charged, uint32_t returned)
{
    if (charged < window->seen || (charged == window->seen && returned < window->returned))
        return;
    window->seen = charged;
    window->returned = returned;
}

/* Our window has begun and the store's has not: by our own clock, or the store's was set back.  Else an answer
 * with an earlier window is older than another. */
static bool is_ahead(const struct lease_window *window, uint64_t store_now_s)
{
    return window->seen == 0 || window->start_s > store_now_s + QUOTA_SKEW_S;
}

/* Was the claim about the window that was answered?  A count that the store has not begun was about the one that it has; of
 * another window, or of the time before a reset, it was not looked at. */
static bool was_told(const struct store_redis_window *claimed,
                     const struct store_redis_reading *answered, bool is_stale)
{
    if (is_stale || claimed->start_s < answered->start_s)
        return false;
    return claimed->start_s == answered->start_s ||
           quota_code_kind(claimed->period_s) == QUOTA_KIND_COUNT;
}

/* False: it was of an earlier window than ours, and nothing was learned. */
static bool learn_window(struct lease_window *window, const struct store_redis_window *claimed,
                         const struct store_redis_reading *answered, uint64_t store_now_s,
                         bool is_same_lineage, bool is_stale)
{
    uint32_t start_s = answered->start_s;
    bool is_told = was_told(claimed, answered, is_stale);
    if (window->start_s == claimed->start_s)
        take_most(&window->billed, claimed->debt);
    if (start_s > window->start_s) {
        begin_window(window, start_s);
    } else if (start_s < window->start_s) {
        if (!is_ahead(window, store_now_s))
            return false;
        window->start_s = start_s;
    }
    if (is_told && claimed->floor >= window->floor)
        window->floor = 0;
    if (!is_same_lineage)
        leave_lineage(window, is_told ? claimed->seen : 0);
    see(window, store_redis_charged(answered), answered->returned);
    return true;
}

/* A full one is as good as never seen: it claims nothing when the server's clock goes back. */
static void learn_bucket(struct lease_window *window, uint32_t at_s, uint32_t units,
                         uint64_t store_now_us)
{
    uint64_t now_units = store_now_us * (QUOTA_UNITS_PER_S / US_PER_S);
    bool is_full = at_s * QUOTA_UNITS_PER_S + units <= now_units;
    window->start_s = is_full ? 0 : at_s;
    window->seen = is_full ? 0 : units;
}

/* Is the store in another window than one in which the tokens held are charged? */
static bool moves_on(struct lease_cell *cell, const struct store_redis_claim *claim,
                     const struct store_redis_result *result, uint64_t store_now_s)
{
    for (unsigned i = 0; i < claim->window_count; i++) {
        const struct lease_window *window = find_window(cell, claim->windows[i].period_s);
        uint32_t start_s = result->windows[i].start_s;
        if (window != NULL && window->limit != 0 && start_s != window->start_s &&
            (start_s > window->start_s || is_ahead(window, store_now_s)))
            return true;
    }
    return false;
}

bool lease_cell_is_past(const struct lease_cell *cell, uint32_t generation)
{
    return generation < cell->generation || generation < cell->ordered;
}

/* The generation that was heard is not claimed: whoever can publish could make it up, and what is claimed is taken by
 * Redis for a reset that it lost. */
void lease_cell_order(struct lease_cell *cell, uint32_t generation, uint64_t mono_us)
{
    if (generation < cell->generation)
        return;
    if (generation > cell->generation) {
        cell->ordered = generation;
        cell->held = 0;
    } else {
        lease_tokens_release(cell);
    }
    cell->refused_until_us = cell->backoff_us = 0;
    cell->ordered_us = mono_us;
}

static void forget_window(struct lease_window *window)
{
    window->seen = window->returned = window->floor = window->back = 0;
}

void lease_cell_reset(struct lease_cell *cell, uint32_t generation, uint64_t mono_us)
{
    lease_cell_order(cell, generation, mono_us);
    if (generation <= cell->generation)
        return;
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++)
        forget_window(&cell->windows[i]);
    cell->generation = generation;
    cell->ordered = 0;
}

/* What it billed was billed all the same. */
static void learn_past(struct lease_cell *cell, const struct store_redis_claim *claim)
{
    for (unsigned i = 0; i < claim->window_count; i++) {
        struct lease_window *window = find_window(cell, claim->windows[i].period_s);
        if (window != NULL && (is_bucket(window) || window->start_s == claim->windows[i].start_s))
            take_most(&window->billed, claim->windows[i].debt);
    }
}

/* Of windows that were not asked for nothing is known of the value that there is now. */
static void leave_others(struct lease_cell *cell, const struct store_redis_claim *claim,
                         bool is_reset)
{
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++) {
        struct lease_window *window = &cell->windows[i];
        bool is_asked_for = window->period_s == 0 || is_bucket(window);
        for (unsigned k = 0; k < claim->window_count && !is_asked_for; k++)
            is_asked_for = claim->windows[k].period_s == window->period_s;
        if (is_asked_for)
            continue;
        if (is_reset)
            forget_window(window);
        else
            leave_lineage(window, 0);
    }
}

void lease_cell_learn(struct lease_cell *cell, const struct store_redis_claim *claim,
                      const struct store_redis_result *result, uint64_t store_now_us,
                      uint64_t sent_at_us)
{
    bool is_same_lineage = cell->lineage == result->lineage;
    bool is_reset = result->generation > cell->generation, is_behind = false;
    /* What was given to the subject on top falls too: only the clock tells which answer is newer. */
    bool is_newest = store_now_us >= cell->answered_us ||
                     cell->answered_us - store_now_us > QUOTA_SKEW_S * US_PER_S;
    if (lease_cell_is_past(cell, result->generation)) {
        learn_past(cell, claim);
        return;
    }
    if (is_newest)
        cell->answered_us = store_now_us;
    if (is_reset) /* what was granted before it is not taken back either */
        cell->held = 0;
    else if (cell->held != 0 && moves_on(cell, claim, result, store_now_us / US_PER_S))
        lease_tokens_release(cell);
    for (unsigned i = 0; i < claim->window_count; i++) {
        struct lease_window *window = find_window(cell, claim->windows[i].period_s);
        if (window == NULL)
            continue;
        if (is_reset)
            forget_window(window);
        if (is_bucket(window)) {
            take_most(&window->billed, claim->windows[i].debt);
            learn_bucket(window, result->windows[i].start_s, result->windows[i].used, store_now_us);
            continue;
        }
        is_behind |=
            !learn_window(window, &claim->windows[i], &result->windows[i], store_now_us / US_PER_S,
                          is_same_lineage, claim->generation < result->generation);
    }
    if (is_reset || !is_same_lineage)
        leave_others(cell, claim, is_reset);
    if (is_reset || result->extra > cell->extra) /* a refusal was of the time before */
        cell->refused_until_us = cell->backoff_us = 0;
    /* A server that has lost our window and is not yet in it: what we know of it is of the lineage before. */
    if (!is_behind)
        cell->lineage = result->lineage;
    cell->generation = result->generation;
    cell->ordered = 0;
    if (is_newest)
        cell->extra = result->extra;
    cell->clock_us = (int64_t)(store_now_us - sent_at_us);
}

static uint64_t longest(uint64_t period_s)
{
    uint64_t part_us = period_s * US_PER_S / LEASE_BACKOFF_PART;
    part_us = part_us < LEASE_BACKOFF_MOST_US ? part_us : LEASE_BACKOFF_MOST_US;
    return part_us > LEASE_BACKOFF_LAST_US ? part_us : LEASE_BACKOFF_LAST_US;
}

/* The back-off doubles for a refusal that was asked for after the one before was over; those that were
 * on their way together count once. */
void lease_cell_note_refusal(struct lease_cell *cell, const struct store_redis_claim *claim,
                             uint64_t mono_us, uint64_t sent_at_us)
{
    uint64_t end_us = 0, last_us = LEASE_BACKOFF_LAST_US;
    if (cell->ordered_us != 0 && sent_at_us <= cell->ordered_us)
        return;
    for (unsigned i = 0; i < claim->window_count; i++) {
        const struct store_redis_window *asked = &claim->windows[i];
        const struct lease_window *window = find_window(cell, asked->period_s);
        if (quota_code_kind(asked->period_s) != QUOTA_KIND_COUNT) {
            /* lease_cell_refuses sees for itself whether there is room again */
            end_us = (mono_us + LEASE_BACKOFF_LAST_US) + (uint64_t)cell->clock_us;
            continue;
        }
        if (window == NULL ||
            (uint64_t)lease_window_used(window) + claim->cost <= lease_limit(cell, asked->limit))
            continue;
        uint64_t window_end_us = ((uint64_t)window->start_s + window->period_s) * US_PER_S;
        if (window_end_us > end_us)
            end_us = window_end_us;
        /* Who leases has had the others give back: seldom is there more to be had. */
        if (claim->divisor != 0)
            last_us = longest(window->period_s);
    }
    if (end_us == 0)
        return; /* another key of the request refused */
    if (cell->backoff_us == 0)
        cell->backoff_us = LEASE_BACKOFF_FIRST_US;
    else if (sent_at_us >= cell->refused_until_us && cell->backoff_us < last_us)
        cell->backoff_us =
            cell->backoff_us * 2 < last_us ? cell->backoff_us * 2 : (uint32_t)last_us;
    uint64_t until_us = mono_us + cell->backoff_us;
    uint64_t window_until_us = end_us - (uint64_t)cell->clock_us;
    cell->refused_until_us = until_us < window_until_us ? until_us : window_until_us;
}

void lease_cell_note_grant(struct lease_cell *cell)
{
    cell->is_recalled = 0;
    cell->backoff_us = 0;
    cell->refused_until_us = 0;
}

/* A bucket's: until mark_s, when the charge is filled again. */
static void give_back(struct lease_window *window, uint32_t count, uint32_t mark_s)
{
    if (count == 0)
        return;
    if (window->back == 0 || mark_s < window->floor)
        window->floor = mark_s;
    window->back = add_capped(window->back, count);
}

void lease_cell_unclaim(struct lease_cell *cell, const struct store_redis_claim *claim)
{
    for (unsigned i = 0; i < claim->window_count; i++) {
        const struct store_redis_window *claimed = &claim->windows[i];
        struct lease_window *window = find_window(cell, claimed->period_s);
        if (window == NULL || (window->start_s != claimed->start_s && !is_bucket(window)))
            continue;
        window->local = add_capped(window->local, take_most(&window->billed, claimed->debt));
    }
}

void lease_cell_late_grant(struct lease_cell *cell, const struct store_redis_claim *claim,
                           const struct store_redis_result *result, const uint32_t *starts)
{
    for (unsigned i = 0; i < claim->window_count; i++) {
        struct lease_window *window = find_window(cell, claim->windows[i].period_s);
        uint32_t left = claim->cost;
        if (quota_code_kind(claim->windows[i].period_s) == QUOTA_KIND_BEFORE)
            continue; /* nothing was charged to it */
        if (window != NULL && is_bucket(window)) {
            if (starts != NULL)
                left -= take_most(&window->local, left);
            give_back(window, left, result->windows[i].start_s);
            continue;
        }
        if (window == NULL || window->start_s != result->windows[i].start_s)
            continue; /* that window is over */
        if (starts != NULL && starts[i] == window->start_s)
            left -= take_most(&window->local, left);
        window->back = add_capped(window->back, left);
    }
}

/* A bucket's debt is also seen here: claim_bucket bills no more than what is. */
static void drain(const struct lease_cell *cell, struct lease_window *window,
                  const struct quota_terms *terms, uint32_t tokens)
{
    uint64_t now_us = (uint64_t)cell->touched_s * US_PER_S;
    struct quota_state state = {window->start_s, window->seen, 0};
    quota_state_settle(terms, &state, now_us);
    quota_state_take(terms, &state, now_us, tokens);
    window->start_s = state.at_s;
    window->seen = state.count;
}

bool lease_cell_correct(struct lease_cell *cell, const struct quota_charge *charge, int32_t delta)
{
    bool is_done = false;
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        struct lease_window *window = &cell->windows[quota_limit_place(charge->quota, w)];
        uint32_t mark_s = (uint32_t)(charge->outlooks[w].mark >> 32);
        if (is_bucket(window) ? delta < 0 && mark_s <= cell->touched_s
                              : window->start_s != charge->readings[w].start_s)
            continue;
        is_done = true;
        if (delta > 0) {
            window->local = add_capped(window->local, (uint32_t)delta);
            struct quota_terms terms = quota_terms_of(charge->quota, w, cell->extra, 1);
            if (is_bucket(window))
                drain(cell, window, &terms, (uint32_t)delta);
            continue;
        }
        uint32_t less = (uint32_t)-delta;
        less -= take_most(&window->local, less); /* not billed yet */
        if (is_bucket(window))
            give_back(window, less, mark_s);
        else
            window->back = add_capped(window->back, less);
    }
    return is_done;
}

/* The claim knows the bucket when the quota may be gone. */
static void drain_claimed(const struct lease_cell *cell, struct lease_window *window,
                          const struct store_redis_window *claimed, uint32_t tokens)
{
    const struct quota_terms terms = {
        .algorithm = QUOTA_BUCKET,
        .period_s = quota_code_period(claimed->period_s),
        .limit = claimed->limit,
        .capacity = claimed->interval == 0 ? 0 : (uint32_t)(claimed->whole / claimed->interval),
        .interval = claimed->interval,
    };
    drain(cell, window, &terms, tokens);
}

bool lease_cell_correct_late(struct lease_cell *cell, const struct store_redis_claim *claim,
                             const struct store_redis_result *result, int32_t delta)
{
    bool is_done = false;
    for (unsigned i = 0; i < claim->window_count; i++) {
        struct lease_window *window = find_window(cell, claim->windows[i].period_s);
        uint32_t at_s = result->windows[i].start_s;
        if (quota_code_kind(claim->windows[i].period_s) == QUOTA_KIND_BEFORE || window == NULL)
            continue;
        if (is_bucket(window) ? delta < 0 && at_s <= cell->touched_s : window->start_s != at_s)
            continue;
        is_done = true;
        if (delta > 0)
            window->local = add_capped(window->local, (uint32_t)delta);
        if (delta > 0 && is_bucket(window))
            drain_claimed(cell, window, &claim->windows[i], (uint32_t)delta);
        else if (is_bucket(window))
            give_back(window, (uint32_t)-delta, at_s);
        else if (delta < 0)
            window->back = add_capped(window->back, (uint32_t)-delta);
    }
    return is_done;
}

uint32_t lease_cell_share(const struct lease_cell *cell, unsigned window, uint32_t limit,
                          uint32_t proxies)
{
    uint32_t whole = lease_limit(cell, limit);
    uint32_t used = at_least(&cell->windows[window]);
    return used >= whole ? 0 : (whole - used) / proxies;
}

bool lease_cell_has_debt(const struct lease_cell *cell)
{
    uint32_t owed = 0;
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++)
        owed |= cell->windows[i].local | cell->windows[i].back | cell->windows[i].floor;
    return owed != 0;
}

static uint64_t end_of(const struct lease_window *window)
{
    uint64_t period_s = quota_code_period(window->period_s);
    switch (quota_code_kind(window->period_s)) {
    case QUOTA_KIND_COUNT:
        return window->start_s + period_s;
    case QUOTA_KIND_BEFORE:
        return window->start_s + 2 * period_s;
    default:
        return (uint64_t)window->start_s + 1;
    }
}

uint64_t lease_cell_busy_until(const struct lease_cell *cell, bool is_away)
{
    uint64_t until_s = 0;
    if (cell->asking != 0)
        return UINT64_MAX; /* until the answer, or the end of the connection */
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++) {
        const struct lease_window *window = &cell->windows[i];
        uint64_t end_s = end_of(window);
        bool has_debt = (window->local | window->billed | window->back | window->floor) != 0 ||
                        (cell->held != 0 && window->limit != 0);
        if (!has_debt && window->seen == 0)
            continue;
        uint64_t idle_s = (uint64_t)cell->touched_s + LEASE_IDLE_S;
        if (!has_debt && !is_away && idle_s < end_s)
            end_s = idle_s;
        if (end_s > until_s)
            until_s = end_s;
    }
    return until_s;
}
