/* SPDX-License-Identifier: Apache-2.0 */
/* store_memory_algorithms.c - sliding and token_bucket in a cell's words.  Takes: a locked cell.  Gives: readings;
 * what was used when a quota's algorithm changes is carried over in place, so a change never grants a
 * second quota.
 *
 * A window that passes on what it used is first written as the one before, then begun anew: a process killed in
 * between leaves the count where it was, and the next look does it again. */
#include "store/store_memory_private.h"

static uint32_t code_of(const struct quota_charge *charge, unsigned w, unsigned more)
{
    return quota_place_code(charge->quota, quota_limit_place(charge->quota, w) + more);
}

/* Write one word, where it is or in a slot of its own. */
static void put(const struct store_memory *store, struct store_windows *windows,
                const struct quota *quota, uint64_t now_us, const struct store_window *window)
{
    struct store_window there;
    int slot = store_windows_find(store->periods, windows, window->period_s, &there);
    if (slot < 0)
        (void)store_windows_add(store->periods, windows, now_us / 1000000, window, quota);
    else
        store_windows_put(windows, slot, window);
}

static void drop(const struct store_memory *store, struct store_windows *windows, uint32_t code)
{
    static const struct store_window none = {0};
    struct store_window there;
    int slot = store_windows_find(store->periods, windows, code, &there);
    if (slot >= 0)
        store_windows_replace(windows, slot, 0, &none);
}

/* ---- carrying over ---- */

/* A bucket of this period, as the count that it stands for. */
static uint32_t bucket_as_count(const struct quota *quota, unsigned w,
                                const struct store_window *bucket, uint64_t now_us)
{
    struct quota as_bucket = *quota;
    as_bucket.algorithm = QUOTA_BUCKET;
    struct quota_terms terms = quota_terms_of(&as_bucket, w, 0, 1);
    const struct quota_state state = {bucket->start_s, bucket->used, 0};
    uint32_t used = quota_state_used(&terms, &state, now_us);
    return used < terms.capacity ? used : terms.capacity;
}

int store_memory_carry_count(const struct store_memory *store, struct store_windows *windows,
                             const struct quota *quota, unsigned w, uint64_t now_us,
                             struct store_window *window)
{
    struct store_window bucket;
    uint32_t period_s = quota->limits[w].period_s;
    int slot = store_windows_find(store->periods, windows, quota_code(period_s, QUOTA_KIND_BUCKET),
                                  &bucket);
    uint16_t number = slot < 0 ? 0 : store_periods_enter(store->periods, period_s);
    if (number == 0)
        return -1;
    *window = (struct store_window){period_s, quota_window_start(period_s, now_us / 1000000),
                                    bucket_as_count(quota, w, &bucket, now_us)};
    store_windows_replace(windows, slot, number, window);
    return slot;
}

/* Calendar counts of this period, as the bucket that they stand for. */
static void carry_bucket(const struct store_memory *store, struct store_windows *windows,
                         const struct quota_charge *charge, unsigned w, uint64_t now_us,
                         const struct quota_terms *terms, struct quota_state *state)
{
    uint32_t period_s = terms->period_s;
    uint32_t before_code = quota_code(period_s, QUOTA_KIND_BEFORE);
    uint16_t number = store_periods_enter(store->periods, code_of(charge, w, 0));
    struct store_window count, before;
    int slot = store_windows_find(store->periods, windows, period_s, &count);
    if (slot < 0 || number == 0)
        return;
    struct quota_terms slid = {QUOTA_SLIDING, period_s, INT32_MAX, INT32_MAX, 0};
    struct quota_state old = {count.start_s, count.used, 0};
    if (store_windows_find(store->periods, windows, before_code, &before) >= 0 &&
        before.start_s + period_s == count.start_s)
        old.before = before.used;
    else if (count.start_s + period_s <= now_us / 1000000)
        old.count = 0; /* a calendar count that is over */
    quota_state_settle(&slid, &old, now_us);
    uint32_t used = quota_state_used(&slid, &old, now_us);
    quota_state_settle(terms, state, now_us);
    quota_state_take(terms, state, now_us, used < terms->capacity ? used : terms->capacity);
    const struct store_window bucket = {code_of(charge, w, 0), state->at_s, state->count};
    store_windows_replace(windows, slot, number, &bucket);
    drop(store, windows, before_code);
}

/* ---- the state of one limit ---- */

static void save(const struct store_memory *store, struct store_windows *windows,
                 const struct quota_charge *charge, unsigned w, uint64_t now_us,
                 const struct quota_state *state)
{
    const struct quota *quota = charge->quota;
    uint32_t period_s = quota->limits[w].period_s;
    if (quota->algorithm == QUOTA_SLIDING)
        put(store, windows, quota, now_us,
            &(struct store_window){code_of(charge, w, 1), state->at_s - period_s, state->before});
    put(store, windows, quota, now_us,
        &(struct store_window){code_of(charge, w, 0), state->at_s, state->count});
}

/* As it counts now.  False: the table of periods is full. */
static bool load(const struct store_memory *store, struct store_windows *windows,
                 const struct quota_charge *charge, unsigned w, uint64_t now_us,
                 const struct quota_terms *terms, struct quota_state *state)
{
    struct store_window one, before;
    *state = (struct quota_state){0};
    int slot = store_windows_find(store->periods, windows, code_of(charge, w, 0), &one);
    bool is_carried = slot < 0 && terms->algorithm == QUOTA_SLIDING;
    if (is_carried)
        slot = store_memory_carry_count(store, windows, charge->quota, w, now_us, &one);
    if (slot < 0 && store_periods_enter(store->periods, code_of(charge, w, 0)) == 0)
        return false;
    if (slot >= 0)
        *state = (struct quota_state){one.start_s, one.used, 0};
    else if (terms->algorithm == QUOTA_BUCKET)
        carry_bucket(store, windows, charge, w, now_us, terms, state);
    if (terms->algorithm == QUOTA_SLIDING) {
        uint32_t code = code_of(charge, w, 1);
        if (store_periods_enter(store->periods, code) == 0)
            return false;
        if (store_windows_find(store->periods, windows, code, &before) >= 0 &&
            before.start_s + terms->period_s == state->at_s)
            state->before = before.used;
    }
    uint32_t stored_s = state->at_s;
    quota_state_settle(terms, state, now_us);
    /* A clock was far ahead: else it would never end.  Carried over: the window before beside it says that
     * it counts for one window more. */
    if (state->at_s < stored_s || (is_carried && slot >= 0))
        save(store, windows, charge, w, now_us, state);
    return true;
}

bool store_memory_look_other(const struct store_memory *store, struct store_windows *windows,
                             struct quota_charge *charge, unsigned w, uint64_t now_us,
                             uint64_t cost)
{
    struct quota_terms terms = quota_terms_of(charge->quota, w, charge->extra, 1);
    struct quota_state state;
    if (!load(store, windows, charge, w, now_us, &terms, &state))
        return false;
    bool is_refused = !quota_state_has_room(&terms, &state, now_us, cost);
    quota_state_tell(&terms, &state, now_us, cost, is_refused, charge, w);
    return true;
}

void store_memory_spend_other(const struct store_memory *store, struct store_windows *windows,
                              struct quota_charge *charge, unsigned w, uint64_t now_us)
{
    struct quota_terms terms = quota_terms_of(charge->quota, w, charge->extra, 1);
    struct quota_state state;
    (void)load(store, windows, charge, w, now_us, &terms, &state);
    quota_state_take(&terms, &state, now_us, charge->cost);
    save(store, windows, charge, w, now_us, &state);
    quota_state_tell(&terms, &state, now_us, charge->cost, false, charge, w);
}

/* Behind a reload to another algorithm a cell has that one's words.  What they took over from a charge they keep: carried
 * back for it, they would forget what was charged since. */
static bool has_own_words(const struct store_memory *store, const struct store_windows *windows,
                          const struct quota_charge *charge, unsigned w)
{
    struct store_window one, before;
    if (store_windows_find(store->periods, windows, code_of(charge, w, 0), &one) < 0)
        return false;
    if (charge->quota->algorithm != QUOTA_SLIDING)
        return true;
    return store_windows_find(store->periods, windows, code_of(charge, w, 1), &before) >= 0 &&
           before.start_s + charge->quota->limits[w].period_s == one.start_s;
}

int32_t store_memory_correct_other(const struct store_memory *store, struct store_windows *windows,
                                   const struct quota_charge *charge, unsigned w, int32_t delta,
                                   uint64_t now_us)
{
    struct quota_terms terms = quota_terms_of(charge->quota, w, charge->extra, 1);
    uint64_t mark = charge->outlooks[w].mark;
    struct quota_state state;
    if (!has_own_words(store, windows, charge, w) ||
        !load(store, windows, charge, w, now_us, &terms, &state))
        return 0;
    if (terms.algorithm == QUOTA_SLIDING && state.at_s != charge->readings[w].start_s)
        return 0;
    if (terms.algorithm == QUOTA_BUCKET && delta < 0 && mark >> 32 < now_us / 1000000)
        return 0;
    if (delta > 0)
        quota_state_take(&terms, &state, now_us, (uint32_t)delta);
    else
        quota_state_give_back(&terms, &state, now_us, (uint32_t)-delta, mark);
    save(store, windows, charge, w, now_us, &state);
    return delta;
}
