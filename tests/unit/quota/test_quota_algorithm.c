/* SPDX-License-Identifier: Apache-2.0 */
/* test_quota_algorithm.c - the sums of sliding and token_bucket at their edges; the rest is compared with a model
 * (tests/property). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "quota/quota_algorithm.h"

#define T0 UINT64_C(1795305600) /* every window begins */
#define US UINT64_C(1000000)

static struct quota made(enum quota_algorithm algorithm, uint32_t limit, uint32_t period_s,
                         uint32_t burst)
{
    return (struct quota){.algorithm = (uint8_t)algorithm,
                          .burst = burst,
                          .limit_count = 1,
                          .limits = {{limit, period_s, period_s, QUOTA_SECOND}}};
}

static void test_codes(void **state)
{
    (void)state;
    struct quota quota = made(QUOTA_SLIDING, 1, 366 * 86400, 0);
    assert_int_equal(quota_place_count(&quota), 2);
    assert_int_equal(quota_place_code(&quota, 0), 366 * 86400); /* as every calendar count */
    uint32_t code = quota_place_code(&quota, 1);
    assert_int_equal(quota_code_period(code), 366 * 86400);
    assert_int_equal(quota_code_kind(code), QUOTA_KIND_BEFORE);
    quota.algorithm = QUOTA_BUCKET;
    assert_int_equal(quota_place_count(&quota), 1);
    assert_int_equal(quota_code_kind(quota_place_code(&quota, 0)), QUOTA_KIND_BUCKET);
}

/* The largest numbers that a file can name. */
static void test_largest(void **state)
{
    (void)state;
    struct quota quota = made(QUOTA_SLIDING, INT32_MAX, 366 * 86400, 0);
    struct quota_terms terms = quota_terms_of(&quota, 0, 0, 1);
    struct quota_state sliding = {366 * 86400 * 57U, 0, INT32_MAX};
    uint64_t begin_us = sliding.at_s * US;
    assert_false(quota_state_has_room(&terms, &sliding, begin_us, 1));
    assert_int_equal(quota_state_used(&terms, &sliding, begin_us), INT32_MAX);
    assert_int_equal(quota_state_used(&terms, &sliding, begin_us + 183 * 86400 * US),
                     (INT32_MAX + UINT64_C(1)) / 2);
    assert_int_equal(quota_state_used(&terms, &sliding, begin_us + 366 * 86400 * US - 1000), 1);

    quota = made(QUOTA_BUCKET, 1, 10 * 86400, 0);
    terms = quota_terms_of(&quota, 0, 0, 1);
    struct quota_state bucket = {0};
    quota_state_take(&terms, &bucket, T0 * US, INT32_MAX); /* a debt: twice the bucket at most */
    assert_int_equal(bucket.at_s, T0 + 20 * 86400);
    assert_false(quota_state_has_room(&terms, &bucket, (T0 + 20 * 86400) * US - 1, 1));
}

/* A rate that no unit divides never gives more than it says, and hardly less. */
static void test_rates(void **state)
{
    static const uint32_t limits[] = {1, 3, 7, 60, 999, 700000, 999999};
    (void)state;
    for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct quota quota = made(QUOTA_BUCKET, limits[i], 1, 0);
        struct quota_terms terms = quota_terms_of(&quota, 0, 0, 1);
        uint64_t exact = QUOTA_UNITS_PER_S / limits[i];
        assert_true(terms.interval * limits[i] >= QUOTA_UNITS_PER_S);
        assert_true(terms.interval - exact <= 1);
        assert_true((terms.interval - exact) * 3000 <= exact); /* 0.03 % */
        /* all at once, and not one more */
        struct quota_state bucket = {0};
        quota_state_take(&terms, &bucket, T0 * US, limits[i] - 1);
        assert_true(quota_state_has_room(&terms, &bucket, T0 * US, 1));
        quota_state_take(&terms, &bucket, T0 * US, 1);
        assert_false(quota_state_has_room(&terms, &bucket, T0 * US, 1));
    }
}

/* Old windows pass, the one before counts, a clock far ahead gives nothing. */
static void test_slides(void **state)
{
    static const struct {
        int64_t at_s; /* of the state, from T0 */
        uint32_t count, before;
        struct quota_state wanted; /* at T0; at_s from T0 */
    } rows[] = {
        {0, 5, 7, {0, 5, 7}},   {-60, 5, 7, {0, 0, 5}}, {-120, 5, 7, {0, 0, 0}},
        {60, 5, 7, {60, 5, 7}}, {120, 5, 7, {0, 5, 7}}, {6000, 5, 7, {0, 5, 7}},
    };
    (void)state;
    struct quota quota = made(QUOTA_SLIDING, 100, 60, 0);
    struct quota_terms terms = quota_terms_of(&quota, 0, 0, 1);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct quota_state found = {(uint32_t)((int64_t)T0 + rows[i].at_s), rows[i].count,
                                    rows[i].before};
        quota_state_settle(&terms, &found, T0 * US);
        assert_int_equal(found.at_s, T0 + rows[i].wanted.at_s);
        assert_int_equal(found.count, rows[i].wanted.count);
        assert_int_equal(found.before, rows[i].wanted.before);
    }
}

/* What would have been filled again by itself is not given back once more. */
static void test_bucket_gives_back_what_is_still_drained(void **state)
{
    (void)state;
    struct quota quota = made(QUOTA_BUCKET, 10, 10, 0);
    struct quota_terms terms = quota_terms_of(&quota, 0, 0, 1);
    struct quota_state bucket = {0};
    quota_state_take(&terms, &bucket, T0 * US, 10);
    uint64_t mark = (uint64_t)bucket.at_s << 32 | bucket.count; /* T0 + 10 */
    quota_state_take(&terms, &bucket, (T0 + 15) * US, 10);      /* full again at T0 + 25 */
    quota_state_give_back(&terms, &bucket, (T0 + 20) * US, 10, mark);
    assert_int_equal(bucket.at_s, T0 + 25);
    quota_state_give_back(&terms, &bucket, (T0 + 20) * US, 10, (uint64_t)(T0 + 25) << 32);
    assert_int_equal(bucket.at_s, 0); /* five, of ten: it is full */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_slides),
        cmocka_unit_test(test_bucket_gives_back_what_is_still_drained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
