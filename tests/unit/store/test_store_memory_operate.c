/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_memory_operate - an operator's orders about subjects of the embedded store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store_memory.h"
#include "store/store_testing.h"

static const struct store_order SHOW = {STORE_ORDER_SHOW, 0, 0};
static const struct store_order RESET = {STORE_ORDER_RESET, 0, 0};

static struct store_memory *new_store(uint32_t subjects)
{
    struct store_memory *store = store_memory_new(subjects);
    assert_non_null(store);
    return store;
}

static enum err operate(struct store_memory *store, const struct quota *quota, uint64_t subject,
                        struct store_order order, uint64_t now_s, struct store_subject *before)
{
    uint8_t key[16];
    testing_key(key, quota->id[0], subject);
    return store_memory_operate(store, key, &order, US(now_s), before);
}

/* How many of so many requests pass. */
static unsigned admitted(struct store_memory *store, const struct quota *quota, uint64_t subject,
                         uint64_t now_s, unsigned tries)
{
    unsigned passed = 0;
    for (unsigned i = 0; i < tries; i++) {
        struct quota_charge charge;
        passed += testing_ask(store, quota, subject, now_s, &charge) == STORE_CHARGED;
    }
    return passed;
}

static void test_unknown(void **state)
{
    (void)state;
    struct store_memory *store = new_store(100);
    struct quota quota = {.id = {1}, .limit_count = 1, .limits = {MINUTE(3)}};
    struct store_subject before;
    assert_int_equal(operate(store, &quota, 1, SHOW, T0_S, &before), ERR_NOTFOUND);
    assert_int_equal(operate(store, &quota, 1, RESET, T0_S, &before), ERR_NOTFOUND);
    assert_int_equal(
        operate(store, &quota, 1, (struct store_order){STORE_ORDER_GRANT, 5, 60}, T0_S, &before),
        ERR_NOTFOUND);
    uint64_t max;
    assert_int_equal(store_memory_subjects(store, &max), 0);
    store_memory_free(store);
}

static void test_reset(void **state)
{
    (void)state;
    static const enum quota_algorithm algorithms[] = {QUOTA_FIXED, QUOTA_SLIDING, QUOTA_BUCKET};
    for (unsigned i = 0; i < 3; i++) {
        struct store_memory *store = new_store(100);
        struct quota quota = {
            .id = {1}, .limit_count = 2, .limits = {HOUR(3), DAY(50)}, .algorithm = algorithms[i]};
        struct store_subject before;
        assert_int_equal(admitted(store, &quota, 1, T0_S + 10, 5), 3);
        assert_int_equal(admitted(store, &quota, 2, T0_S + 10, 2), 2);
        assert_int_equal(operate(store, &quota, 1, RESET, T0_S + 10, &before), ERR_OK);
        struct quota_charge charge = {.quota = &quota};
        store_subject_read(&before, &charge);
        assert_int_equal(quota_window_standing(&charge, 0).remaining, 0);
        assert_int_equal(operate(store, &quota, 1, SHOW, T0_S + 10, &before), ERR_OK);
        assert_int_equal(before.generation, 1);
        store_subject_read(&before, &charge);
        assert_int_equal(quota_window_standing(&charge, 0).remaining, 3);
        assert_int_equal(quota_window_standing(&charge, 1).remaining, 50);
        assert_int_equal(admitted(store, &quota, 1, T0_S + 10, 5), 3);
        assert_int_equal(admitted(store, &quota, 2, T0_S + 10, 5), 1); /* untouched */
        store_memory_free(store);
    }
}

static void test_what_is_given_back_after_a_reset_is_passed_over(void **state)
{
    (void)state;
    struct store_memory *store = new_store(100);
    struct quota quota = {.id = {1}, .limit_count = 1, .limits = {HOUR(3)}};
    struct store_subject before;
    struct quota_charge old, fresh;
    assert_int_equal(testing_ask(store, &quota, 1, T0_S, &old), STORE_CHARGED);
    assert_int_equal(operate(store, &quota, 1, RESET, T0_S, &before), ERR_OK);
    assert_int_equal(testing_ask(store, &quota, 1, T0_S, &fresh), STORE_CHARGED);
    assert_int_equal(store_memory_correct(store, &old, -1, US(T0_S)), 0);
    assert_int_equal(admitted(store, &quota, 1, T0_S, 5), 2);
    assert_int_equal(store_memory_correct(store, &fresh, -1, US(T0_S)), -1);
    assert_int_equal(admitted(store, &quota, 1, T0_S, 5), 1);
    assert_int_equal(store_memory_correct(store, &old, 1, US(T0_S)),
                     1); /* a debt is one all the same */
    store_memory_free(store);
}

static void test_grant(void **state)
{
    (void)state;
    static const enum quota_algorithm algorithms[] = {QUOTA_FIXED, QUOTA_SLIDING, QUOTA_BUCKET};
    for (unsigned i = 0; i < 3; i++) {
        struct store_memory *store = new_store(100);
        struct quota quota = {
            .id = {1}, .limit_count = 1, .limits = {DAY(3)}, .algorithm = algorithms[i]};
        const struct store_order grant = {STORE_ORDER_GRANT, 2, 600};
        struct store_subject before;
        assert_int_equal(admitted(store, &quota, 1, T0_S, 5), 3);
        assert_int_equal(operate(store, &quota, 1, grant, T0_S, &before), ERR_OK);
        assert_int_equal(before.extra, 0);
        struct quota_charge charge;
        assert_int_equal(testing_ask(store, &quota, 1, T0_S, &charge), STORE_CHARGED);
        assert_int_equal(quota_window_standing(&charge, 0).remaining, 1);
        assert_int_equal(admitted(store, &quota, 1, T0_S, 5), 1);
        assert_int_equal(admitted(store, &quota, 2, T0_S, 9), 3);
        assert_int_equal(operate(store, &quota, 1, SHOW, T0_S + 599, &before), ERR_OK);
        assert_int_equal(store_subject_extra(&before), 2);
        assert_int_equal(before.expires_s, T0_S + 600);
        /* With a reset it stays, then it is over. */
        assert_int_equal(operate(store, &quota, 1, RESET, T0_S + 599, &before), ERR_OK);
        assert_int_equal(admitted(store, &quota, 1, T0_S + 599, 9), 5);
        assert_int_equal(operate(store, &quota, 1, RESET, T0_S + 600, &before), ERR_OK);
        assert_int_equal(before.extra, 0);
        assert_int_equal(admitted(store, &quota, 1, T0_S + 600, 9), 3);
        store_memory_free(store);
    }
}

/* A cell whose windows are over goes to another key: the grant is found again by the next one. */
static void test_a_grant_outlives_its_cell(void **state)
{
    (void)state;
    struct store_memory *store = new_store(20);
    struct quota quota = {.id = {1}, .limit_count = 1, .limits = {MINUTE(1)}};
    struct store_subject before;
    assert_int_equal(admitted(store, &quota, 1, T0_S, 1), 1);
    assert_int_equal(
        operate(store, &quota, 1, (struct store_order){STORE_ORDER_GRANT, 4, 7200}, T0_S, &before),
        ERR_OK);
    for (unsigned i = 2; i < 400; i++)
        (void)admitted(store, &quota, i, T0_S + 3600, 1);
    assert_int_equal(operate(store, &quota, 1, SHOW, T0_S + 3600, &before), ERR_NOTFOUND);
    assert_int_equal(admitted(store, &quota, 1, T0_S + 3720, 9), 5);
    store_memory_free(store);
}

static void test_too_many_grants(void **state)
{
    (void)state;
    struct store_memory *store = new_store(30000);
    struct quota quota = {.id = {1}, .limit_count = 1, .limits = {DAY(1)}};
    const struct store_order grant = {STORE_ORDER_GRANT, 1, 60};
    struct store_subject before;
    unsigned full = 0, granted = 0;
    for (unsigned i = 0; i < 25000; i++) {
        (void)admitted(store, &quota, i, T0_S, 1);
        enum err err = operate(store, &quota, i, grant, T0_S, &before);
        assert_true(err == ERR_OK || err == ERR_LIMIT);
        full += err == ERR_LIMIT;
        granted += err == ERR_OK;
    }
    assert_true(granted >= STORE_MEMORY_GRANTS && full > 0);
    /* Those that are over make room. */
    assert_int_equal(operate(store, &quota, 24999, grant, T0_S + 61, &before), ERR_OK);
    store_memory_free(store);
}

static void test_grants_are_saved(void **state)
{
    (void)state;
    char path[] = "/tmp/sluice-test-grants-XXXXXX", why[256];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct store_memory *store = new_store(100);
    struct quota quota = {.id = {1}, .limit_count = 1, .limits = {DAY(3)}};
    struct store_subject before;
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(admitted(store, &quota, i, T0_S, 5), 3);
        const struct store_order grant = {STORE_ORDER_GRANT, i, 1000 * i};
        assert_int_equal(operate(store, &quota, i, grant, T0_S, &before), ERR_OK);
    }
    assert_int_equal(store_memory_save(store, path, US(T0_S + 1500), why), ERR_OK);
    store_memory_free(store);
    store = new_store(100);
    assert_int_equal(store_memory_load(store, path, US(T0_S + 1600), why), ERR_OK);
    assert_int_equal(admitted(store, &quota, 1, T0_S + 1600, 9), 0); /* over */
    assert_int_equal(admitted(store, &quota, 2, T0_S + 1600, 9), 2);
    assert_int_equal(admitted(store, &quota, 3, T0_S + 1600, 9), 3);
    store_memory_free(store);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_what_is_given_back_after_a_reset_is_passed_over),
        cmocka_unit_test(test_grant),
        cmocka_unit_test(test_a_grant_outlives_its_cell),
        cmocka_unit_test(test_too_many_grants),
        cmocka_unit_test(test_grants_are_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
