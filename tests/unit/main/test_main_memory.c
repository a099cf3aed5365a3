/* SPDX-License-Identifier: Apache-2.0 */
/* test_main_memory.c - when a wave of connections counts as over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "main/main_memory.h"

static void test_small_numbers_are_no_wave(void **state)
{
    struct main_memory memory = {0};
    (void)state;
    assert_false(main_memory_is_due(&memory, 999));
    assert_false(main_memory_is_due(&memory, 0));
}

static void test_a_wave_is_over_once(void **state)
{
    struct main_memory memory = {0};
    (void)state;
    assert_false(main_memory_is_due(&memory, 3000));
    assert_false(main_memory_is_due(&memory, 751));
    assert_true(main_memory_is_due(&memory, 750));
    assert_false(main_memory_is_due(&memory, 750));
    assert_false(main_memory_is_due(&memory, 10));
    assert_false(main_memory_is_due(&memory, 4000));
    assert_true(main_memory_is_due(&memory, 900));
}

static void test_what_stays_large_counts_from_there(void **state)
{
    struct main_memory memory = {0};
    (void)state;
    assert_false(main_memory_is_due(&memory, 9000));
    assert_true(main_memory_is_due(&memory, 2000));
    assert_false(main_memory_is_due(&memory, 501));
    assert_true(main_memory_is_due(&memory, 500));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_numbers_are_no_wave),
        cmocka_unit_test(test_a_wave_is_over_once),
        cmocka_unit_test(test_what_stays_large_counts_from_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
