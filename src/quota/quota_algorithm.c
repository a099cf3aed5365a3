/* SPDX-License-Identifier: Apache-2.0 */
/* quota_algorithm.c - see quota_algorithm.h. */
#include "quota/quota_algorithm.h"

#define US_PER_S     UINT64_C(1000000)
#define UNITS_PER_US (QUOTA_UNITS_PER_S / US_PER_S)
#define SKEW_UNITS   (QUOTA_SKEW_S * QUOTA_UNITS_PER_S)

static uint64_t ceil_div(uint64_t number, uint64_t by)
{
    return number / by + (number % by != 0);
}

static uint32_t capped(uint64_t number)
{
    return number > INT32_MAX ? INT32_MAX : (uint32_t)number;
}

struct quota_terms quota_terms_of(const struct quota *quota, unsigned limit, uint32_t extra,
                                  uint32_t proxies)
{
    const struct quota_limit *one = &quota->limits[limit];
    struct quota_terms terms = {
        .algorithm = (enum quota_algorithm)quota->algorithm,
        .period_s = one->period_s,
        .limit = capped((uint64_t)one->limit + extra) / proxies,
        .capacity = capped((uint64_t)one->limit + extra) / proxies,
    };
    if (quota->algorithm != QUOTA_BUCKET)
        return terms;
    terms.limit = one->limit / proxies;
    if (one->limit == 0)
        terms.capacity = 0;
    else if (quota->burst != 0)
        terms.capacity = capped((uint64_t)quota->burst + extra) / proxies;
    /* Of the whole limit: floor(N / proxies) a period would lose up to a proxies-th part once more. */
    if (one->limit != 0)
        terms.interval =
            ceil_div(one->period_s * QUOTA_UNITS_PER_S, one->limit) * (uint64_t)proxies;
    return terms;
}

/* ---- sliding ---- */

static void slide(const struct quota_terms *terms, struct quota_state *state, uint64_t now_s)
{
    uint32_t start_s = quota_window_start(terms->period_s, now_s);
    if (state->at_s == start_s)
        return;
    if (state->at_s > now_s) {
        if (state->at_s - now_s > QUOTA_SKEW_S)
            state->at_s = start_s;
        return;
    }
    state->before = state->at_s + terms->period_s == start_s ? state->count : 0;
    state->count = 0;
    state->at_s = start_s;
}

/* Milliseconds of the window that are not over; all of them before it begins. */
static uint64_t left_ms(const struct quota_terms *terms, uint32_t at_s, uint64_t now_us)
{
    uint64_t now_ms = now_us / 1000, begin_ms = (uint64_t)at_s * 1000,
             period_ms = (uint64_t)terms->period_s * 1000;
    if (now_ms <= begin_ms)
        return period_ms;
    return now_ms - begin_ms >= period_ms ? 0 : period_ms - (now_ms - begin_ms);
}

/* ceil(before * left / period), without 128 bits: before < 2^31, left <= period < 2^35. */
static uint64_t share_of(const struct quota_terms *terms, uint64_t before, uint64_t left)
{
    uint64_t period_ms = (uint64_t)terms->period_s * 1000;
    uint64_t high = (before >> 16) * left;
    uint64_t low = high % period_ms * 65536 + (before & 0xffff) * left;
    return high / period_ms * 65536 + ceil_div(low, period_ms);
}

static uint64_t slid_used(const struct quota_terms *terms, const struct quota_state *state,
                          uint64_t now_us)
{
    return state->count + share_of(terms, state->before, left_ms(terms, state->at_s, now_us));
}

/* The latest moment of a window, in ms before its end, at which `before` weighs at most `room`. */
static uint64_t latest_ms(const struct quota_terms *terms, uint64_t before, uint64_t room)
{
    uint64_t period_ms = (uint64_t)terms->period_s * 1000;
    return before <= room ? period_ms : (uint64_t)((unsigned __int128)room * period_ms / before);
}

/* The first moment at which the cost has room if nothing else is charged. */
static uint64_t slid_free_us(const struct quota_terms *terms, const struct quota_state *state,
                             uint64_t cost)
{
    uint64_t end_ms = ((uint64_t)state->at_s + terms->period_s) * 1000, free_ms;
    uint64_t room = cost > terms->capacity ? 0 : terms->capacity - cost;
    uint64_t latest =
        room >= state->count ? latest_ms(terms, state->before, room - state->count) : 0;
    if (latest != 0)
        free_ms = end_ms - latest;
    else /* in the next window, where this one's count is the one before */
        free_ms = end_ms + (uint64_t)terms->period_s * 1000 - latest_ms(terms, state->count, room);
    return free_ms * 1000;
}

/* ---- token bucket ---- */

static uint64_t instant(const struct quota_state *state)
{
    return state->at_s * QUOTA_UNITS_PER_S + state->count;
}

/* Units until the bucket is full. */
static uint64_t ahead(const struct quota_state *state, uint64_t now_us)
{
    uint64_t now = now_us * UNITS_PER_US, full = instant(state);
    return full > now ? full - now : 0;
}

static void set_ahead(struct quota_state *state, uint64_t now_us, uint64_t units)
{
    uint64_t full = now_us * UNITS_PER_US + units;
    if (units == 0) /* no instant at all: a clock that goes back must not find it ahead */
        full = 0;
    state->at_s = (uint32_t)(full / QUOTA_UNITS_PER_S);
    state->count = (uint32_t)(full % QUOTA_UNITS_PER_S);
}

static uint64_t bucket_left(const struct quota_terms *terms, const struct quota_state *state,
                            uint64_t now_us)
{
    uint64_t whole = terms->capacity * terms->interval, used = ahead(state, now_us);
    return terms->interval == 0 || used >= whole ? 0 : (whole - used) / terms->interval;
}

static void fill_bucket(const struct quota_terms *terms, struct quota_state *state, uint64_t now_us)
{
    uint64_t whole = terms->capacity * terms->interval;
    if (ahead(state, now_us) > 2 * whole + SKEW_UNITS)
        set_ahead(state, now_us, whole);
}

static void take_from_bucket(const struct quota_terms *terms, struct quota_state *state,
                             uint64_t now_us, uint64_t cost)
{
    uint64_t used = ahead(state, now_us), most = 2 * terms->capacity * terms->interval;
    unsigned __int128 after = used + (unsigned __int128)cost * terms->interval;
    if (after > most) /* a debt; but one that was larger before stays */
        after = used > most ? used : most;
    set_ahead(state, now_us, (uint64_t)after);
}

/* The first moment at which so many tokens are there. */
static uint64_t bucket_free_us(const struct quota_terms *terms, const struct quota_state *state,
                               uint64_t tokens)
{
    uint64_t whole = (tokens > terms->capacity ? 0 : terms->capacity - tokens) * terms->interval;
    return ceil_div(instant(state) - whole, UNITS_PER_US);
}

/* ---- both ---- */

void quota_state_settle(const struct quota_terms *terms, struct quota_state *state, uint64_t now_us)
{
    if (terms->algorithm == QUOTA_BUCKET)
        fill_bucket(terms, state, now_us);
    else
        slide(terms, state, now_us / US_PER_S);
}

bool quota_state_has_room(const struct quota_terms *terms, const struct quota_state *state,
                          uint64_t now_us, uint64_t cost)
{
    if (cost > terms->capacity || terms->capacity == 0)
        return false;
    if (terms->algorithm == QUOTA_BUCKET)
        return ahead(state, now_us) + cost * terms->interval <= terms->capacity * terms->interval;
    return slid_used(terms, state, now_us) + cost <= terms->capacity;
}

void quota_state_take(const struct quota_terms *terms, struct quota_state *state, uint64_t now_us,
                      uint64_t cost)
{
    if (terms->algorithm == QUOTA_BUCKET)
        take_from_bucket(terms, state, now_us, cost);
    else
        state->count = capped(state->count + cost);
}

void quota_state_give_back(const struct quota_terms *terms, struct quota_state *state,
                           uint64_t now_us, uint64_t tokens, uint64_t mark)
{
    if (terms->algorithm != QUOTA_BUCKET) {
        state->count = tokens < state->count ? state->count - (uint32_t)tokens : 0;
        return;
    }
    const struct quota_state charged = {(uint32_t)(mark >> 32), (uint32_t)mark, 0};
    uint64_t used = ahead(state, now_us), most = ahead(&charged, now_us);
    unsigned __int128 wanted = (unsigned __int128)tokens * terms->interval;
    uint64_t back = wanted < most ? (uint64_t)wanted : most;
    set_ahead(state, now_us, used > back ? used - back : 0);
}

void quota_state_tell(const struct quota_terms *terms, const struct quota_state *state,
                      uint64_t now_us, uint64_t cost, bool is_refused, struct quota_charge *charge,
                      unsigned window)
{
    struct quota_reading *reading = &charge->readings[window];
    struct quota_outlook *outlook = &charge->outlooks[window];
    *reading = (struct quota_reading){.limit = terms->limit, .refused = is_refused};
    *outlook = (struct quota_outlook){0};
    if (terms->algorithm == QUOTA_BUCKET) {
        reading->start_s = (uint32_t)(now_us / US_PER_S);
        outlook->left = (uint32_t)bucket_left(terms, state, now_us);
        reading->used = terms->capacity - outlook->left;
        outlook->mark = (uint64_t)state->at_s << 32 | state->count;
        outlook->end_us = bucket_free_us(terms, state, is_refused ? cost : outlook->left + 1U);
        if (!is_refused && outlook->left == terms->capacity) /* nothing more will come */
            outlook->end_us = now_us;
        return;
    }
    uint64_t used = slid_used(terms, state, now_us);
    reading->start_s = state->at_s;
    reading->used = capped(used);
    outlook->left = used < terms->limit ? terms->limit - (uint32_t)used : 0;
    outlook->end_us = is_refused ? slid_free_us(terms, state, cost)
                                 : ((uint64_t)state->at_s + terms->period_s) * US_PER_S;
}

uint32_t quota_state_used(const struct quota_terms *terms, const struct quota_state *state,
                          uint64_t now_us)
{
    if (terms->algorithm != QUOTA_BUCKET)
        return capped(slid_used(terms, state, now_us));
    return terms->interval == 0 ? 0 : capped(ceil_div(ahead(state, now_us), terms->interval));
}
