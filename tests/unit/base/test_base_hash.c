/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_hash.c - SipHash against the authors' published vectors (key 00..0f, input 00, 01, 02, ...). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base_fmt.h"
#include "base/base_hash.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct {
    size_t len;
    const char *sip64, *sip128;
} vectors[] = {
    {0, "310e0edd47db6f72", "a3817f04ba25a8e66df67214c7550293"},
    {1, "fd67dc93c539f874", "da87c1d86b99af44347659119b22fc45"},
    {2, "5a4fa9d909806c0d", "8177228da4a45dc7fca38bdef60affe4"},
    {3, "2d7efbd796666785", "9c70b60c5267a94e5f33b6b02985ed51"},
    {4, "b7877127e09427cf", "f88164c12d9c8faf7d0f6e7c7bcd5579"},
    {5, "8da699cd64557618", "1368875980776f8854527a07690e9627"},
    {6, "cee3fe586e46c9cb", "14eeca338b208613485ea0308fd7a15e"},
    {7, "37d1018bf50002ab", "a1f1ebbed8dbc153c0b84aa61ff08239"},
    {8, "6224939a79f5f593", "3b62a9ba6258f5610f83e264f31497b4"},
    {9, "b0e4a90bdf82009e", "264499060ad9baabc47f8b02bb6d71ed"},
    {15, "e545be4961ca29a1", "5493e99933b0a8117e08ec0f97cfc3d9"},
    {16, "db9bc2577fcc2a3f", "6ee2a4ca67b054bbfd3315bf85230577"},
    {31, "42c341d8fa92d832", "2939b0183223fafc1723de4f52c43d35"},
    {32, "ce7cf2722f512771", "7c3956ca5eeafc3e363e9d556546eb68"},
    {63, "724506eb4c328a95", "5150d1772f50834a503e069a973fbd7c"},
};

static struct hash_key vector_key(void)
{
    unsigned char bytes[16];
    struct hash_key key;
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)i;
    memcpy(&key, bytes, sizeof(key));
    return key;
}

static void test_vectors(void **state)
{
    (void)state;
    /* One byte off alignment: hashes are taken of slices anywhere in a buffer. */
    unsigned char buffer[65], *input = buffer + 1;
    for (unsigned i = 0; i < 64; i++)
        input[i] = (unsigned char)i;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        char text[33];
        uint64_t sip64 = hash_sip64(vector_key(), input, vectors[i].len);
        *fmt_hex(text, &sip64, sizeof(sip64)) = '\0';
        assert_string_equal(text, vectors[i].sip64);
        struct hash128 sip128 = hash_sip128(vector_key(), input, vectors[i].len);
        *fmt_hex(text, &sip128, sizeof(sip128)) = '\0';
        assert_string_equal(text, vectors[i].sip128);
    }
}

static void test_key_and_length_matter(void **state)
{
    (void)state;
    struct hash_key key = vector_key(), other = key;
    other.k1 ^= 1;
    assert_int_not_equal(hash_sip64(key, "alice", 5), hash_sip64(other, "alice", 5));
    assert_int_not_equal(hash_sip64(key, "a\0", 1), hash_sip64(key, "a\0", 2));
    assert_int_equal(hash_sip64(key, NULL, 0), hash_sip64(key, "", 0));
}

/* Every bit of the words and of the key moves the place, low bits of it among them. */
static void test_place(void **state)
{
    (void)state;
    struct hash_key key = vector_key();
    uint64_t words[4] = {1, 2, 3, 4}, before = hash_place(key, words);
    unsigned low = 0;
    assert_int_equal(before, hash_place(key, words));
    for (unsigned bit = 0; bit < 64; bit++) {
        for (unsigned i = 0; i < 4; i++) {
            words[i] ^= UINT64_C(1) << bit;
            assert_int_not_equal(before, hash_place(key, words));
            low += (before ^ hash_place(key, words)) & 1;
            words[i] ^= UINT64_C(1) << bit;
        }
        struct hash_key first = {key.k0 ^ UINT64_C(1) << bit, key.k1};
        struct hash_key second = {key.k0, key.k1 ^ UINT64_C(1) << bit};
        assert_int_not_equal(before, hash_place(first, words));
        assert_int_not_equal(before, hash_place(second, words));
    }
    assert_in_range(low, 96, 160); /* of 256 */
}

/* As many places as there are keys hold about as many as chance would let them, also when keys differ in few bits. */
static void test_places_are_spread(void **state)
{
    (void)state;
    enum {
        PLACES = 4096
    };
    static unsigned held[PLACES];
    const struct hash_key key = vector_key();
    for (unsigned i = 0; i < PLACES; i++) {
        const uint64_t words[4] = {i % 8, i / 8 % 8, i / 64 % 8, i / 512};
        held[hash_place(key, words) % PLACES]++;
    }
    unsigned used = 0, most = 0;
    for (unsigned i = 0; i < PLACES; i++) {
        used += held[i] != 0;
        most = held[i] > most ? held[i] : most;
    }
    assert_in_range(used, PLACES * 60 / 100, PLACES * 67 / 100); /* 1 - 1/e: 63.2 % */
    assert_in_range(most, 4, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_key_and_length_matter),
        cmocka_unit_test(test_place),
        cmocka_unit_test(test_places_are_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
