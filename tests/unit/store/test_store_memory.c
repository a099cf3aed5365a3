/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_memory - one thread: windows, all or nothing, clocks, reloads, a full table; then random
 * requests against a naive model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base_rng.h"
#include "store/store_memory.h"
#include "store/store_testing.h"

static struct store_memory *new_store(uint32_t subjects)
{
    struct store_memory *store = store_memory_new(subjects);
    assert_non_null(store);
    return store;
}

static void expect(struct store_memory *store, const struct quota *quota, uint64_t subject,
                   uint64_t now_s, enum store_answer answer, uint32_t used)
{
    struct quota_charge charge;
    assert_int_equal(testing_ask(store, quota, subject, now_s, &charge), answer);
    assert_int_equal(charge.is_charged, answer == STORE_CHARGED);
    assert_int_equal(charge.source, QUOTA_SOURCE_STORE);
    assert_int_equal(charge.readings[0].used, used);
}

static void test_counts_to_the_limit(void **state)
{
    (void)state;
    struct store_memory *store = new_store(100);
    struct quota quota = {.id = {1}, .limit_count = 2, .limits = {MINUTE(3), DAY(5)}};
    expect(store, &quota, 1, T0_S, STORE_CHARGED, 1);
    expect(store, &quota, 1, T0_S + 59, STORE_CHARGED, 2);
    expect(store, &quota, 1, T0_S + 59, STORE_CHARGED, 3);
    expect(store, &quota, 1, T0_S + 59, STORE_REFUSED, 3);
    expect(store, &quota, 2, T0_S + 59, STORE_CHARGED, 1); /* another subject */
    expect(store, &quota, 1, T0_S + 60, STORE_CHARGED, 1); /* the next minute, the same day */
    expect(store, &quota, 1, T0_S + 61, STORE_CHARGED, 2);

    struct quota_charge charge;
    assert_int_equal(testing_ask(store, &quota, 1, T0_S + 62, &charge), STORE_REFUSED);
    assert_false(charge.readings[0].refused);
    assert_int_equal(charge.readings[0].start_s, T0_S + 60);
    assert_int_equal(charge.readings[0].limit, 3);
    assert_true(charge.readings[1].refused);
    assert_int_equal(charge.readings[1].start_s, T0_S);
    assert_int_equal(charge.readings[1].used, 5);
    expect(store, &quota, 1, T0_S + 86399, STORE_REFUSED, 0);
    expect(store, &quota, 1, T0_S + 86400, STORE_CHARGED, 1);
    store_memory_free(store);
}

static void test_cost(void **state)
{
    (void)state;
    struct store_memory *store = new_store(100);
    struct quota quota = {.id = {1}, .limit_count = 1, .limits = {MINUTE(10)}};
    static const struct {
        uint32_t cost;
        enum store_answer answer;
        uint32_t used;
    } steps[] = {
        {7, STORE_CHARGED, 7},          {4, STORE_REFUSED, 7},  {11, STORE_REFUSED, 7},
        {UINT32_MAX, STORE_REFUSED, 7}, {3, STORE_CHARGED, 10}, {1, STORE_REFUSED, 10},
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct quota_charge charge = testing_charge(&quota, 1, steps[i].cost);
        assert_int_equal(store_memory_charge(store, &charge, 1, US(T0_S), NULL), steps[i].answer);
        assert_int_equal(charge.readings[0].used, steps[i].used);
    }
    struct quota none = {.id = {2}, .limit_count = 1, .limits = {MINUTE(0)}};
    struct quota_charge charge = testing_charge(&none, 1, 0);
    assert_int_equal(store_memory_charge(store, &charge, 1, US(T0_S), NULL), STORE_REFUSED);
    struct quota most = {.id = {3}, .limit_count = 1, .limits = {DAY(2147483647)}};
    charge = testing_charge(&most, 1, 2147483647);
    assert_int_equal(store_memory_charge(store, &charge, 1, US(T0_S), NULL), STORE_CHARGED);
    charge = testing_charge(&most, 1, 2147483647);
    assert_int_equal(store_memory_charge(store, &charge, 1, US(T0_S), NULL), STORE_REFUSED);
    store_memory_free(store);
}

static void test_all_or_nothing(void **state)
{
    (void)state;
    struct store_memory *store = new_store(100);
    struct quota wide = {.id = {1}, .limit_count = 2, .limits = {MINUTE(100), DAY(1000)}};
    struct quota tight = {.id = {2}, .limit_count = 1, .limits = {HOUR(2)}};
    for (unsigned i = 1; i <= 20; i++) {
        struct quota_charge charges[2] = {testing_charge(i % 2 ? &wide : &tight, 1, 1),
                                          testing_charge(i % 2 ? &tight : &wide, 1, 1)};
        unsigned overflowed = 9;
        enum store_answer answer = store_memory_charge(store, charges, 2, US(T0_S), &overflowed);
        assert_int_equal(answer, i <= 2 ? STORE_CHARGED : STORE_REFUSED);
        assert_int_equal(overflowed, 0);
        for (unsigned c = 0; c < 2; c++) {
            assert_int_equal(charges[c].is_charged, i <= 2);
            assert_int_equal(charges[c].readings[0].used, i <= 2 ? i : 2);
            assert_int_equal(charges[c].readings[0].refused, i > 2 && charges[c].quota == &tight);
        }
    }
    expect(store, &wide, 1, T0_S, STORE_CHARGED, 3);
    assert_int_equal(store_memory_charge(store, NULL, 0, US(T0_S), NULL), STORE_CHARGED);
    store_memory_free(store);
}

/* A quota named twice in one request counts twice. */
static void test_same_cell_twice(void **state)
{
    (void)state;
    struct store_memory *store = new_store(100);
    struct quota quota = {.id = {1}, .limit_count = 1, .limits = {MINUTE(5)}};
    for (unsigned i = 1; i <= 3; i++) {
        struct quota_charge charges[2] = {testing_charge(&quota, 1, 1),
                                          testing_charge(&quota, 1, 1)};
        assert_int_equal(store_memory_charge(store, charges, 2, US(T0_S), NULL),
                         i <= 2 ? STORE_CHARGED : STORE_REFUSED);
    }
    expect(store, &quota, 1, T0_S, STORE_CHARGED, 5);
    store_memory_free(store);
}

static void test_clock_steps(void **state)
{
    (void)state;
    struct store_memory *store = new_store(100);
    struct quota quota = {.id = {1}, .limit_count = 1, .limits = {MINUTE(3)}};
    const uint64_t t = T0_S + 600;
    expect(store, &quota, 1, t, STORE_CHARGED, 1);
    expect(store, &quota, 1, t - 1, STORE_CHARGED, 2); /* kept, though the minute before is asked */
    expect(store, &quota, 1, t - 60, STORE_CHARGED, 3); /* still kept */
    expect(store, &quota, 1, t - 60, STORE_REFUSED, 3);
    expect(store, &quota, 1, t - 61, STORE_REFUSED, 3); /* moved to the computed one, used kept */
    expect(store, &quota, 1, t - 62, STORE_REFUSED, 3);
    expect(store, &quota, 1, t - 86400 * 365, STORE_REFUSED, 3);
    expect(store, &quota, 1, t - 86400 * 365 + 59, STORE_REFUSED, 3);
    expect(store, &quota, 1, t - 86400 * 365 + 60, STORE_CHARGED, 1); /* refused for one window */
    expect(store, &quota, 1, t + 86400 * 365, STORE_CHARGED, 1);      /* forwards */
    expect(store, &quota, 1, 0, STORE_CHARGED, 2);                    /* 1970 */
    expect(store, &quota, 1, 1, STORE_CHARGED, 3);
    expect(store, &quota, 1, 59, STORE_REFUSED, 3);
    expect(store, &quota, 1, 60, STORE_CHARGED, 1);
    store_memory_free(store);
}

/* However the clock is thrown back, a subject gets its limit once. */
static void test_backward_steps_give_nothing(void **state)
{
    (void)state;
    struct rng rng = {{5, 6, 7, 8}};
    for (unsigned round = 0; round < 200; round++) {
        struct store_memory *store = new_store(10);
        struct quota quota = {
            .id = {1}, .limit_count = 3, .limits = {SECOND(4), MINUTE(5), DAY(6)}};
        uint64_t now_s = T0_S + rng_below(&rng, 86400);
        unsigned admitted = 0;
        for (unsigned i = 0; i < 50; i++) {
            struct quota_charge charge;
            admitted += testing_ask(store, &quota, 1, now_s, &charge) == STORE_CHARGED;
            now_s -= rng_below(&rng, rng_below(&rng, 2) ? 3 : 100000);
        }
        assert_int_equal(admitted, 4);
        store_memory_free(store);
    }
}

static void test_reload(void **state)
{
    (void)state;
    struct store_memory *store = new_store(100);
    struct quota before = {.id = {1}, .limit_count = 2, .limits = {MINUTE(10), DAY(100)}};
    struct quota after = {.id = {1}, .limit_count = 3, .limits = {DAY(50), HOUR(20), MINUTE(5)}};
    for (unsigned i = 1; i <= 4; i++)
        expect(store, &before, 1, T0_S, STORE_CHARGED, i);
    struct quota_charge charge;
    assert_int_equal(testing_ask(store, &after, 1, T0_S, &charge), STORE_CHARGED);
    assert_int_equal(charge.readings[0].used, 5); /* day: kept */
    assert_int_equal(charge.readings[1].used, 1); /* hour: new */
    assert_int_equal(charge.readings[2].used, 5); /* minute: kept */
    assert_int_equal(testing_ask(store, &after, 1, T0_S, &charge), STORE_REFUSED);
    /* Requests that began before the reload still count as they did, and are seen after it. */
    expect(store, &before, 1, T0_S, STORE_CHARGED, 6);
    assert_int_equal(testing_ask(store, &after, 1, T0_S, &charge), STORE_REFUSED);
    assert_int_equal(charge.readings[2].used, 6);
    assert_int_equal(charge.readings[1].used, 1); /* the hour was not asked about */
    store_memory_free(store);
}

/* Four remembered periods and a new one: an idle one goes, then the one that ends first; the asked
 * ones stay. */
static void test_fifth_period(void **state)
{
    (void)state;
    struct store_memory *store = new_store(100);
    struct quota four = {
        .id = {1}, .limit_count = 4, .limits = {DAY(9), MINUTE(9), HOUR(9), SECOND(9)}};
    struct quota changed = {
        .id = {1}, .limit_count = 2, .limits = {DAY(9), {9, 300, 5, QUOTA_MINUTE}}};
    struct quota again = {
        .id = {1}, .limit_count = 2, .limits = {DAY(9), {9, 7200, 2, QUOTA_HOUR}}};
    struct quota_charge charge;
    assert_int_equal(testing_ask(store, &four, 1, T0_S, &charge), STORE_CHARGED);
    expect(store, &changed, 1, T0_S + 1, STORE_CHARGED,
           2);                                            /* takes the second's slot: it is over */
    expect(store, &again, 1, T0_S + 1, STORE_CHARGED, 3); /* takes the minute's */
    assert_int_equal(testing_ask(store, &four, 1, T0_S + 1, &charge), STORE_CHARGED);
    assert_int_equal(charge.readings[0].used, 4);
    assert_int_equal(charge.readings[1].used, 1); /* the minute was dropped */
    assert_int_equal(charge.readings[2].used, 2); /* the hour was not */
    store_memory_free(store);
}

/* A window of 7 s, 11 s, ... each of its own period: when their table is full the store says so. */
static void test_periods_run_out(void **state)
{
    (void)state;
    struct store_memory *store = new_store(100);
    unsigned away = 0;
    for (uint32_t period_s = 1; period_s <= 5000; period_s++) {
        struct quota quota = {
            .id = {1}, .limit_count = 1, .limits = {{100, period_s, period_s, QUOTA_SECOND}}};
        struct quota_charge charge;
        enum store_answer answer = testing_ask(store, &quota, period_s, T0_S, &charge);
        assert_int_equal(charge.is_charged, answer == STORE_CHARGED);
        away += answer == STORE_AWAY;
    }
    assert_int_equal(away, 5000 - 4095);
    struct quota known = {.id = {1}, .limit_count = 1, .limits = {{100, 60, 60, QUOTA_SECOND}}};
    expect(store, &known, 60, T0_S, STORE_CHARGED, 2);
    store_memory_free(store);
}

/* Fill the table with live subjects.  Gives how many found a cell. */
static uint64_t fill_up(struct store_memory *store, const struct quota *quota, uint64_t now_s)
{
    uint64_t max, subjects = 0;
    store_memory_subjects(store, &max);
    for (uint64_t i = 0; i < 30 * max; i++) {
        struct quota_charge charge = testing_charge(quota, i, 1);
        unsigned overflowed;
        (void)store_memory_charge(store, &charge, 1, US(now_s), &overflowed);
        subjects += overflowed == 0;
    }
    assert_int_equal(store_memory_subjects(store, NULL), max);
    return subjects;
}

static void test_full_table(void **state)
{
    (void)state;
    struct store_memory *store = new_store(50);
    struct quota quota = {.id = {1}, .limit_count = 2, .limits = {MINUTE(3), HOUR(1000)}};
    struct quota other = {.id = {2}, .limit_count = 1, .limits = {MINUTE(2)}};
    uint64_t max;
    store_memory_subjects(store, &max);
    uint64_t own = fill_up(store, &quota, T0_S);
    assert_int_equal(own, max);

    /* Newcomers share one bucket per quota; it is spent by now for the first, new for the second. */
    unsigned overflowed;
    struct quota_charge charge = testing_charge(&quota, 1000000, 1);
    assert_int_equal(store_memory_charge(store, &charge, 1, US(T0_S), &overflowed), STORE_REFUSED);
    assert_int_equal(overflowed, 1);
    assert_int_equal(charge.readings[0].used, 3);
    expect(store, &other, 1, T0_S, STORE_CHARGED, 1);
    expect(store, &other, 2, T0_S, STORE_CHARGED, 2);
    expect(store, &other, 3, T0_S, STORE_REFUSED, 2);
    expect(store, &quota, 0, T0_S, STORE_CHARGED, 2); /* who was there has not lost anything */

    /* The next minute: live for the hour, so the table is still full; the buckets begin anew. */
    charge = testing_charge(&quota, 1000000, 1);
    assert_int_equal(store_memory_charge(store, &charge, 1, US(T0_S + 60), &overflowed),
                     STORE_CHARGED);
    assert_int_equal(overflowed, 1);
    expect(store, &quota, 0, T0_S + 60, STORE_CHARGED, 1);

    /* The next hour: all is over, newcomers get cells of their own. */
    own = 0;
    for (uint64_t i = 0; i < 50; i++) {
        charge = testing_charge(&quota, 2000000 + i, 1);
        assert_int_equal(store_memory_charge(store, &charge, 1, US(T0_S + 3600), &overflowed),
                         STORE_CHARGED);
        assert_int_equal(charge.readings[0].used, 1);
        own += overflowed == 0;
    }
    assert_int_equal(own, 50);
    store_memory_free(store);
}

/* Who was counted in the overflow bucket and gets a cell later does not begin at 0. */
static void test_overflow_is_taken_along(void **state)
{
    (void)state;
    struct store_memory *store = new_store(20);
    struct quota filler = {.id = {1}, .limit_count = 1, .limits = {MINUTE(1)}};
    struct quota quota = {.id = {2}, .limit_count = 1, .limits = {DAY(5)}};
    fill_up(store, &filler, T0_S);
    for (unsigned i = 1; i <= 3; i++)
        expect(store, &quota, 7, T0_S, STORE_CHARGED, i);
    unsigned overflowed;
    struct quota_charge charge = testing_charge(&quota, 7, 1);
    assert_int_equal(store_memory_charge(store, &charge, 1, US(T0_S + 60), &overflowed),
                     STORE_CHARGED);
    assert_int_equal(overflowed, 0);
    assert_int_equal(charge.readings[0].used, 4);
    expect(store, &quota, 8, T0_S + 60, STORE_CHARGED, 4); /* may have been there too */
    expect(store, &quota, 7, T0_S + 60, STORE_CHARGED, 5);
    expect(store, &quota, 7, T0_S + 60, STORE_REFUSED, 5);
    expect(store, &quota, 9, T0_S + 86400, STORE_CHARGED, 1); /* the bucket is over */
    store_memory_free(store);
}

static bool refuses(const struct store_memory *store, const struct quota *quota, uint64_t subject,
                    uint64_t now_s)
{
    struct quota_charge charge = testing_charge(quota, subject, 1);
    bool is_refused = store_memory_refuses(store, &charge, US(now_s));
    assert_false(charge.is_charged);
    assert_int_equal(charge.readings[0].refused, is_refused);
    return is_refused;
}

/* Looking makes no cell, charges nothing, and sees what was counted for newcomers together. */
static void test_looking_changes_nothing(void **state)
{
    (void)state;
    struct store_memory *store = new_store(20);
    struct quota quota = {.id = {1}, .limit_count = 1, .limits = {MINUTE(2)}};
    struct quota filler = {.id = {2}, .limit_count = 1, .limits = {DAY(1)}};
    uint64_t max;
    for (uint64_t i = 0; i < 1000; i++)
        assert_false(refuses(store, &quota, i, T0_S));
    assert_int_equal(store_memory_subjects(store, &max), 0);
    expect(store, &quota, 7, T0_S, STORE_CHARGED, 1);
    assert_false(refuses(store, &quota, 7, T0_S));
    expect(store, &quota, 7, T0_S, STORE_CHARGED, 2);
    assert_true(refuses(store, &quota, 7, T0_S));
    assert_false(refuses(store, &quota, 8, T0_S));
    assert_false(refuses(store, &quota, 7, T0_S + 60));
    assert_int_equal(store_memory_subjects(store, &max), 1);
    fill_up(store, &filler, T0_S);
    assert_false(refuses(store, &quota, 9, T0_S));
    expect(store, &quota, 9, T0_S, STORE_CHARGED, 1);
    expect(store, &quota, 10, T0_S, STORE_CHARGED, 2);
    assert_true(refuses(store, &quota, 11, T0_S));
    assert_false(refuses(store, &quota, 11, T0_S + 60));
    store_memory_free(store);
}

/* A thread one second ahead gives a subject's cell away in the next minute; a thread just behind must not
 * begin the old minute again. */
static void test_reused_cell_and_late_thread(void **state)
{
    (void)state;
    struct store_memory *store = new_store(50);
    struct quota filler = {.id = {1}, .limit_count = 1, .limits = {MINUTE(1)}};
    struct quota quota = {.id = {2}, .limit_count = 1, .limits = {MINUTE(1)}};
    uint64_t max;
    store_memory_subjects(store, &max);
    expect(store, &quota, 1, T0_S + 59, STORE_CHARGED, 1);
    (void)fill_up(store, &filler, T0_S + 59);
    assert_int_equal(fill_up(store, &filler, T0_S + 60), max); /* all cells have changed hands */
    struct quota_charge charge;
    assert_int_equal(testing_ask(store, &quota, 1, T0_S + 59, &charge), STORE_CHARGED);
    assert_int_equal(charge.readings[0].start_s, T0_S + 60);
    assert_int_equal(testing_ask(store, &quota, 1, T0_S + 60, &charge), STORE_REFUSED);
    store_memory_free(store);
}

/* One free cell, and a request of two newcomers: it must end, and count. */
static void test_two_newcomers_one_cell(void **state)
{
    (void)state;
    struct store_memory *store = new_store(0);
    struct quota filler = {.id = {1}, .limit_count = 1, .limits = {DAY(1)}};
    struct quota once = {.id = {2}, .limit_count = 1, .limits = {MINUTE(1)}};
    struct quota a = {.id = {3}, .limit_count = 1, .limits = {DAY(1000)}};
    struct quota b = {.id = {4}, .limit_count = 1, .limits = {DAY(1000)}};
    expect(store, &once, 1, T0_S, STORE_CHARGED, 1);
    (void)fill_up(store, &filler, T0_S);
    for (uint64_t i = 1; i <= 200; i++) {
        struct quota_charge charges[2] = {testing_charge(&a, i, 1), testing_charge(&b, i, 1)};
        unsigned overflowed;
        assert_int_equal(store_memory_charge(store, charges, 2, US(T0_S + 60), &overflowed),
                         STORE_CHARGED);
        assert_true(overflowed >= 1);
    }
    store_memory_free(store);
}

/* A refused subject that has used nothing does not hold its cell against others. */
static void test_unused_cells_go_first(void **state)
{
    (void)state;
    struct store_memory *store = new_store(20);
    struct quota none = {.id = {1}, .limit_count = 1, .limits = {DAY(0)}};
    struct quota quota = {.id = {2}, .limit_count = 1, .limits = {DAY(5)}};
    for (uint64_t i = 0; i < 10000; i++) {
        struct quota_charge charge = testing_charge(&none, i, 1);
        unsigned overflowed;
        assert_int_equal(store_memory_charge(store, &charge, 1, US(T0_S), &overflowed),
                         STORE_REFUSED);
        assert_int_equal(overflowed, 0);
    }
    for (uint64_t i = 0; i < 20; i++)
        expect(store, &quota, i, T0_S, STORE_CHARGED, 1);
    store_memory_free(store);
}

/* More quotas overflow than there is room for: refused to answer, nothing charged. */
static void test_overflow_table_is_bounded(void **state)
{
    (void)state;
    struct store_memory *store = new_store(0);
    struct quota filler = {.id = {1}, .limit_count = 1, .limits = {DAY(1)}};
    fill_up(store, &filler, T0_S);
    unsigned away = 0, charged = 0;
    for (unsigned i = 0; i < 4000; i++) {
        struct quota quota = {.limit_count = 1, .limits = {DAY(5)}};
        testing_key(quota.id, 9, i);
        struct quota_charge charge = {.quota = &quota, .cost = 1};
        testing_key(charge.key, 10, i);
        enum store_answer answer = store_memory_charge(store, &charge, 1, US(T0_S), NULL);
        away += answer == STORE_AWAY;
        charged += answer == STORE_CHARGED && charge.readings[0].used == 1;
    }
    assert_true(charged >= 1024);
    assert_int_equal(away + charged, 4000);
    store_memory_free(store);
}

/* The model: every (quota, subject) has every period, found by counting. */
#define MODEL_QUOTAS   5
#define MODEL_SUBJECTS 6
static const struct quota_limit model_kinds[4] = {MINUTE(0), HOUR(0), SECOND(0), DAY(0)};

struct model_window {
    uint64_t start_s;
    uint32_t used;
};

struct model {
    struct model_window windows[MODEL_QUOTAS][MODEL_SUBJECTS][4]; /* as model_kinds */
};

static unsigned kind_of(const struct quota_limit *limit)
{
    unsigned kind = 0;
    while (model_kinds[kind].period_s != limit->period_s)
        kind++;
    return kind;
}

static void model_settle(struct model_window *window, uint32_t period_s, uint64_t now_s)
{
    uint64_t computed_s = now_s / period_s * period_s;
    if (window->start_s > now_s + 60) {
        window->start_s = computed_s;
    } else if (window->start_s < computed_s) {
        window->start_s = computed_s;
        window->used = 0;
    }
}

struct model_ask {
    unsigned quota, subject;
    uint32_t cost;
};

/* Readings into want; true: charged. */
static bool model_charge(struct model *model, const struct quota *quotas,
                         const struct model_ask *asks, unsigned count, uint64_t now_s,
                         struct quota_reading want[][4])
{
    bool is_refused = false;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < count; i++) {
            const struct quota *quota = &quotas[asks[i].quota];
            for (unsigned w = 0; w < quota->limit_count; w++) {
                struct model_window *stored =
                    &model->windows[asks[i].quota][asks[i].subject][kind_of(&quota->limits[w])];
                struct model_window window = *stored;
                model_settle(&window, quota->limits[w].period_s, now_s);
                if (stored->start_s > now_s + 60)
                    *stored = window; /* moved for good; else only a charge is written */
                bool no = (uint64_t)window.used + asks[i].cost > quota->limits[w].limit;
                if (pass == 0) {
                    is_refused |= no;
                    want[i][w] = (struct quota_reading){(uint32_t)window.start_s, window.used,
                                                        quota->limits[w].limit, no};
                } else if (!is_refused) {
                    window.used += asks[i].cost;
                    *stored = window;
                    want[i][w].used = window.used;
                }
            }
        }
    }
    return !is_refused;
}

static void random_limits(struct rng *rng, struct quota *quota)
{
    unsigned first = (unsigned)rng_below(rng, 4);
    quota->limit_count = (uint8_t)(1 + rng_below(rng, 4));
    for (unsigned w = 0; w < quota->limit_count; w++) {
        quota->limits[w] = model_kinds[(first + w) % 4];
        quota->limits[w].limit = (uint32_t)rng_below(rng, 40);
    }
}

static void test_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng rng = {{seed, 2, 3, 4}};
        struct store_memory *store = new_store(1000);
        static struct model model;
        memset(&model, 0, sizeof(model));
        struct quota quotas[MODEL_QUOTAS];
        for (unsigned q = 0; q < MODEL_QUOTAS; q++) {
            quotas[q] = (struct quota){.id = {(uint8_t)(q + 1)}};
            random_limits(&rng, &quotas[q]);
        }
        uint64_t now_s = T0_S;
        for (unsigned step = 0; step < 5000; step++) {
            if (rng_below(&rng, 10) == 0)
                now_s += rng_below(&rng, rng_below(&rng, 2) ? 30 : 4000);
            if (rng_below(&rng, 100) == 0)
                now_s -= rng_below(&rng, rng_below(&rng, 2) ? 70 : 100000);
            if (rng_below(&rng, 100) == 0)
                random_limits(&rng, &quotas[rng_below(&rng, MODEL_QUOTAS)]);

            unsigned count = 1 + (unsigned)rng_below(&rng, 4), first = (unsigned)rng_below(&rng, 5);
            struct model_ask asks[4];
            struct quota_charge charges[4];
            struct quota_reading want[4][4];
            for (unsigned i = 0; i < count; i++) {
                asks[i] = (struct model_ask){(first + i) % MODEL_QUOTAS,
                                             (unsigned)rng_below(&rng, MODEL_SUBJECTS),
                                             1 + (uint32_t)rng_below(&rng, 3)};
                charges[i] = testing_charge(&quotas[asks[i].quota], asks[i].subject, asks[i].cost);
            }
            bool is_charged = model_charge(&model, quotas, asks, count, now_s, want);
            enum store_answer answer = store_memory_charge(store, charges, count, US(now_s), NULL);
            assert_int_equal(answer, is_charged ? STORE_CHARGED : STORE_REFUSED);
            for (unsigned i = 0; i < count; i++) {
                assert_int_equal(charges[i].is_charged, is_charged);
                for (unsigned w = 0; w < charges[i].quota->limit_count; w++) {
                    assert_int_equal(charges[i].readings[w].start_s, want[i][w].start_s);
                    assert_int_equal(charges[i].readings[w].used, want[i][w].used);
                    assert_int_equal(charges[i].readings[w].limit, want[i][w].limit);
                    assert_int_equal(charges[i].readings[w].refused, want[i][w].refused);
                }
            }
        }
        store_memory_free(store);
    }
}

/* Cells go from subject to subject, minute by minute, and all subjects share the place of one hint, or each has its own:
 * a hint that is out of date finds nobody else's count. */
static void test_hints(void **state)
{
    (void)state;
    enum {
        ACTIVE = 20,
        MINUTES = 60
    };
    static struct store_memory_hints hints;
    const struct quota quota = {.id = {1}, .limit_count = 1, .limits = {MINUTE(1000)}};
    for (unsigned spread = 0; spread < 2; spread++) {
        struct store_memory *store = new_store(50);
        unsigned known = 0;
        memset(&hints, 0, sizeof(hints));
        for (uint64_t minute = 0; minute < MINUTES; minute++) {
            for (uint32_t turn = 1; turn <= 3; turn++) {
                for (uint64_t i = 0; i < ACTIVE; i++) {
                    struct quota_charge charge = testing_charge(&quota, minute * 7 + i, 1);
                    const uint64_t word = UINT64_C(0x1234567800000000) | (minute * 7 + i) << 12;
                    if (spread == 0)
                        memcpy(charge.key, &word, sizeof(word));
                    bool is_known =
                        store_memory_charge_known(store, &hints, &charge, US(T0_S + minute * 60));
                    known += is_known;
                    if (!is_known)
                        assert_int_equal(
                            store_memory_charge(store, &charge, 1, US(T0_S + minute * 60), NULL),
                            STORE_CHARGED);
                    assert_true(charge.is_charged);
                    assert_int_equal(charge.readings[0].used, turn);
                }
            }
        }
        assert_true(known >= 2 * ACTIVE * MINUTES);
        store_memory_free(store);
    }
}

static void test_free_nothing(void **state)
{
    (void)state;
    store_memory_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_to_the_limit),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_all_or_nothing),
        cmocka_unit_test(test_same_cell_twice),
        cmocka_unit_test(test_clock_steps),
        cmocka_unit_test(test_backward_steps_give_nothing),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_fifth_period),
        cmocka_unit_test(test_periods_run_out),
        cmocka_unit_test(test_full_table),
        cmocka_unit_test(test_overflow_is_taken_along),
        cmocka_unit_test(test_looking_changes_nothing),
        cmocka_unit_test(test_reused_cell_and_late_thread),
        cmocka_unit_test(test_two_newcomers_one_cell),
        cmocka_unit_test(test_unused_cells_go_first),
        cmocka_unit_test(test_overflow_table_is_bounded),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_free_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
