/* SPDX-License-Identifier: Apache-2.0 */
/* test_main_memory.c - when a wave of connections counts as over, or a configuration as gone. */
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
    assert_false(main_memory_is_due(&memory, 999, 0));
    assert_false(main_memory_is_due(&memory, 0, 0));
}

static void test_a_wave_is_over_once(void **state)
{
    struct main_memory memory = {0};
    (void)state;
    assert_false(main_memory_is_due(&memory, 3000, 0));
    assert_false(main_memory_is_due(&memory, 751, 0));
    assert_true(main_memory_is_due(&memory, 750, 0));
    assert_false(main_memory_is_due(&memory, 750, 0));
    assert_false(main_memory_is_due(&memory, 10, 0));
    assert_false(main_memory_is_due(&memory, 4000, 0));
    assert_true(main_memory_is_due(&memory, 900, 0));
}

static void test_what_stays_large_counts_from_there(void **state)
{
    struct main_memory memory = {0};
    (void)state;
    assert_false(main_memory_is_due(&memory, 9000, 0));
    assert_true(main_memory_is_due(&memory, 2000, 0));
    assert_false(main_memory_is_due(&memory, 501, 0));
    assert_true(main_memory_is_due(&memory, 500, 0));
}

static void test_a_configuration_that_is_gone(void **state)
{
    struct main_memory memory = {0};
    (void)state;
    assert_false(main_memory_is_due(&memory, 10, 0));
    assert_true(main_memory_is_due(&memory, 10, 1));
    assert_false(main_memory_is_due(&memory, 10, 1));
    assert_true(main_memory_is_due(&memory, 10, 4));
    assert_false(main_memory_is_due(&memory, 10, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_numbers_are_no_wave),
        cmocka_unit_test(test_a_wave_is_over_once),
        cmocka_unit_test(test_what_stays_large_counts_from_there),
        cmocka_unit_test(test_a_configuration_that_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
