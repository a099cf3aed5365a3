/* SPDX-License-Identifier: Apache-2.0 */
/* lease_cell.c - a cell's windows as they stand, and what of them is claimed.  See lease_cell.h. */
#include "lease/lease_cell.h"

#include <assert.h>

#include "lease/lease_tokens.h"

#define US_PER_S UINT64_C(1000000)

static bool owes(const struct lease_window *window)
{
    return (window->local | window->back | window->floor) != 0;
}

static void settle_window(struct lease_window *window, uint64_t now_s)
{
    uint32_t dummy = 1;
    uint32_t start_s = quota_window_settle(window->period_s, now_s, window->start_s, &dummy);
    if (dummy == 0)
        lease_window_begin(window, start_s);
    window->start_s = start_s;
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
    struct lease_window *found = lease_cell_find(cell, period_s);
    bool is_new = found == NULL;
    if (is_new)
        found = lease_cell_find(cell, 0);
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
        lease_window_begin(&cell->windows[at], quota_code_kind(period_s) == QUOTA_KIND_COUNT
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
        lease_window_begin(before, count->start_s - count->period_s);
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

struct quota_state lease_cell_state(const struct lease_cell *cell, const struct quota *quota,
                                    unsigned limit)
{
    const struct lease_window *window = &cell->windows[quota_limit_place(quota, limit)];
    if (quota->algorithm == QUOTA_BUCKET)
        return (struct quota_state){window->start_s, window->seen, 0};
    return (struct quota_state){
        window->start_s, lease_window_used_least(window),
        quota->algorithm == QUOTA_SLIDING ? lease_window_used_least(window + 1) : 0};
}

/* What is to be given back goes with the next claim: it is no reason to refuse. */
static uint32_t used_after_return(const struct lease_window *window)
{
    uint32_t used = lease_window_used_least(window);
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
    window->billed = lease_count_add(window->billed, claimed->debt);
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
    claimed->limit = STORE_REDIS_LIMIT_UNKNOWN;
}

/* A window before that has no count beside it belongs to a policy that is gone: nobody can be told of it. */
static void forget_lone(struct lease_cell *cell)
{
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++) {
        struct lease_window *window = &cell->windows[i];
        if (quota_code_kind(window->period_s) == QUOTA_KIND_BEFORE &&
            lease_cell_find(cell, quota_code_period(window->period_s)) == NULL)
            window->local = window->back = window->floor = 0;
    }
}

bool lease_cell_claim_debt(struct lease_cell *cell, struct store_redis_claim *claim)
{
    forget_lone(cell);
    bool has_debt = cell->must_tell != 0;
    cell->must_tell = 0;
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++)
        has_debt |= !lease_window_is_bucket(&cell->windows[i]) && owes(&cell->windows[i]);
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
            lease_cell_find(cell, quota_code(count->period_s, QUOTA_KIND_BEFORE));
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

uint32_t lease_cell_share(const struct lease_cell *cell, unsigned window, uint32_t limit,
                          uint32_t proxies)
{
    uint32_t whole = lease_limit(cell, limit);
    uint32_t used = lease_window_used_least(&cell->windows[window]);
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
