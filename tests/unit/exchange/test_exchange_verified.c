/* SPDX-License-Identifier: Apache-2.0 */
/* test_exchange_verified - pairs are remembered for their time and no longer, those that were accepted lately stay when
 * there is no room, and threads that write side by side never make one that nobody added. */
#include "exchange/exchange_verified.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#define NOW 1000000U

static struct hash128 pair_of(const struct exchange_verified *verified, uint64_t number)
{
    return exchange_verified_pair(verified, &number, sizeof(number));
}

static void test_time(void **state)
{
    struct exchange_verified *verified = exchange_verified_new(64);
    struct hash128 pair = pair_of(verified, 1);
    (void)state;
    assert_non_null(verified);
    assert_false(exchange_verified_has(verified, pair, NOW));
    exchange_verified_add(verified, pair, NOW);
    assert_true(exchange_verified_has(verified, pair, NOW));
    assert_true(exchange_verified_has(verified, pair, NOW + EXCHANGE_VERIFIED_S - 1));
    assert_false(exchange_verified_has(verified, pair, NOW + EXCHANGE_VERIFIED_S));
    exchange_verified_add(verified, pair, NOW + EXCHANGE_VERIFIED_S / 4); /* too early to write */
    assert_false(exchange_verified_has(verified, pair, NOW + EXCHANGE_VERIFIED_S));
    exchange_verified_add(verified, pair, NOW + EXCHANGE_VERIFIED_S / 2);
    assert_true(exchange_verified_has(verified, pair, NOW + EXCHANGE_VERIFIED_S));
    assert_false(exchange_verified_has(verified, pair_of(verified, 2), NOW));
    exchange_verified_remove(verified, pair_of(verified, 2));
    assert_true(exchange_verified_has(verified, pair, NOW));
    exchange_verified_remove(verified, pair);
    assert_false(exchange_verified_has(verified, pair, NOW));
    exchange_verified_add(verified, pair, NOW);
    assert_true(exchange_verified_has(verified, pair, NOW));
    exchange_verified_free(verified);
    exchange_verified_free(NULL);
}

/* Half a pair is no pair. */
static void test_both_halves_count(void **state)
{
    struct exchange_verified *verified = exchange_verified_new(4);
    struct hash128 pair = {5, 7};
    (void)state;
    exchange_verified_add(verified, pair, NOW);
    assert_false(exchange_verified_has(verified, (struct hash128){5, 8}, NOW));
    assert_false(exchange_verified_has(verified, (struct hash128){9, 7}, NOW));
    assert_true(exchange_verified_has(verified, pair, NOW));
    exchange_verified_free(verified);
}

/* One set of four: the one that was accepted longest ago goes, one whose time is over before it. */
static void test_full(void **state)
{
    struct exchange_verified *verified = exchange_verified_new(4);
    (void)state;
    for (uint64_t i = 0; i < 4; i++)
        exchange_verified_add(verified, pair_of(verified, i), NOW + (uint32_t)i);
    exchange_verified_add(verified, pair_of(verified, 0), NOW + EXCHANGE_VERIFIED_S / 2);
    exchange_verified_add(verified, pair_of(verified, 4), NOW + EXCHANGE_VERIFIED_S / 2);
    for (uint64_t i = 0; i <= 4; i++)
        assert_int_equal(
            exchange_verified_has(verified, pair_of(verified, i), NOW + EXCHANGE_VERIFIED_S / 2),
            i != 1);
    exchange_verified_remove(verified, pair_of(verified, 3));
    exchange_verified_add(verified, pair_of(verified, 5), NOW + EXCHANGE_VERIFIED_S / 2);
    for (uint64_t i = 0; i <= 5; i++)
        assert_int_equal(
            exchange_verified_has(verified, pair_of(verified, i), NOW + EXCHANGE_VERIFIED_S / 2),
            i != 1 && i != 3);
    exchange_verified_free(verified);
}

static void test_keys_differ(void **state)
{
    struct exchange_verified *one = exchange_verified_new(4), *other = exchange_verified_new(4);
    struct hash128 a = pair_of(one, 1), b = pair_of(other, 1);
    (void)state;
    assert_true(a.lo != b.lo && a.hi != b.hi);
    exchange_verified_free(one);
    exchange_verified_free(other);
}

/* Threads that add and remove the even pairs in a table that is much too small. */
static void *churn(void *arg)
{
    struct exchange_verified *verified = arg;
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t number = i * UINT64_C(2654435761) % 512;
        if (i % 3 == 0)
            exchange_verified_remove(verified, pair_of(verified, number * 2));
        else
            exchange_verified_add(verified, pair_of(verified, number * 2), NOW + i % 7);
        if (exchange_verified_has(verified, pair_of(verified, number * 2 + 1), NOW))
            return verified;
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct exchange_verified *verified = exchange_verified_new(16);
    pthread_t threads[4];
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, verified), 0);
    for (unsigned i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    exchange_verified_free(verified);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time),    cmocka_unit_test(test_both_halves_count),
        cmocka_unit_test(test_full),    cmocka_unit_test(test_keys_differ),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
