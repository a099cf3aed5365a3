/* SPDX-License-Identifier: Apache-2.0 */
/* test_upstream_rules.c - rise and fall, ejection and its times, panic, and the retry budget: rows of what happens and
 * what follows. */
#include "upstream/upstream_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define S 1000000u

static void test_rise_and_fall(void **state)
{
    (void)state;
    static const struct {
        const char *results, *states; /* '+' good, '-' bad; 'u' up, 'd' down behind it */
        uint32_t rise, fall;
    } rows[] = {
        {"-", "d", 2, 3}, /* the very first one */
        {"+", "u", 2, 3},
        {"+---", "uuud", 2, 3},
        {"+--+--+---", "uuuuuuuuud", 2, 3}, /* a good one begins anew */
        {"-++", "ddu", 2, 3},
        {"-+-++", "ddddu", 2, 3},
        {"-++---", "dduuud", 2, 3},
        {"+-+-", "udud", 1, 1},
        {"--++", "dddd", 3, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct upstream_trial trial = {0};
        for (unsigned k = 0; rows[i].results[k] != '\0'; k++) {
            bool was_down = trial.is_down;
            bool is_changed =
                upstream_trial_note(&trial, rows[i].results[k] == '+', rows[i].rise, rows[i].fall);
            assert_int_equal(trial.is_down ? 'd' : 'u', rows[i].states[k]);
            assert_int_equal(is_changed, trial.is_down != was_down);
        }
    }
}

static void test_ejection_max(void **state)
{
    (void)state;
    static const struct {
        unsigned servers;
        uint32_t percent;
        unsigned max;
    } rows[] = {{0, 50, 0}, {1, 50, 0},   {2, 50, 1},  {3, 50, 1}, {4, 50, 2},
                {5, 50, 2}, {64, 50, 32}, {3, 100, 3}, {3, 0, 0},  {64, 1, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(upstream_ejection_max(rows[i].servers, rows[i].percent), rows[i].max);
}

static void test_ejections_grow_and_are_forgiven(void **state)
{
    (void)state;
    static const struct upstream_health_conf conf = {.eject_base_us = 10 * S,
                                                     .eject_max_us = 25 * S};
    static const struct {
        uint64_t after_s; /* it came back */
        uint64_t long_s;
    } rows[] = {{1000, 10}, {0, 20},   {9, 25}, {1, 25}, {10, 25}, /* one is forgiven, one comes */
                {35, 20},   {1000, 10}};
    struct upstream_ejection ejection = {0};
    uint64_t now_us = 5 * S;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        now_us += rows[i].after_s * S;
        upstream_ejection_begin(&ejection, &conf, now_us);
        assert_true(ejection.is_out);
        assert_int_equal(ejection.until_us - now_us, rows[i].long_s * S);
        now_us = ejection.until_us;
        upstream_ejection_end(&ejection, now_us);
        assert_false(ejection.is_out);
    }
}

static void test_panic(void **state)
{
    (void)state;
    static const struct {
        unsigned usable, servers;
        uint32_t percent;
        bool is_panic;
    } rows[] = {{0, 0, 50, false}, {1, 1, 50, false}, {0, 1, 50, true}, {1, 2, 50, false},
                {1, 3, 50, true},  {2, 3, 50, false}, {0, 3, 0, false}, {2, 3, 100, true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(upstream_is_panic(rows[i].usable, rows[i].servers, rows[i].percent),
                         rows[i].is_panic);
}

/* As many as may be tried, each of which fails at once. */
static unsigned fail_all(struct upstream_budget *budget)
{
    unsigned taken = 0;
    for (; upstream_budget_take(budget); taken++)
        upstream_budget_end(budget, false);
    return taken;
}

static const struct upstream_retry_conf USUAL = {20, 3};

static void test_failures_are_not_saved_up_for(void **state)
{
    (void)state;
    static const struct {
        uint64_t after_s, requests;
        unsigned extra;
    } rows[] = {
        {1, 0, 3},    /* at the beginning: the minimum */
        {1, 1000, 3}, /* however many went well before */
        {0, 5, 1},    /* a fifth */
        {0, 4, 0},    /* 0.8 */
        {0, 1, 1},    /* and 0.2 */
        {10, 0, 3},   {1000, 0, 3}, {5, 0, 1},
    };
    struct upstream_budget budget = {0};
    uint64_t now_us = 100 * S;
    assert_false(upstream_budget_take(&budget));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        now_us += rows[i].after_s * S;
        upstream_budget_fill(&budget, &USUAL, rows[i].requests, now_us - rows[i].after_s * S,
                             now_us);
        assert_int_equal(fail_all(&budget), rows[i].extra);
    }
}

/* What several workers counted while all went well is not saved up for by each of them. */
static void test_workers_do_not_save_up_either(void **state)
{
    (void)state;
    static const struct {
        uint64_t since_ms, at_ms, requests;
        unsigned extra;
    } rows[] = {
        {0, 20000, 60000, 3},  /* the first one asks */
        {0, 20000, 60000, 0},  /* the second one, who has counted just as many */
        {0, 20010, 20010, 2},  /* and the third: those of the last 10 ms */
        {20000, 20010, 30, 3}, /* the first one again: at most the minimum at once */
        {20000, 20020, 10, 1}, /* of the second one half are behind that */
        {20020, 20030, 10, 2},
    };
    struct upstream_budget budget = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        upstream_budget_fill(&budget, &USUAL, rows[i].requests, 100 * S + rows[i].since_ms * 1000,
                             100 * S + rows[i].at_ms * 1000);
        assert_int_equal(fail_all(&budget), rows[i].extra);
    }
}

/* A minute, 3000 requests a second: each try takes a while, and fails. */
static void test_failures_are_never_above_share_and_minimum(void **state)
{
    (void)state;
    struct upstream_budget budget = {0};
    uint64_t requests = 0, extra = 0, now_us = S;
    upstream_budget_fill(&budget, &USUAL, 30000, 0, now_us);
    for (unsigned i = 0; i < 60000; i++, now_us += 1000) {
        requests += 3;
        upstream_budget_fill(&budget, &USUAL, 3, now_us - 1000, now_us);
        extra += fail_all(&budget);
        assert_true(extra * 100 <= requests * 20 + 300);
    }
    assert_true(extra * 100 >= requests * 19);
}

static void test_answers_cost_nothing(void **state)
{
    (void)state;
    struct upstream_budget budget = {0};
    unsigned open = 0;
    upstream_budget_fill(&budget, &USUAL, 0, 0, S);
    for (unsigned i = 0; i < 100; i++) { /* one after the other */
        assert_true(upstream_budget_take(&budget));
        upstream_budget_end(&budget, true);
    }
    upstream_budget_fill(&budget, &USUAL, 1000, S, 2 * S);
    while (upstream_budget_take(&budget)) /* at once: a fifth, and what is left of the minimum */
        open++;
    assert_int_equal(open, 202);
    /* A hundred of them fail: that has to be made up for. */
    for (unsigned i = 0; i < 100; i++)
        upstream_budget_end(&budget, false);
    assert_false(upstream_budget_take(&budget));
    for (; open > 100; open--)
        upstream_budget_end(&budget, true);
    assert_false(upstream_budget_take(&budget));
    upstream_budget_fill(&budget, &USUAL, 500, 2 * S, 2 * S);
    assert_int_equal(fail_all(&budget), 3);
}

static void test_no_budget(void **state)
{
    (void)state;
    static const struct upstream_retry_conf none = {0, 0};
    struct upstream_budget budget = {0};
    upstream_budget_fill(&budget, &none, 1000000, 0, S);
    assert_int_equal(fail_all(&budget), 0);
}

/* 300 requests a second: one worker has asked just so, the other not for a long time. */
static void test_a_long_silence(void **state)
{
    struct upstream_budget budget = {0};
    unsigned open = 0;
    (void)state;
    upstream_budget_fill(&budget, &USUAL, 300000, 100 * S, 1100 * S);
    while (upstream_budget_take(&budget)) /* a fifth of those of the last 10 s, and the minimum */
        open++;
    assert_int_equal(open, 603);
    for (; open > 0; open--)
        upstream_budget_end(&budget, true);
    assert_int_equal(fail_all(&budget), 3);
    /* Of the last 100 ms there are 30: a fifth of these is more than the minimum. */
    upstream_budget_fill(&budget, &USUAL, 300030, 100 * S, 1100 * S + S / 10);
    assert_int_equal(fail_all(&budget), 3);
    upstream_budget_fill(&budget, &USUAL, 3, 1100 * S + S / 10, 1100 * S + S / 10 + 10000);
    assert_int_equal(fail_all(&budget), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rise_and_fall),
        cmocka_unit_test(test_ejection_max),
        cmocka_unit_test(test_ejections_grow_and_are_forgiven),
        cmocka_unit_test(test_panic),
        cmocka_unit_test(test_failures_are_not_saved_up_for),
        cmocka_unit_test(test_workers_do_not_save_up_either),
        cmocka_unit_test(test_failures_are_never_above_share_and_minimum),
        cmocka_unit_test(test_answers_cost_nothing),
        cmocka_unit_test(test_no_budget),
        cmocka_unit_test(test_a_long_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
