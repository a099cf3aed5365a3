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
#define FOLD_MAX 300 /* two rounds of the fold's loop, and a rest */
#define PAIRS    (1 + FOLD_MAX / NH_BLOCK + 1 + NH_TEXT_MORE)

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

/* A product of two polynomials over GF(2) of 128 bits each, bit by bit, added to a sum. */
static void add_product(const uint64_t a[2], const uint64_t b[2], uint64_t sum[4])
{
    for (unsigned bit = 0; bit < 128; bit++) {
        if ((b[bit / 64] >> bit % 64 & 1) == 0)
            continue;
        for (unsigned i = 0; i < 128; i++)
            sum[(bit + i) / 64] ^= (a[i / 64] >> i % 64 & 1) << (bit + i) % 64;
    }
}

/* Without carries, or NH where the processor has no such product. */
static void test_fold(void **state)
{
    (void)state;
    char buffer[FOLD_MAX + 1], *text = buffer + 1;
    rng_secret(buffer, sizeof(buffer));
    for (size_t len = NH_FOLD_BLOCK; len <= FOLD_MAX; len++) {
        struct nh sum = {key, 0, 0};
        uint64_t want[4] = {0}, out[4];
        const uint64_t *words = key;
        for (size_t at = 0; at < len; at += NH_FOLD_BLOCK, words += 4) {
            const char *from = text + (at + NH_FOLD_BLOCK < len ? at : len - NH_FOLD_BLOCK);
            uint64_t a[2] = {load_u64(from) ^ words[0], load_u64(from + 8) ^ words[1]};
            uint64_t b[2] = {load_u64(from + 16) ^ words[2], load_u64(from + 24) ^ words[3]};
            add_product(a, b, want);
        }
        nh_bytes(&sum, text, len);
        nh_fold(key, text, len, out);
        const uint64_t plain[4] = {(uint64_t)sum.first, (uint64_t)(sum.first >> 64),
                                   (uint64_t)sum.second, (uint64_t)(sum.second >> 64)};
        assert_true(memcmp(out, want, sizeof(out)) == 0 || memcmp(out, plain, sizeof(out)) == 0);
    }
}

static void test_every_byte_of_a_fold_counts(void **state)
{
    (void)state;
    char text[FOLD_MAX] = {0};
    for (size_t len = NH_FOLD_BLOCK; len <= FOLD_MAX; len++) {
        uint64_t whole[4], changed[4];
        nh_fold(key, text, len, whole);
        for (size_t at = 0; at < len; at++) {
            text[at] ^= 1;
            nh_fold(key, text, len, changed);
            assert_memory_not_equal(whole, changed, sizeof(whole));
            text[at] ^= 1;
        }
    }
}

/* A text that may be long takes no key words that another one takes too. */
static void test_text(void **state)
{
    (void)state;
    char text[TEXT_MAX] = {0};
    for (size_t len = 1; len <= TEXT_MAX; len++) {
        struct nh nh = {key, 0, 0};
        size_t pairs = (len + NH_BLOCK - 1) / NH_BLOCK;
        nh_text(&nh, text, len);
        assert_int_equal(nh.key - key, 2 * (pairs + (len < NH_FOLD_MIN ? 0 : NH_TEXT_MORE)));
        struct nh changed = {key, 0, 0};
        text[len - 1] ^= 1;
        nh_text(&changed, text, len);
        assert_false(is_same(&nh, &changed));
        text[len - 1] ^= 1;
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
        cmocka_unit_test(test_fold),
        cmocka_unit_test(test_every_byte_of_a_fold_counts),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, make_key, NULL);
}
