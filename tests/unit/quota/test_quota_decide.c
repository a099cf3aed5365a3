/* SPDX-License-Identifier: Apache-2.0 */
/* test_quota_decide - which window binds, when to retry, and that nothing is said too early.  A table of
 * cases worked out by hand, then random readings against a model that follows the rules word by word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base_rng.h"
#include "quota/quota.h"

#define NOW_S  UINT64_C(1795356131) /* 14:02:11 */
#define NOW_US (NOW_S * 1000000)
#define MINUTE                                                                                     \
    {                                                                                              \
        0, 60, 1, QUOTA_MINUTE                                                                     \
    }
#define HOUR                                                                                       \
    {                                                                                              \
        0, 3600, 1, QUOTA_HOUR                                                                     \
    }
#define DAY                                                                                        \
    {                                                                                              \
        0, 86400, 1, QUOTA_DAY                                                                     \
    }
#define SECOND                                                                                     \
    {                                                                                              \
        0, 1, 1, QUOTA_SECOND                                                                      \
    }
#define FIVE                                                                                       \
    {                                                                                              \
        0, 300, 5, QUOTA_MINUTE                                                                    \
    }
#define SIXTY                                                                                      \
    {                                                                                              \
        0, 60, 60, QUOTA_SECOND                                                                    \
    }

struct window_row {
    struct quota_limit kind;
    uint32_t limit, used;
    bool refused;
};

struct row {
    const char *name;
    uint32_t cost;
    struct window_row windows[2][4]; /* of two quotas; period 0 ends */
    bool is_degraded[2], is_skipped[2];
    enum quota_verdict verdict;
    int charge, window; /* -1: none shown */
    uint32_t limit, remaining, reset_s, retry_after_s;
    bool is_near;
};

static const struct row rows[] = {
    {"no windows at all", 1, {{{{0}, 0, 0, 0}}}, {0}, {0}, QUOTA_ALLOW, -1, 0, 0, 0, 0, 0, false},
    {"one window", 1, {{{MINUTE, 100, 1, 0}}}, {0}, {0}, QUOTA_ALLOW, 0, 0, 100, 99, 49, 0, false},
    {"the last one admitted shows 0",
     1,
     {{{MINUTE, 5, 5, 0}}},
     {0},
     {0},
     QUOTA_ALLOW,
     0,
     0,
     5,
     0,
     49,
     0,
     true},
    {"least remaining share, not least remaining",
     1,
     {{{MINUTE, 100, 50, 0}, {DAY, 1000, 600, 0}}},
     {0},
     {0},
     QUOTA_ALLOW,
     0,
     1,
     1000,
     400,
     35869,
     0,
     false},
    {"tie: shorter period",
     1,
     {{{DAY, 1000, 500, 0}, {MINUTE, 10, 5, 0}}},
     {0},
     {0},
     QUOTA_ALLOW,
     0,
     1,
     10,
     5,
     49,
     0,
     false},
    {"tie: file order",
     1,
     {{{MINUTE, 10, 5, 0}}, {{MINUTE, 20, 10, 0}}},
     {0},
     {0},
     QUOTA_ALLOW,
     0,
     0,
     10,
     5,
     49,
     0,
     false},
    {"a second only if no other applies",
     1,
     {{{SECOND, 10, 9, 0}, {DAY, 1000, 1, 0}}},
     {0},
     {0},
     QUOTA_ALLOW,
     0,
     1,
     1000,
     999,
     35869,
     0,
     true},
    {"five minutes only if no other applies",
     1,
     {{{FIVE, 10, 9, 0}}, {{HOUR, 1000, 1, 0}}},
     {0},
     {0},
     QUOTA_ALLOW,
     1,
     0,
     1000,
     999,
     3469,
     0,
     true},
    {"sixty seconds are not the documented minute",
     1,
     {{{SIXTY, 10, 9, 0}, {HOUR, 9, 1, 0}}},
     {0},
     {0},
     QUOTA_ALLOW,
     0,
     1,
     9,
     8,
     3469,
     0,
     true},
    {"no other applies",
     1,
     {{{SECOND, 10, 1, 0}, {FIVE, 10, 9, 0}}},
     {0},
     {0},
     QUOTA_ALLOW,
     0,
     1,
     10,
     1,
     169,
     0,
     true},
    {"refused: that window",
     1,
     {{{MINUTE, 5, 5, 1}, {DAY, 5000, 4999, 0}}},
     {0},
     {0},
     QUOTA_REFUSE,
     0,
     0,
     5,
     0,
     49,
     49,
     true},
    {"refused by two: the one that resets last",
     1,
     {{{MINUTE, 5, 5, 1}, {DAY, 50, 50, 1}}},
     {0},
     {0},
     QUOTA_REFUSE,
     0,
     1,
     50,
     0,
     35869,
     35869,
     true},
    {"refused by a second",
     1,
     {{{SECOND, 5, 5, 1}, {DAY, 50, 0, 0}}},
     {0},
     {0},
     QUOTA_REFUSE,
     0,
     0,
     5,
     0,
     1,
     1,
     true},
    {"refused by a second and a minute",
     1,
     {{{SECOND, 5, 5, 1}, {MINUTE, 9, 9, 1}}},
     {0},
     {0},
     QUOTA_REFUSE,
     0,
     1,
     9,
     0,
     49,
     49,
     true},
    {"refused with some left",
     5,
     {{{MINUTE, 100, 97, 1}}},
     {0},
     {0},
     QUOTA_REFUSE,
     0,
     0,
     100,
     3,
     49,
     49,
     true},
    {"refused by the second quota",
     1,
     {{{DAY, 10, 10, 0}}, {{MINUTE, 5, 5, 1}}},
     {0},
     {0},
     QUOTA_REFUSE,
     1,
     0,
     5,
     0,
     49,
     49,
     true},
    {"a limit lowered below what was used",
     1,
     {{{MINUTE, 5, 90, 1}}},
     {0},
     {0},
     QUOTA_REFUSE,
     0,
     0,
     5,
     0,
     49,
     49,
     true},
    {"waiting does not help",
     11,
     {{{MINUTE, 10, 0, 1}}},
     {0},
     {0},
     QUOTA_REFUSE,
     0,
     0,
     10,
     10,
     49,
     0,
     false},
    {"waiting does not help, for one of two",
     11,
     {{{MINUTE, 10, 0, 1}, {DAY, 20, 15, 1}}},
     {0},
     {0},
     QUOTA_REFUSE,
     0,
     1,
     20,
     5,
     35869,
     0,
     false},
    {"a limit of 0 refuses everything",
     1,
     {{{MINUTE, 0, 0, 1}}},
     {0},
     {0},
     QUOTA_REFUSE,
     0,
     0,
     0,
     0,
     49,
     0,
     true},
    {"near at exactly 80 %",
     1,
     {{{DAY, 10, 1, 0}}, {{HOUR, 10, 8, 0}}},
     {0},
     {0},
     QUOTA_ALLOW,
     1,
     0,
     10,
     2,
     3469,
     0,
     true},
    {"not near below",
     1,
     {{{MINUTE, 1000, 799, 0}}},
     {0},
     {0},
     QUOTA_ALLOW,
     0,
     0,
     1000,
     201,
     49,
     0,
     false},
    {"numbers beyond 32 bits when multiplied",
     1,
     {{{MINUTE, 2147483647, 2147483646, 0}, {DAY, 2147483647, 2147483645, 0}}},
     {0},
     {0},
     QUOTA_ALLOW,
     0,
     0,
     2147483647,
     1,
     49,
     0,
     true},
    {"degraded allow",
     1,
     {{{MINUTE, 25, 1, 0}}},
     {true},
     {0},
     QUOTA_DEGRADED_ALLOW,
     0,
     0,
     25,
     24,
     49,
     0,
     false},
    {"degraded allow beside an exact one",
     1,
     {{{MINUTE, 25, 1, 0}}, {{DAY, 9, 1, 0}}},
     {true, false},
     {0},
     QUOTA_DEGRADED_ALLOW,
     1,
     0,
     9,
     8,
     35869,
     0,
     false},
    {"a local share is spent",
     1,
     {{{MINUTE, 25, 25, 1}}},
     {true},
     {0},
     QUOTA_DEGRADED_REFUSE,
     0,
     0,
     25,
     0,
     49,
     49,
     true},
    {"a local share refuses last",
     1,
     {{{DAY, 25, 25, 1}}, {{MINUTE, 9, 9, 1}}},
     {true, false},
     {0},
     QUOTA_DEGRADED_REFUSE,
     0,
     0,
     25,
     0,
     35869,
     35869,
     true},
    {"the store refuses last",
     1,
     {{{DAY, 25, 25, 1}}, {{MINUTE, 9, 9, 1}}},
     {false, true},
     {0},
     QUOTA_REFUSE,
     0,
     0,
     25,
     0,
     35869,
     35869,
     true},
    {"skipped shows nothing",
     1,
     {{{MINUTE, 25, 25, 1}}},
     {true},
     {true},
     QUOTA_DEGRADED_ALLOW,
     -1,
     0,
     0,
     0,
     0,
     0,
     false},
    {"skipped beside another",
     1,
     {{{MINUTE, 25, 25, 0}}, {{DAY, 9, 1, 0}}},
     {true},
     {true},
     QUOTA_DEGRADED_ALLOW,
     1,
     0,
     9,
     8,
     35869,
     0,
     false},
};

static unsigned fill(const struct row *row, struct quota quotas[2], struct quota_charge charges[2])
{
    unsigned count = 0;
    for (unsigned q = 0; q < 2; q++) {
        if (q == 1 && row->windows[1][0].kind.period_s == 0)
            break;
        charges[q] = (struct quota_charge){.quota = &quotas[q],
                                           .cost = row->cost,
                                           .is_degraded = row->is_degraded[q],
                                           .is_skipped = row->is_skipped[q]};
        quotas[q] = (struct quota){.limit_count = 0};
        count++;
        for (unsigned w = 0; w < 4 && row->windows[q][w].kind.period_s != 0; w++) {
            const struct window_row *window = &row->windows[q][w];
            quotas[q].limits[w] = window->kind;
            quotas[q].limits[w].limit = window->limit;
            quotas[q].limit_count++;
            charges[q].readings[w] =
                (struct quota_reading){quota_window_start(window->kind.period_s, NOW_S),
                                       window->used, window->limit, window->refused};
        }
    }
    return count;
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        struct quota quotas[2];
        struct quota_charge charges[2];
        struct quota_decision decision;
        unsigned count = fill(row, quotas, charges);
        print_message("%s\n", row->name);
        quota_decide(&decision, charges, count, NOW_US);
        assert_int_equal(decision.verdict, row->verdict);
        assert_int_equal(decision.has_binding, row->charge >= 0);
        assert_int_equal(decision.is_near, row->is_near);
        assert_int_equal(decision.retry_after_s, row->retry_after_s);
        if (row->charge < 0)
            continue;
        assert_int_equal(decision.charge, row->charge);
        assert_int_equal(decision.window, row->window);
        assert_int_equal(decision.limit, row->limit);
        assert_int_equal(decision.remaining, row->remaining);
        assert_int_equal(decision.reset_s, row->reset_s);
    }
}

static void test_nothing_asked(void **state)
{
    (void)state;
    struct quota_decision decision;
    quota_decide(&decision, NULL, 0, NOW_US);
    assert_int_equal(decision.verdict, QUOTA_NONE);
    assert_false(decision.has_binding);
}

/* Retry-After in whole seconds is never before the window's end, and never a second too long. */
static void test_rounding(void **state)
{
    (void)state;
    static const struct {
        uint64_t before_end_us;
        uint32_t reset_s;
    } ends[] = {{1, 1},       {999999, 1},    {1000000, 1},     {1000001, 2},
                {1999999, 2}, {60000000, 60}, {120000000, 120}, {0, 1}};
    struct quota quota = {.limit_count = 1, .limits = {{1, 60, 1, QUOTA_MINUTE}}};
    struct quota_charge charge = {.quota = &quota, .cost = 1, .readings = {{6000, 1, 1, true}}};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct quota_decision decision;
        quota_decide(&decision, &charge, 1, UINT64_C(6060000000) - ends[i].before_end_us);
        assert_int_equal(decision.reset_s, ends[i].reset_s);
        assert_int_equal(decision.retry_after_s, ends[i].reset_s);
    }
    /* A reading that is over, and one at the end of 32-bit time. */
    struct quota_decision decision;
    quota_decide(&decision, &charge, 1, UINT64_C(7000000000));
    assert_int_equal(decision.retry_after_s, 1);
    charge.readings[0].start_s = UINT32_MAX - 15;
    quota_decide(&decision, &charge, 1, (uint64_t)UINT32_MAX * 1000000);
    assert_int_equal(decision.retry_after_s, 45);
}

/* The share a cost is measured by is the configured limit when a local share decided. */
static void test_local_share_below_cost(void **state)
{
    (void)state;
    struct quota quota = {.limit_count = 1, .limits = {{10, 60, 1, QUOTA_MINUTE}}};
    struct quota_charge charge = {
        .quota = &quota, .cost = 5, .is_degraded = true, .readings = {{6000, 0, 2, true}}};
    struct quota_decision decision;
    quota_decide(&decision, &charge, 1, UINT64_C(6000000000));
    assert_int_equal(decision.verdict, QUOTA_DEGRADED_REFUSE);
    assert_int_equal(decision.retry_after_s, 60);
    charge.cost = 11;
    quota_decide(&decision, &charge, 1, UINT64_C(6000000000));
    assert_int_equal(decision.retry_after_s, 0);
}

static const struct quota_limit kinds[] = {MINUTE, HOUR, DAY, SECOND, FIVE, SIXTY};

/* Rule by rule: drop those that may not bind, then keep the best of what is left. */
static bool model_prefers(const struct quota_charge *charges, bool is_refused, unsigned a,
                          unsigned b)
{
    const struct quota_limit *la = &charges[a / 4].quota->limits[a % 4];
    const struct quota_limit *lb = &charges[b / 4].quota->limits[b % 4];
    const struct quota_reading *ra = &charges[a / 4].readings[a % 4];
    const struct quota_reading *rb = &charges[b / 4].readings[b % 4];
    if (is_refused) {
        uint64_t ea = (uint64_t)ra->start_s + la->period_s;
        uint64_t eb = (uint64_t)rb->start_s + lb->period_s;
        if (ea != eb)
            return ea > eb;
    } else {
        long double sa =
            ra->used >= ra->limit ? 0 : (long double)(ra->limit - ra->used) / ra->limit;
        long double sb =
            rb->used >= rb->limit ? 0 : (long double)(rb->limit - rb->used) / rb->limit;
        if (sa != sb)
            return sa < sb;
    }
    return la->period_s < lb->period_s;
}

static bool is_documented(const struct quota_limit *limit)
{
    return limit->count == 1 &&
           (limit->period_s == 60 || limit->period_s == 3600 || limit->period_s == 86400);
}

static int model_binding(const struct quota_charge *charges, unsigned count, bool *is_refused)
{
    int best = -1;
    bool has_documented = false;
    *is_refused = false;
    for (unsigned i = 0; i < count * 4; i++) {
        if (i % 4 >= charges[i / 4].quota->limit_count || charges[i / 4].is_skipped)
            continue;
        *is_refused |= charges[i / 4].readings[i % 4].refused;
        has_documented |= is_documented(&charges[i / 4].quota->limits[i % 4]);
    }
    for (unsigned i = 0; i < count * 4; i++) {
        if (i % 4 >= charges[i / 4].quota->limit_count || charges[i / 4].is_skipped)
            continue;
        if (*is_refused && !charges[i / 4].readings[i % 4].refused)
            continue;
        if (!*is_refused && has_documented && !is_documented(&charges[i / 4].quota->limits[i % 4]))
            continue;
        if (best < 0 || model_prefers(charges, *is_refused, i, (unsigned)best))
            best = (int)i;
    }
    return best;
}

static void test_random(void **state)
{
    (void)state;
    struct rng rng = {{1, 2, 3, 4}};
    for (unsigned round = 0; round < 100000; round++) {
        struct quota quotas[3] = {0};
        struct quota_charge charges[3] = {0};
        unsigned count = 1 + (unsigned)rng_below(&rng, 3);
        bool may_refuse = rng_below(&rng, 2);
        for (unsigned q = 0; q < count; q++) {
            charges[q].quota = &quotas[q];
            charges[q].cost = 1;
            charges[q].is_skipped = rng_below(&rng, 8) == 0;
            quotas[q].limit_count = (uint8_t)rng_below(&rng, 5);
            for (unsigned w = 0; w < quotas[q].limit_count; w++) {
                struct quota_limit kind = kinds[rng_below(&rng, 6)];
                kind.limit = 1 + (uint32_t)rng_below(&rng, rng_below(&rng, 2) ? 12 : 2147483647);
                quotas[q].limits[w] = kind;
                charges[q].readings[w] =
                    (struct quota_reading){quota_window_start(kind.period_s, NOW_S),
                                           (uint32_t)rng_below(&rng, (uint64_t)kind.limit + 2),
                                           kind.limit, may_refuse && rng_below(&rng, 3) == 0};
            }
        }
        bool is_refused;
        int want = model_binding(charges, count, &is_refused);
        struct quota_decision decision;
        quota_decide(&decision, charges, count, NOW_US);
        assert_int_equal(decision.has_binding, want >= 0);
        assert_int_equal(decision.verdict == QUOTA_REFUSE, is_refused);
        if (want >= 0)
            assert_int_equal(decision.charge * 4 + decision.window, want);
    }
}

/* A gate that lets pass is not shown, be it ever so tight; one that refuses speaks alone. */
static void test_gates(void **state)
{
    const struct quota gate = {.limit_count = 1,
                               .limits = {{.limit = 2, .period_s = 60, .count = 1}},
                               .is_gate = true},
                       other = {.limit_count = 1,
                                .limits = {{.limit = 9, .period_s = 3600, .count = 1}}};
    const uint32_t now_s = (uint32_t)NOW_S;
    struct quota_charge charges[] = {
        {.quota = &other, .readings = {{now_s - now_s % 3600, 3, 9, false}}},
        {.quota = &gate, .is_hidden = true, .readings = {{now_s - now_s % 60, 2, 2, false}}},
    };
    struct quota_decision decision;
    (void)state;
    quota_let_gates_speak(charges, 2);
    quota_decide(&decision, charges, 2, NOW_US);
    assert_int_equal(decision.verdict, QUOTA_ALLOW);
    assert_true(decision.has_binding && decision.charge == 0 && !decision.is_near);
    assert_false(charges[0].is_skipped);
    quota_decide(&decision, &charges[1], 1, NOW_US); /* nothing else is counted */
    assert_int_equal(decision.verdict, QUOTA_ALLOW);
    assert_false(decision.has_binding);

    charges[0].readings[0].refused = true; /* the other one alone */
    quota_let_gates_speak(charges, 2);
    quota_decide(&decision, charges, 2, NOW_US);
    assert_true(decision.verdict == QUOTA_REFUSE && decision.charge == 0);

    charges[1].readings[0].refused = true; /* both: the other one would reset last */
    quota_let_gates_speak(charges, 2);
    quota_decide(&decision, charges, 2, NOW_US);
    assert_true(decision.verdict == QUOTA_REFUSE && decision.charge == 1);
    assert_int_equal(decision.limit, 2);
    assert_true(charges[0].is_skipped && charges[0].readings[0].start_s == 0);

    charges[1].is_skipped = true; /* on_failure: allow */
    charges[0].is_skipped = false;
    quota_let_gates_speak(charges, 2);
    assert_true(charges[1].is_hidden && !charges[0].is_skipped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_nothing_asked),
        cmocka_unit_test(test_rounding), cmocka_unit_test(test_local_share_below_cost),
        cmocka_unit_test(test_random),   cmocka_unit_test(test_gates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
