/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_nh.c - the sums against NH's definition, computed word by word, and that every byte and the place of
 * every byte counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdbool.h>

#include "base/base_nh.h"
#include "base/base_rng.h"

#define TEXT_MAX 100
#define PAIRS    (1 + TEXT_MAX / NH_BLOCK + 1)

static uint64_t key[NH_KEY_WORDS(PAIRS)];

static struct nh sum_of(const char *text, size_t len)
{
    struct nh nh = {key, 0, 0};
    nh_pair(&nh, len, 0);
    nh_bytes(&nh, text, len);
    return nh;
}

static bool is_same(const struct nh *a, const struct nh *b)
{
    return a->first == b->first && a->second == b->second;
}

static void test_definition(void **state)
{
    (void)state;
    const uint64_t words[] = {UINT64_MAX, 1, 0, UINT64_MAX, 0x0123456789abcdef, 42};
    unsigned __int128 want[2] = {0, 0};
    struct nh nh = {key, 0, 0};
    for (unsigned i = 0; i < 6; i += 2) {
        for (unsigned pass = 0; pass < 2; pass++) {
            uint64_t a = words[i] + key[i + 2 * pass], b = words[i + 1] + key[i + 1 + 2 * pass];
            want[pass] += (unsigned __int128)a * b;
        }
        nh_pair(&nh, words[i], words[i + 1]);
    }
    assert_true(nh.first == want[0] && nh.second == want[1]);
    assert_ptr_equal(nh.key, key + 6);
}

static void test_pairs(void **state)
{
    (void)state;
    char text[TEXT_MAX] = {0};
    for (size_t len = 0; len <= TEXT_MAX; len++)
        assert_int_equal(sum_of(text, len).key - key, 2 * (1 + (len + NH_BLOCK - 1) / NH_BLOCK));
}

static void test_every_byte_counts(void **state)
{
    (void)state;
    char buffer[TEXT_MAX + 1], *text = buffer + 1; /* off alignment */
    for (size_t len = 1; len <= TEXT_MAX; len++) {
        memset(text, 'v', TEXT_MAX);
        struct nh whole = sum_of(text, len), shorter = sum_of(text, len - 1);
        assert_false(is_same(&whole, &shorter));
        for (size_t at = 0; at < len; at++) {
            text[at] ^= 1;
            struct nh changed = sum_of(text, len);
            assert_false(is_same(&whole, &changed));
            text[at] ^= 1;
        }
        struct nh again = sum_of(text, len);
        assert_true(is_same(&whole, &again));
    }
}

static int make_key(void **state)
{
    (void)state;
    rng_secret(key, sizeof(key));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_every_byte_counts),
    };
    return cmocka_run_group_tests(tests, make_key, NULL);
}
