/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_reserve - memory that is zeroed, is there where it is touched, and is refused when it cannot be. */
#include "base/base_reserve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_is_zeroed_and_used(void **state)
{
    const size_t bytes = (size_t)64 << 20;
    (void)state;
    char *memory = reserve_new(bytes);
    assert_non_null(memory);
    for (size_t at = 0; at < bytes; at += bytes / 16) {
        assert_int_equal(memory[at], 0);
        memory[at] = 1;
    }
    assert_int_equal(memory[bytes - 1], 0);
    reserve_free(memory, bytes);
}

static void test_refuses_what_cannot_be(void **state)
{
    (void)state;
    assert_null(reserve_new(SIZE_MAX / 2));
    assert_null(reserve_new(0));
    reserve_free(NULL, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_zeroed_and_used),
        cmocka_unit_test(test_refuses_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
