/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_rng.c - the generator against its published sequence, bounds, and the clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/base_clock.h"
#include "base/base_rng.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void test_sequence(void **state)
{
    (void)state;
    static const uint64_t want[] = {
        11520,
        0,
        1509978240,
        1215971899390074240,
        1216172134540287360,
        607988272756665600,
        16172922978634559625u,
        8476171486693032832,
        10595114339597558777u,
        2904607092377533576,
    };
    struct rng rng = {{1, 2, 3, 4}};
    for (size_t i = 0; i < COUNT(want); i++)
        assert_true(rng_u64(&rng) == want[i]);
}

static void test_below(void **state)
{
    (void)state;
    struct rng rng = {{1, 2, 3, 4}};
    unsigned seen[7] = {0};
    for (unsigned i = 0; i < 7000; i++)
        seen[rng_below(&rng, 7)]++;
    for (unsigned i = 0; i < 7; i++)
        assert_in_range(seen[i], 800, 1200);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(rng_below(&rng, 1), 0);
        assert_true(rng_below(&rng, UINT64_MAX) < UINT64_MAX);
        assert_true(rng_below(&rng, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
    }
}

static void test_kernel(void **state)
{
    (void)state;
    unsigned char secret[1000] = {0}, other[1000] = {0}, none[1000] = {0};
    rng_secret(secret, sizeof(secret));
    rng_secret(other, sizeof(other));
    assert_memory_not_equal(secret, other, sizeof(secret));
    assert_memory_not_equal(secret + 900, none, 100);
    rng_secret(none, 0);
    struct rng a, b;
    rng_seed(&a);
    rng_seed(&b);
    assert_memory_not_equal(&a, &b, sizeof(a));
}

static void test_clocks(void **state)
{
    (void)state;
    uint64_t mono_us = clock_mono_us();
    assert_true(clock_mono_us() >= mono_us);
    assert_true(clock_wall_us() > UINT64_C(1600000000) * 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequence),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_kernel),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
