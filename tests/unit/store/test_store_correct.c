/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_correct - charges of the embedded store that turn out to be more or less, alone, from many
 * threads, in overflow, and after a child was killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_rng.h"
#include "store/store_testing.h"

#define THREADS 4
#define ROUNDS  20000

static const struct quota TEN = {.id = {1}, .limit_count = 2, .limits = {MINUTE(10), HOUR(12)}};
static const struct quota MANY[] = {
    {.id = {2}, .limit_count = 1, .limits = {HOUR(2000000)}},
    {.id = {3},
     .limit_count = 2,
     .algorithm = QUOTA_SLIDING,
     .limits = {HOUR(2000000), DAY(2000000)}},
    {.id = {4}, .limit_count = 1, .algorithm = QUOTA_BUCKET, .limits = {DAY(2000000)}},
};

static struct store_memory *store;

static int begin(void **state)
{
    (void)state;
    store = store_memory_new(1000);
    return store == NULL ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    store_memory_free(store);
    return 0;
}

static uint32_t used_of(const struct quota *quota, uint64_t subject, unsigned window)
{
    struct quota_charge charge = testing_charge(quota, subject, 0);
    store_memory_charge(store, &charge, 1, US(T0_S + 1), NULL);
    return charge.readings[window].used;
}

static void test_never_more_than_was_charged(void **state)
{
    (void)state;
    struct quota_charge charge = testing_charge(&TEN, 1, 4), other = testing_charge(&TEN, 1, 3);
    assert_int_equal(store_memory_charge(store, &charge, 1, US(T0_S), NULL), STORE_CHARGED);
    assert_int_equal(store_memory_charge(store, &other, 1, US(T0_S), NULL), STORE_CHARGED);
    assert_int_equal(store_memory_correct(store, &charge, -100, US(T0_S + 1)), -4);
    assert_int_equal(used_of(&TEN, 1, 0), 3);
    assert_int_equal(used_of(&TEN, 1, 1), 3);
    assert_int_equal(store_memory_correct(store, &charge, 20, US(T0_S + 1)), 20); /* a debt */
    assert_int_equal(used_of(&TEN, 1, 1), 23);
}

/* What stood in a charge's memory before is no part of it: one of a subject that has its cell is decided in one piece. */
static void test_a_known_subject_is_given_back_to(void **state)
{
    static const struct quota one = {.id = {5}, .limit_count = 1, .limits = {HOUR(10)}};
    static struct store_memory_hints hints;
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct quota_charge charge = testing_charge(&one, 1, 2);
        charge.generation = 7;
        charge.extra = 9;
        if (i == 0)
            assert_int_equal(store_memory_charge(store, &charge, 1, US(T0_S), NULL), STORE_CHARGED);
        else
            assert_true(store_memory_charge_known(store, &hints, &charge, US(T0_S)));
        assert_true(charge.is_charged);
        assert_int_equal(store_memory_correct(store, &charge, -2, US(T0_S + 1)), -2);
        assert_int_equal(used_of(&one, 1, 0), 0);
    }
}

/* The minute is over, the hour is not: each window for itself. */
static void test_only_windows_that_go_on(void **state)
{
    (void)state;
    struct quota_charge charge = testing_charge(&TEN, 2, 4), next = testing_charge(&TEN, 2, 1);
    assert_int_equal(store_memory_charge(store, &charge, 1, US(T0_S + 59), NULL), STORE_CHARGED);
    assert_int_equal(store_memory_charge(store, &next, 1, US(T0_S + 60), NULL), STORE_CHARGED);
    assert_int_equal(store_memory_correct(store, &charge, -4, US(T0_S + 61)), -4);
    assert_int_equal(store_memory_charge(store, &next, 1, US(T0_S + 61), NULL), STORE_CHARGED);
    assert_int_equal(next.readings[0].used, 2);
    assert_int_equal(next.readings[1].used, 2);
    assert_int_equal(store_memory_correct(store, &charge, -4, US(T0_S + 3600)), 0);
}

/* What an algorithm's charge gives back behind a reload to another leaves that one's windows as they are. */
static void test_another_algorithm_keeps_its_words(void **state)
{
    static const struct {
        struct quota old, new;
        uint32_t rest; /* of the new one's last limit */
    } rows[] = {
        {{.id = {6}, .limit_count = 1, .algorithm = QUOTA_BUCKET, .limits = {MINUTE(100)}},
         {.id = {6}, .limit_count = 1, .limits = {MINUTE(100)}},
         100},
        {{.id = {7},
          .limit_count = 2,
          .algorithm = QUOTA_SLIDING,
          .limits = {MINUTE(100), HOUR(100)}},
         {.id = {7}, .limit_count = 3, .limits = {MINUTE(100), HOUR(100), DAY(5)}},
         5},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned last = rows[i].new.limit_count - 1U;
        struct quota_charge old = testing_charge(&rows[i].old, 1, 1);
        struct quota_charge rest = testing_charge(&rows[i].new, 1, rows[i].rest);
        struct quota_charge more = testing_charge(&rows[i].new, 1, 1);
        assert_int_equal(store_memory_charge(store, &old, 1, US(T0_S), NULL), STORE_CHARGED);
        assert_int_equal(store_memory_charge(store, &rest, 1, US(T0_S + 1), NULL), STORE_CHARGED);
        (void)store_memory_correct(store, &old, -1, US(T0_S + 30));
        assert_int_equal(store_memory_charge(store, &more, 1, US(T0_S + 50), NULL), STORE_REFUSED);
        assert_int_equal(more.readings[last].used, rows[i].rest);
    }
}

static void *charge_and_give_back(void *arg)
{
    struct rng rng = {{(uint64_t)(uintptr_t)arg + 1, 2, 3, 4}};
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct quota_charge charges[3];
        for (unsigned q = 0; q < 3; q++)
            charges[q] = testing_charge(&MANY[q], 5, 1 + (uint32_t)rng_below(&rng, 9));
        if (store_memory_charge(store, charges, 3, US(T0_S), NULL) != STORE_CHARGED)
            return (void *)1;
        for (unsigned q = 0; q < 3; q++) {
            int32_t kept = (int32_t)rng_below(&rng, 2); /* one of each stays, or is added */
            int32_t delta = kept - (int32_t)charges[q].cost + (i % 2 == 0);
            (void)store_memory_correct(store, &charges[q], delta, US(T0_S));
            delta = 1 - kept - (i % 2 == 0);
            charges[q].cost = 2;
            (void)store_memory_correct(store, &charges[q], delta, US(T0_S));
        }
    }
    return NULL;
}

static void test_threads_lose_nothing(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, charge_and_give_back, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *fault;
        pthread_join(threads[i], &fault);
        assert_null(fault);
    }
    for (unsigned q = 0; q < 3; q++) {
        struct quota_charge charge = testing_charge(&MANY[q], 5, 0);
        store_memory_charge(store, &charge, 1, US(T0_S), NULL);
        for (unsigned w = 0; w < MANY[q].limit_count; w++)
            assert_int_equal(charge.readings[w].used, THREADS * ROUNDS);
    }
}

/* A newcomer to a full table: what went to overflow comes back from there. */
static void test_overflow(void **state)
{
    (void)state;
    struct store_memory *full = store_memory_new(16);
    static const struct quota hour = {.id = {9}, .limit_count = 1, .limits = {HOUR(1000)}};
    unsigned overflowed = 0;
    struct quota_charge charge;
    assert_non_null(full);
    for (uint64_t subject = 0; overflowed == 0 && subject < 10000; subject++) {
        charge = testing_charge(&hour, subject, 5);
        assert_int_equal(store_memory_charge(full, &charge, 1, US(T0_S), &overflowed),
                         STORE_CHARGED);
    }
    assert_int_equal(overflowed, 1);
    assert_int_equal(store_memory_correct(full, &charge, -5, US(T0_S + 1)), -5);
    charge.cost = 1;
    assert_int_equal(store_memory_charge(full, &charge, 1, US(T0_S + 1), &overflowed),
                     STORE_CHARGED);
    assert_int_equal(charge.readings[0].used, 1);
    store_memory_free(full);
}

/* Killed again and again between any two stores: never less used than was charged and known to be. */
static void test_killed_children(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 30; round++) {
        uint32_t least[3];
        for (unsigned q = 0; q < 3; q++)
            least[q] = used_of(&MANY[q], 6, 0);
        pid_t child = fork();
        if (child == 0) {
            store_memory_recover(store);
            for (;;) {
                struct quota_charge charges[3];
                for (unsigned q = 0; q < 3; q++)
                    charges[q] = testing_charge(&MANY[q], 6, 1);
                if (store_memory_charge(store, charges, 3, US(T0_S + 1), NULL) != STORE_CHARGED)
                    _exit(1);
            }
        }
        assert_true(child > 0);
        usleep(1000 + round * 100);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        store_memory_recover(store);
        for (unsigned q = 0; q < 3; q++)
            assert_true(used_of(&MANY[q], 6, 0) >= least[q]);
        /* All or nothing, but for the charge that was cut; cells are written in the order of their addresses. */
        int64_t apart = (int64_t)used_of(&MANY[0], 6, 0) - used_of(&MANY[1], 6, 1);
        assert_true(apart <= (int64_t)round + 1 && -apart <= (int64_t)round + 1);
    }
    assert_true(used_of(&MANY[1], 6, 0) > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_never_more_than_was_charged, begin, end),
        cmocka_unit_test_setup_teardown(test_a_known_subject_is_given_back_to, begin, end),
        cmocka_unit_test_setup_teardown(test_only_windows_that_go_on, begin, end),
        cmocka_unit_test_setup_teardown(test_another_algorithm_keeps_its_words, begin, end),
        cmocka_unit_test_setup_teardown(test_threads_lose_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_overflow, begin, end),
        cmocka_unit_test_setup_teardown(test_killed_children, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
