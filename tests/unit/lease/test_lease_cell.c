/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_cell - what one subject's cell learns, claims, owes and allows.  The time is a number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lease/lease_cell.h"
#include "lease/lease_tokens.h"
#include "store/store_testing.h"

#define MONO(at_s)                                                                                 \
    (US(at_s) - US(T0_S) + 1000000000) /* the monotonic clock at a time of the store */

static const struct quota MINUTE_10 = {.limit_count = 1, .limits = {MINUTE(10)}};
static const struct quota MINUTE_HOUR = {.limit_count = 2, .limits = {MINUTE(10), HOUR(100)}};
static const struct quota HOUR_MINUTE = {.limit_count = 2, .limits = {HOUR(100), MINUTE(10)}};
static const struct quota SLIDING = {
    .limit_count = 2, .limits = {MINUTE(10), HOUR(100)}, .algorithm = QUOTA_SLIDING};
static const struct quota FOUR = {.limit_count = 4,
                                  .limits = {SECOND(5), MINUTE(10), HOUR(100), DAY(1000)}};
static const struct quota OTHERS = {.limit_count = 3,
                                    .limits = {{1, 7, 7, 0}, {1, 11, 11, 0}, {1, 13, 13, 0}}};

/* The store's answer to a claim, in the lineage given. */
static struct store_redis_result answer(const struct store_redis_claim *claim, uint32_t lineage,
                                        uint64_t now_s, const uint32_t *used)
{
    struct store_redis_result result = {.lineage = lineage};
    for (unsigned i = 0; i < claim->window_count; i++) {
        result.windows[i].start_s = quota_window_start(claim->windows[i].period_s, now_s);
        result.windows[i].used = used[i];
    }
    return result;
}

/* Ask at now_s and learn. */
static struct store_redis_claim exchange(struct lease_cell *cell, const struct quota *quota,
                                         uint64_t now_s, uint32_t lineage, const uint32_t *used)
{
    struct store_redis_claim claim;
    lease_cell_settle(cell, quota, now_s);
    lease_cell_claim(cell, quota, 1, true, &claim);
    struct store_redis_result result = answer(&claim, lineage, now_s, used);
    lease_cell_learn(cell, &claim, &result, US(now_s), MONO(now_s));
    return claim;
}

static void test_windows_are_found_by_period(void **state)
{
    struct lease_cell cell = {0};
    const uint32_t used[] = {3, 30};
    (void)state;
    exchange(&cell, &MINUTE_HOUR, T0_S, 1, used);
    lease_cell_settle(&cell, &HOUR_MINUTE, T0_S + 1);
    assert_int_equal(cell.windows[0].seen, 30);
    assert_int_equal(cell.windows[1].seen, 3);
    lease_cell_settle(&cell, &FOUR, T0_S + 1);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(cell.windows[i].period_s, FOUR.limits[i].period_s);
    assert_int_equal(cell.windows[1].seen, 3);
    assert_int_equal(cell.windows[2].seen, 30);
    assert_int_equal(cell.windows[3].seen, 0);
    lease_cell_settle(&cell, &OTHERS, T0_S + 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(cell.windows[i].period_s, OTHERS.limits[i].period_s);
    lease_cell_settle(&cell, &MINUTE_HOUR, T0_S + 1);
    assert_int_equal(cell.windows[0].period_s, 60);
    assert_int_equal(cell.windows[1].period_s, 3600);
}

static void test_windows_end(void **state)
{
    struct lease_cell cell = {0};
    const uint32_t used[] = {3, 30};
    (void)state;
    exchange(&cell, &MINUTE_HOUR, T0_S + 59, 1, used);
    cell.windows[0].local = cell.windows[1].local = 2;
    lease_cell_settle(&cell, &MINUTE_HOUR, T0_S + 60);
    assert_int_equal(cell.windows[0].start_s, T0_S + 60);
    assert_int_equal(cell.windows[0].seen + cell.windows[0].local, 0);
    assert_int_equal(cell.windows[1].seen, 30);
    assert_int_equal(cell.windows[1].local, 2);
    lease_cell_settle(&cell, &MINUTE_HOUR, T0_S + 10); /* a little back: kept */
    assert_int_equal(cell.windows[0].start_s, T0_S + 60);
    cell.windows[0].seen = 7;
    lease_cell_settle(&cell, &MINUTE_HOUR, T0_S - 600); /* far back: moved, what was used stays */
    assert_int_equal(cell.windows[0].start_s, T0_S - 600);
    assert_int_equal(cell.windows[0].seen, 7);
}

static void test_answers_out_of_order(void **state)
{
    struct lease_cell cell = {0};
    struct store_redis_claim first, second, third;
    (void)state;
    lease_cell_settle(&cell, &MINUTE_10, T0_S + 59);
    lease_cell_claim(&cell, &MINUTE_10, 1, true, &first);
    lease_cell_claim(&cell, &MINUTE_10, 1, true, &second);
    const uint32_t low[] = {4}, high[] = {5}, fresh[] = {1};
    struct store_redis_result newer = answer(&second, 1, T0_S + 59, high);
    struct store_redis_result older = answer(&first, 1, T0_S + 59, low);
    lease_cell_learn(&cell, &second, &newer, US(T0_S + 59), MONO(T0_S + 59));
    lease_cell_learn(&cell, &first, &older, US(T0_S + 59), MONO(T0_S + 59));
    assert_int_equal(cell.windows[0].seen, 5);

    newer.windows[0].used = 3; /* two of the five were given back since */
    newer.windows[0].returned = 2;
    lease_cell_learn(&cell, &second, &newer, US(T0_S + 59), MONO(T0_S + 59));
    lease_cell_learn(&cell, &first, &older, US(T0_S + 59), MONO(T0_S + 59));
    assert_int_equal(lease_window_used(&cell.windows[0]), 3);
    lease_cell_claim(&cell, &MINUTE_10, 1, true, &third);
    assert_int_equal(third.windows[0].seen, 5);
    assert_int_equal(third.windows[0].returned, 2);

    struct store_redis_result next = answer(&second, 1, T0_S + 60, fresh);
    lease_cell_learn(&cell, &second, &next, US(T0_S + 60), MONO(T0_S + 60));
    assert_int_equal(cell.windows[0].seen, 1);
    lease_cell_learn(&cell, &first, &older, US(T0_S + 59),
                     MONO(T0_S + 59)); /* of the minute before */
    assert_int_equal(cell.windows[0].seen, 1);
    assert_int_equal(cell.windows[0].start_s, T0_S + 60);
}

static void assert_minute_and_hour_with_before(const struct store_redis_claim *claim)
{
    assert_int_equal(claim->window_count, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(
            claim->windows[i].period_s,
            quota_code(i < 2 ? 60 : 3600, i % 2 == 0 ? QUOTA_KIND_COUNT : QUOTA_KIND_BEFORE));
}

/* What a window has used when it ends is the window before: a claim that begins the next one must name both, or the store forgets it. */
static void test_debts_of_a_sliding_window_name_both(void **state)
{
    struct lease_cell cell = {0};
    struct store_redis_claim claim;
    const uint32_t used[] = {3, 0, 30, 0};
    (void)state;
    exchange(&cell, &SLIDING, T0_S + 59, 1, used);
    cell.windows[0].back = 2;
    lease_cell_settle(&cell, &SLIDING, T0_S + 60);
    assert_true(lease_cell_claim_debt(&cell, &claim));
    assert_minute_and_hour_with_before(&claim);
    assert_int_equal(claim.windows[1].start_s, T0_S);
    assert_int_equal(claim.windows[1].seen, 3);
    assert_int_equal(claim.windows[1].back, 2);
    assert_int_equal(claim.windows[2].seen, 30);
    assert_false(lease_cell_claim_debt(&cell, &claim)); /* all of it was told */
}

/* Our window began, by our clock, before the store's: the store's counts. */
static void test_store_is_behind(void **state)
{
    struct lease_cell cell = {0};
    struct store_redis_claim claim;
    const uint32_t used[] = {9};
    (void)state;
    lease_cell_settle(&cell, &MINUTE_10, T0_S + 60);
    cell.windows[0].local = 2;
    lease_cell_claim(&cell, &MINUTE_10, 1, true, &claim);
    struct store_redis_result result = answer(&claim, 1, T0_S + 59, used);
    lease_cell_learn(&cell, &claim, &result, US(T0_S + 59), MONO(T0_S + 60));
    assert_int_equal(cell.windows[0].start_s, T0_S);
    assert_int_equal(cell.windows[0].seen, 9);
    assert_int_equal(cell.windows[0].billed, 0);
}

/* Totals of a lineage that is gone are claimed until an answer shows that they were heard. */
static void test_lineages(void **state)
{
    struct lease_cell cell = {0};
    struct store_redis_claim early, late;
    const uint32_t six[] = {6}, nine[] = {9}, seven[] = {7}, ten[] = {10};
    (void)state;
    exchange(&cell, &MINUTE_10, T0_S, 1, six);
    lease_cell_claim(&cell, &MINUTE_10, 1, true, &early); /* says 6 */
    assert_int_equal(early.lineage, 1);
    assert_int_equal(early.windows[0].seen, 6);
    exchange(&cell, &MINUTE_10, T0_S, 1, nine);                        /* another worker saw 9 */
    struct store_redis_result result = answer(&early, 2, T0_S, seven); /* lost; began at 6 */
    lease_cell_learn(&cell, &early, &result, US(T0_S), MONO(T0_S));
    assert_int_equal(cell.lineage, 2);
    assert_int_equal(cell.windows[0].seen, 7);
    assert_int_equal(cell.windows[0].floor, 9);
    lease_cell_claim(&cell, &MINUTE_10, 1, true, &late);
    assert_int_equal(late.windows[0].floor, 9);
    result = answer(&late, 2, T0_S, ten);
    lease_cell_learn(&cell, &late, &result, US(T0_S), MONO(T0_S));
    assert_int_equal(cell.windows[0].seen, 10);
    assert_int_equal(cell.windows[0].floor, 0);

    const uint32_t heard[] = {11}; /* lost again, but all that we knew was said */
    exchange(&cell, &MINUTE_10, T0_S, 3, heard);
    assert_int_equal(cell.windows[0].floor, 0);
    assert_int_equal(cell.windows[0].seen, 11);
}

/* A claim of a window that is over, or of the time before a reset, tells nothing: what is known is told again. */
static void test_what_was_not_looked_at_is_told_again(void **state)
{
    const uint32_t nine[] = {9}, five[] = {5}, none[] = {0};
    (void)state;
    for (unsigned is_stale = 0; is_stale < 2; is_stale++) {
        struct lease_cell cell = {0};
        struct store_redis_claim early, told;
        exchange(&cell, &MINUTE_10, T0_S + 59, 1, nine);
        lease_cell_claim(&cell, &MINUTE_10, 1, true, &early); /* says 9 */
        uint64_t now_s = is_stale ? T0_S + 59 : T0_S + 60;
        if (is_stale)
            lease_cell_reset(&cell, 2, MONO(now_s));
        lease_cell_settle(&cell, &MINUTE_10, now_s);
        lease_cell_claim(&cell, &MINUTE_10, 1, true, &told);
        struct store_redis_result result = answer(&told, 1, now_s, five);
        result.generation = cell.generation;
        lease_cell_learn(&cell, &told, &result, US(now_s), MONO(now_s));
        assert_false(lease_cell_has_debt(&cell));

        result = answer(&early, 2, now_s, none); /* lost meanwhile */
        result.generation = cell.generation;
        lease_cell_learn(&cell, &early, &result, US(now_s), MONO(now_s));
        assert_true(lease_cell_has_debt(&cell));
        assert_true(lease_cell_claim_debt(&cell, &told));
        assert_int_equal(told.windows[0].floor, 5);
        result = answer(&told, 2, now_s, five);
        result.generation = cell.generation;
        lease_cell_learn(&cell, &told, &result, US(now_s), MONO(now_s));
        assert_false(lease_cell_has_debt(&cell));
    }
}

/* Another policy asks for the minute alone: of the hour it is not known what the new value has. */
static void test_windows_that_nobody_asks_for_leave_too(void **state)
{
    struct lease_cell cell = {0};
    struct store_redis_claim claim;
    const uint32_t both[] = {3, 30}, minute[] = {4};
    (void)state;
    exchange(&cell, &MINUTE_HOUR, T0_S, 1, both);
    exchange(&cell, &MINUTE_10, T0_S, 2, minute);
    assert_int_equal(cell.windows[0].floor, 0);
    assert_int_equal(cell.windows[1].floor, 30);
    assert_true(lease_cell_claim_debt(&cell, &claim));
    assert_int_equal(claim.windows[1].floor, 30);
    assert_int_equal(claim.windows[1].seen, 0);
}

/* A policy that slides no longer leaves windows before in the cell: each goes right behind its count, or not at all. */
static void test_windows_before_go_behind_their_counts(void **state)
{
    static const struct quota day = {.limit_count = 1, .limits = {DAY(9)}};
    struct lease_cell cell = {0};
    struct store_redis_claim claim;
    const uint32_t four[] = {3, 2, 30, 20}, two[] = {4, 31}, one[] = {1};
    (void)state;
    exchange(&cell, &SLIDING, T0_S, 1, four);
    exchange(&cell, &MINUTE_HOUR, T0_S, 2, two);
    assert_true(lease_cell_claim_debt(&cell, &claim));
    assert_minute_and_hour_with_before(&claim);
    assert_int_equal(claim.windows[1].floor, 2);

    exchange(&cell, &day, T0_S, 3, one); /* takes the place of the minute */
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++)
        cell.windows[i].floor = 5;
    assert_true(lease_cell_claim_debt(&cell, &claim));
    assert_int_equal(claim.window_count, 3);
    assert_int_equal(claim.windows[0].period_s, 86400);
    assert_int_equal(claim.windows[1].period_s, 3600);
    assert_int_equal(claim.windows[2].period_s, quota_code(3600, QUOTA_KIND_BEFORE));
    for (unsigned i = 0; i < QUOTA_WINDOWS_MAX; i++)
        if (cell.windows[i].period_s == quota_code(60, QUOTA_KIND_BEFORE))
            assert_int_equal(cell.windows[i].floor, 0);
}

/* A server that has lost the value and is behind by the clock says nothing of our window: we go on telling it. */
static void test_a_server_that_is_behind_is_told_of_our_window(void **state)
{
    struct lease_cell cell = {0};
    struct store_redis_claim early, told;
    const uint32_t five[] = {5}, ten[] = {10};
    (void)state;
    exchange(&cell, &MINUTE_10, T0_S + 59, 1, five);
    lease_cell_claim(&cell, &MINUTE_10, 1, true, &early);
    exchange(&cell, &MINUTE_10, T0_S + 60, 1, ten);
    struct store_redis_result result = answer(&early, 2, T0_S + 59, five);
    lease_cell_learn(&cell, &early, &result, US(T0_S + 59), MONO(T0_S + 60));
    lease_cell_claim(&cell, &MINUTE_10, 1, true, &told);
    assert_int_equal(told.lineage, 1);
    assert_int_equal(told.windows[0].start_s, T0_S + 60);
    assert_int_equal(told.windows[0].seen, 10);
}

static void test_resets_and_grants(void **state)
{
    struct lease_cell cell = {0};
    struct store_redis_claim claim;
    const uint32_t used[] = {10}, none[] = {0};
    (void)state;
    exchange(&cell, &MINUTE_10, T0_S, 1, used);
    cell.windows[0].back = 1;
    cell.windows[0].floor = 3;
    lease_cell_claim(&cell, &MINUTE_10, 1, true, &claim);
    cell.windows[0].back = 1;
    struct store_redis_result result = answer(&claim, 1, T0_S, none);
    result.generation = 1;
    result.extra = 5;
    lease_cell_learn(&cell, &claim, &result, US(T0_S), MONO(T0_S));
    assert_int_equal(cell.windows[0].seen + cell.windows[0].floor + cell.windows[0].back, 0);
    assert_int_equal(cell.generation, 1);
    assert_int_equal(lease_limit(&cell, 10), 15);
    assert_int_equal(lease_limit(&cell, INT32_MAX), INT32_MAX);
}

static void refuse(struct lease_cell *cell, const struct store_redis_claim *claim, uint64_t sent_us,
                   uint64_t got_us)
{
    lease_cell_note_refusal(cell, claim, got_us, sent_us);
}

static void test_back_off(void **state)
{
    struct lease_cell cell = {0};
    const uint32_t used[] = {10};
    static const uint64_t steps_us[] = {100000, 200000, 400000, 800000, 1600000, 1600000};
    uint64_t now_us = MONO(T0_S);
    (void)state;
    struct store_redis_claim claim = exchange(&cell, &MINUTE_10, T0_S, 1, used);
    assert_false(lease_cell_refuses(&cell, &MINUTE_10, 1, now_us));
    for (unsigned i = 0; i < 6; i++) {
        refuse(&cell, &claim, now_us, now_us);
        refuse(&cell, &claim, now_us, now_us + 10); /* was on its way together with the first */
        assert_true(lease_cell_refuses(&cell, &MINUTE_10, 1, now_us + steps_us[i] - 1));
        now_us += steps_us[i] + 10;
        assert_false(lease_cell_refuses(&cell, &MINUTE_10, 1, now_us));
    }
    refuse(&cell, &claim, now_us, now_us);
    assert_true(lease_cell_refuses(&cell, &MINUTE_10, 1, now_us));
    lease_cell_note_grant(&cell);
    assert_false(lease_cell_refuses(&cell, &MINUTE_10, 1, now_us));
}

static void test_refusals_know_costs_limits_and_windows(void **state)
{
    struct lease_cell cell = {0};
    const uint32_t used[] = {8, 50};
    static const struct quota roomier = {.limit_count = 2, .limits = {MINUTE(20), HOUR(100)}};
    uint64_t now_us = MONO(T0_S + 59) + 950000;
    (void)state;
    struct store_redis_claim claim = exchange(&cell, &MINUTE_HOUR, T0_S + 59, 1, used);
    claim.cost = 3;
    refuse(&cell, &claim, now_us, now_us);
    assert_true(lease_cell_refuses(&cell, &MINUTE_HOUR, 3, now_us));
    assert_false(lease_cell_refuses(&cell, &MINUTE_HOUR, 2, now_us)); /* would fit */
    assert_false(lease_cell_refuses(&cell, &roomier, 3, now_us));     /* the limit was raised */
    assert_true(lease_cell_refuses(&cell, &MINUTE_HOUR, 3, now_us + 49999));
    assert_false(
        lease_cell_refuses(&cell, &MINUTE_HOUR, 3, now_us + 50000)); /* the minute is over */
}

/* Another key of the request refused: this one is not held against the next request. */
static void test_refused_for_another_key(void **state)
{
    struct lease_cell cell = {0};
    const uint32_t used[] = {2};
    (void)state;
    struct store_redis_claim claim = exchange(&cell, &MINUTE_10, T0_S, 1, used);
    refuse(&cell, &claim, MONO(T0_S), MONO(T0_S));
    assert_false(lease_cell_refuses(&cell, &MINUTE_10, 1, MONO(T0_S)));
}

static void test_debts(void **state)
{
    struct lease_cell cell = {0};
    struct store_redis_claim claim, second;
    const uint32_t used[] = {2, 20}, after[] = {8, 26};
    (void)state;
    exchange(&cell, &MINUTE_HOUR, T0_S, 1, used);
    assert_false(lease_cell_has_debt(&cell));
    cell.windows[0].local = cell.windows[1].local = 5;
    assert_true(lease_cell_has_debt(&cell));
    lease_cell_claim(&cell, &MINUTE_HOUR, 1, false, &claim);
    assert_int_equal(claim.windows[0].debt, 0);
    lease_cell_claim(&cell, &MINUTE_HOUR, 1, true, &claim);
    assert_int_equal(claim.windows[0].debt, 5);
    assert_false(lease_cell_has_debt(&cell));
    assert_int_equal(lease_window_owed(&cell.windows[0]), 5); /* until it is known to be billed */
    lease_cell_claim(&cell, &MINUTE_HOUR, 1, true, &second);
    assert_int_equal(second.windows[0].debt, 0); /* once */
    lease_cell_unclaim(&cell, &claim);           /* lost: owed again */
    lease_cell_unclaim(&cell, &second);
    assert_int_equal(cell.windows[1].local, 5);
    assert_true(lease_cell_claim_debt(&cell, &claim));
    assert_int_equal(claim.cost, 0);
    assert_int_equal(claim.window_count, 2);
    assert_int_equal(claim.windows[1].debt, 5);
    struct store_redis_result result = answer(&claim, 1, T0_S, after);
    lease_cell_learn(&cell, &claim, &result, US(T0_S), MONO(T0_S));
    assert_int_equal(lease_window_owed(&cell.windows[0]) + lease_window_owed(&cell.windows[1]), 0);
    assert_false(lease_cell_claim_debt(&cell, &claim));

    cell.windows[0].local = 3; /* of a minute that is over when the bill comes back */
    lease_cell_claim(&cell, &MINUTE_HOUR, 1, true, &claim);
    lease_cell_settle(&cell, &MINUTE_HOUR, T0_S + 60);
    lease_cell_unclaim(&cell, &claim);
    assert_int_equal(cell.windows[0].local, 0);
}

static void test_late_grants(void **state)
{
    struct lease_cell cell = {0};
    const uint32_t used[] = {2, 20};
    (void)state;
    struct store_redis_claim claim = exchange(&cell, &MINUTE_HOUR, T0_S, 1, used);
    struct store_redis_result result = answer(&claim, 1, T0_S, used);
    uint32_t starts[] = {T0_S, T0_S};
    claim.cost = 2;
    cell.windows[0].local = cell.windows[1].local = 2;
    lease_cell_late_grant(&cell, &claim, &result, starts); /* stands for what was admitted here */
    assert_false(lease_cell_has_debt(&cell));
    lease_cell_late_grant(&cell, &claim, &result, NULL); /* nothing was: goes back */
    assert_int_equal(cell.windows[0].back, 2);
    assert_int_equal(cell.windows[1].back, 2);
    lease_cell_claim(&cell, &MINUTE_HOUR, 1, false, &claim);
    assert_int_equal(claim.windows[0].back, 2);
    assert_false(lease_cell_has_debt(&cell)); /* once, whatever becomes of it */
    lease_cell_unclaim(&cell, &claim);
    assert_false(lease_cell_has_debt(&cell));

    claim.cost = 2;
    cell.windows[0].local = 1; /* half of it was billed already */
    cell.windows[1].local = 2;
    lease_cell_late_grant(&cell, &claim, &result, starts);
    assert_int_equal(cell.windows[0].local, 0);
    assert_int_equal(cell.windows[0].back, 1);
    assert_int_equal(cell.windows[1].back, 0);

    starts[0] = T0_S + 60; /* admitted here in the next minute: the grant is of one that is over */
    lease_cell_settle(&cell, &MINUTE_HOUR, T0_S + 60);
    cell.windows[0].local = cell.windows[1].local = 2;
    lease_cell_late_grant(&cell, &claim, &result, starts);
    assert_int_equal(cell.windows[0].local, 2);
    assert_int_equal(cell.windows[0].back, 0);
    assert_int_equal(cell.windows[1].local, 0);
}

/* All ten of a minute are used; nine of them are held; another one was refused. */
static struct store_redis_claim lease_nine(struct lease_cell *cell)
{
    const uint32_t used[] = {10};
    struct lease_batch batch;
    struct store_redis_claim claim;
    *cell = (struct lease_cell){0};
    lease_cell_settle(cell, &MINUTE_10, T0_S);
    lease_cell_claim(cell, &MINUTE_10, 1, true, &claim);
    struct store_redis_result result = answer(&claim, 1, T0_S, used);
    result.generation = 4;
    lease_cell_learn(cell, &claim, &result, US(T0_S), MONO(T0_S));
    lease_batch_of(&batch, &claim, &result, 9, US(T0_S), MONO(T0_S));
    lease_tokens_add(cell, &batch, MONO(T0_S));
    lease_cell_note_refusal(cell, &claim, MONO(T0_S), MONO(T0_S));
    assert_int_equal(cell->held, 9);
    assert_true(lease_cell_refuses(cell, &MINUTE_10, 1, MONO(T0_S)));
    lease_cell_claim(cell, &MINUTE_10, 1, true, &claim);
    return claim;
}

static void test_an_order_ends_what_was_before(void **state)
{
    static const struct {
        uint32_t heard, held, back;
        bool is_refused;
    } rows[] = {
        {3, 9, 0, true},  /* of a reset that was seen long ago */
        {4, 0, 9, false}, /* a grant: the lease goes back */
        {5, 0, 0, false}, /* a reset: there is nothing to go back to */
        {UINT32_MAX, 0, 0, false},
    };
    struct lease_cell cell;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct store_redis_claim claim = lease_nine(&cell);
        lease_cell_order(&cell, rows[i].heard, MONO(T0_S));
        assert_int_equal(cell.held, rows[i].held);
        assert_int_equal(cell.windows[0].back, rows[i].back);
        assert_int_equal(lease_cell_refuses(&cell, &MINUTE_10, 1, MONO(T0_S)), rows[i].is_refused);
        /* What was only heard is never claimed: Redis would take it for a reset that it lost. */
        lease_cell_claim(&cell, &MINUTE_10, 1, true, &claim);
        assert_int_equal(claim.generation, 4);
    }
}

/* Redis has refused, then granted more; the news of that overtakes the refusal, which came over another connection. */
static void test_a_refusal_of_before_a_grant_says_nothing(void **state)
{
    struct lease_cell cell;
    (void)state;
    struct store_redis_claim claim = lease_nine(&cell);
    lease_cell_order(&cell, 4, MONO(T0_S) + 1000);
    lease_cell_claim(&cell, &MINUTE_10, 1, true, &claim); /* gives the lease back */
    lease_cell_note_refusal(&cell, &claim, MONO(T0_S) + 2000, MONO(T0_S) + 500);
    assert_false(lease_cell_refuses(&cell, &MINUTE_10, 1, MONO(T0_S) + 2000));
    lease_cell_note_refusal(&cell, &claim, MONO(T0_S) + 3000, MONO(T0_S) + 2000);
    assert_true(lease_cell_refuses(&cell, &MINUTE_10, 1, MONO(T0_S) + 3000));
}

static void test_a_reset_that_redis_has_confirmed_is_told(void **state)
{
    static const struct {
        uint32_t confirmed, claimed, seen;
    } rows[] = {{3, 4, 10}, {4, 4, 10}, {5, 5, 0}, {0, 4, 10}};
    struct lease_cell cell;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct store_redis_claim claim = lease_nine(&cell);
        lease_cell_reset(&cell, rows[i].confirmed, MONO(T0_S));
        assert_true(lease_cell_has_seen(&cell, T0_S));
        assert_false(lease_cell_has_seen(&cell, T0_S + 61));
        cell.must_tell = 1;
        assert_true(lease_cell_claim_debt(&cell, &claim));
        assert_int_equal(claim.generation, rows[i].claimed);
        assert_int_equal(claim.windows[0].seen, rows[i].seen);
        assert_int_equal(cell.ordered, 0);
    }
    cell = (struct lease_cell){0};
    lease_cell_settle(&cell, &MINUTE_10, T0_S);
    assert_false(lease_cell_has_seen(&cell, T0_S)); /* of the first generation: nothing to tell */
}

static void test_answers_of_before_a_reset_bring_nothing(void **state)
{
    struct lease_cell cell;
    struct lease_batch taken, late;
    const uint32_t used[] = {7}, fresh[] = {1};
    (void)state;
    struct store_redis_claim claim = lease_nine(&cell);
    lease_tokens_take(&cell, 3, &taken);
    cell.windows[0].local = 2;
    lease_cell_claim(&cell, &MINUTE_10, 1, true, &claim);
    lease_cell_order(&cell, 5, MONO(T0_S));
    struct store_redis_result result = answer(&claim, 1, T0_S, used);
    result.generation = 4; /* executed before the reset, read behind the news of it */
    assert_true(lease_cell_is_past(&cell, result.generation));
    lease_cell_learn(&cell, &claim, &result, US(T0_S), MONO(T0_S));
    assert_int_equal(cell.generation, 4);
    assert_int_equal(lease_window_owed(&cell.windows[0]), 0); /* billed all the same */
    lease_batch_of(&late, &claim, &result, 5, US(T0_S), MONO(T0_S));
    lease_tokens_add(&cell, &late, MONO(T0_S));
    lease_tokens_add(&cell, &taken, MONO(T0_S));
    assert_int_equal(cell.held, 0);
    assert_int_equal(cell.windows[0].back, 0);

    lease_cell_claim(&cell, &MINUTE_10, 1, true, &claim);
    result = answer(&claim, 1, T0_S, fresh);
    result.generation = 5;
    assert_false(lease_cell_is_past(&cell, result.generation));
    lease_cell_learn(&cell, &claim, &result, US(T0_S), MONO(T0_S));
    assert_int_equal(cell.generation, 5);
    assert_int_equal(lease_window_used(&cell.windows[0]), 1);
    lease_batch_of(&late, &claim, &result, 5, US(T0_S), MONO(T0_S));
    lease_tokens_add(&cell, &late, MONO(T0_S));
    assert_int_equal(cell.held, 5);
    assert_true(lease_cell_is_past(&cell, 4)); /* also without news */
    lease_tokens_add(&cell, &taken, MONO(T0_S));
    assert_int_equal(cell.held, 5);
}

/* What a response says of a charge before the store has answered it. */
static void test_late_corrections(void **state)
{
    static const struct quota bucket = {
        .limit_count = 1, .algorithm = QUOTA_BUCKET, .limits = {MINUTE(6)}};
    struct lease_cell cell = {0};
    const uint32_t used[] = {2, 20};
    (void)state;
    struct store_redis_claim claim = exchange(&cell, &MINUTE_HOUR, T0_S, 1, used);
    struct store_redis_result result = answer(&claim, 1, T0_S, used);
    assert_true(lease_cell_correct_late(&cell, &claim, &result, 7));
    assert_int_equal(cell.windows[0].local, 7);
    assert_int_equal(cell.windows[1].local, 7);
    lease_cell_settle(&cell, &MINUTE_HOUR, T0_S + 60); /* the minute is over, the hour is not */
    assert_true(lease_cell_correct_late(&cell, &claim, &result, -2));
    assert_int_equal(cell.windows[0].back, 0);
    assert_int_equal(cell.windows[1].back, 2);
    assert_int_equal(cell.windows[1].local, 7);

    /* A bucket's debt counts as drained here too: what is not there is not billed.  Ten seconds a token. */
    cell = (struct lease_cell){0};
    lease_cell_settle(&cell, &bucket, T0_S);
    lease_cell_claim(&cell, &bucket, 1, true, &claim);
    result = (struct store_redis_result){.lineage = 1, .windows = {{T0_S + 10, 0}}};
    lease_cell_learn(&cell, &claim, &result, US(T0_S), MONO(T0_S));
    assert_true(lease_cell_correct_late(&cell, &claim, &result, 3));
    assert_int_equal(cell.windows[0].start_s, T0_S + 40);
    lease_cell_settle(&cell, &bucket, T0_S + 20);
    lease_cell_claim(&cell, &bucket, 1, true, &claim);
    assert_int_equal(claim.windows[0].debt, 2);
    assert_false(lease_cell_correct_late(&cell, &claim, &result, -1)); /* it is filled again */
    assert_false(lease_cell_has_debt(&cell));
}

static void test_shares(void **state)
{
    struct lease_cell cell = {0};
    static const struct {
        uint32_t used, floor, limit, proxies, share;
    } rows[] = {
        {0, 0, 100, 4, 25}, {0, 0, 3, 4, 0},
        {4, 0, 20, 2, 8},   {5, 0, 20, 2, 7},
        {20, 0, 20, 2, 0},  {25, 0, 20, 2, 0},
        {0, 12, 20, 2, 4},  {19, 0, 20, 1, 1},
        {0, 0, 0, 1, 0},    {0, 0, INT32_MAX, 1, INT32_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cell.windows[0].seen = rows[i].used;
        cell.windows[0].floor = rows[i].floor;
        assert_int_equal(lease_cell_share(&cell, 0, rows[i].limit, rows[i].proxies), rows[i].share);
    }
}

static void test_who_may_be_forgotten(void **state)
{
    struct lease_cell cell = {0};
    const uint32_t used[] = {2, 20};
    (void)state;
    assert_int_equal(lease_cell_busy_until(&cell, false), 0);
    exchange(&cell, &MINUTE_HOUR, T0_S, 1, used);
    assert_int_equal(lease_cell_busy_until(&cell, false), T0_S + LEASE_IDLE_S);
    assert_int_equal(lease_cell_busy_until(&cell, true), T0_S + 3600);
    cell.windows[1].local = 1;
    assert_int_equal(lease_cell_busy_until(&cell, false), T0_S + 3600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_are_found_by_period),
        cmocka_unit_test(test_windows_end),
        cmocka_unit_test(test_answers_out_of_order),
        cmocka_unit_test(test_store_is_behind),
        cmocka_unit_test(test_lineages),
        cmocka_unit_test(test_what_was_not_looked_at_is_told_again),
        cmocka_unit_test(test_windows_that_nobody_asks_for_leave_too),
        cmocka_unit_test(test_windows_before_go_behind_their_counts),
        cmocka_unit_test(test_a_server_that_is_behind_is_told_of_our_window),
        cmocka_unit_test(test_resets_and_grants),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_refusals_know_costs_limits_and_windows),
        cmocka_unit_test(test_refused_for_another_key),
        cmocka_unit_test(test_debts),
        cmocka_unit_test(test_late_grants),
        cmocka_unit_test(test_an_order_ends_what_was_before),
        cmocka_unit_test(test_a_refusal_of_before_a_grant_says_nothing),
        cmocka_unit_test(test_a_reset_that_redis_has_confirmed_is_told),
        cmocka_unit_test(test_answers_of_before_a_reset_bring_nothing),
        cmocka_unit_test(test_late_corrections),
        cmocka_unit_test(test_debts_of_a_sliding_window_name_both),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_who_may_be_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
