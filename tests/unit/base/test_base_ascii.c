/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_ascii - every byte, beside sets that are written out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base_ascii.h"

static const char LARGE[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", SMALL[] = "abcdefghijklmnopqrstuvwxyz",
                  DIGITS[] = "0123456789";

static bool is_in(const char *set, size_t len, char byte)
{
    return memchr(set, byte, len) != NULL;
}

static void test_every_byte(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        const char byte = (char)i;
        const bool is_large = is_in(LARGE, 26, byte), is_small = is_in(SMALL, 26, byte),
                   is_digit = is_in(DIGITS, 10, byte);
        const char *at = memchr(LARGE, byte, 26);
        if (ascii_is_upper(byte) != is_large || ascii_is_letter(byte) != (is_large || is_small) ||
            ascii_is_digit(byte) != is_digit ||
            ascii_is_word(byte) != (is_large || is_small || is_digit) ||
            ascii_lower(byte) != (at == NULL ? byte : SMALL[at - LARGE]))
            fail_msg("byte %d", i);
    }
}

static void test_copy(void **state)
{
    char out[4] = "....";
    (void)state;
    ascii_copy_lower(out, "A\x80Z", 3);
    assert_memory_equal(out, "a\x80z.", 4);
    ascii_copy_lower(out, NULL, 0);
    assert_memory_equal(out, "a\x80z.", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
