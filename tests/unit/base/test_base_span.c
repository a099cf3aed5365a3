/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_span.c - comparisons, trimming and UTF-8 of borrowed bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base_err.h"
#include "base/base_span.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void test_eq(void **state)
{
    (void)state;
    assert_true(span_eq(SPAN_NONE, SPAN("")));
    assert_true(span_eq(SPAN("a\0b"), SPAN("a\0b")));
    assert_false(span_eq(SPAN("a\0b"), SPAN("a\0c")));
    assert_true(span_eq(span_of(NULL), SPAN_NONE));
    assert_true(span_eq_nocase(SPAN("X-RateLimit"), SPAN("x-ratelimit")));
    assert_false(span_eq_nocase(SPAN("abc"), SPAN("ab")));
    /* '@' and '`', '[' and '{' differ in the case bit and are not letters. */
    assert_false(span_eq_nocase(SPAN("@["), SPAN("`{")));
    assert_false(span_eq_nocase(SPAN("\xc4"), SPAN("\xe4")));
}

static int lower(int byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte + 'a' - 'A' : byte;
}

/* Every two bytes at every place of short and long texts. */
static void test_eq_nocase_bytes(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 34; len++) {
        for (size_t at = 0; at < len; at++) {
            char a[34], b[34];
            memset(a, 'n', sizeof(a));
            memset(b, 'N', sizeof(b));
            for (unsigned pair = 0; pair < 65536; pair++) {
                a[at] = (char)(pair >> 8);
                b[at] = (char)pair;
                bool is_same = lower((int)(pair >> 8)) == lower((int)(pair & 255));
                if (span_eq_nocase((struct span){a, len}, (struct span){b, len}) != is_same)
                    fail_msg("bytes %04x at %zu of %zu", pair, at, len);
            }
        }
    }
}

/* One byte that differs, at every place of short and long texts that end where their allocation ends. */
static void test_same(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 40; len++) {
        char *a = malloc(len + 1), *b = malloc(len + 1);
        assert_true(a != NULL && b != NULL);
        char *const text = a + 1, *const other = b + 1; /* not at a word's beginning */
        memset(text, 'n', len);
        memset(other, 'n', len);
        assert_true(span_same(text, other, len));
        for (size_t at = 0; at < len; at++) {
            other[at] ^= 0x40;
            assert_false(span_same(text, other, len));
            other[at] ^= 0x40;
        }
        free(a);
        free(b);
    }
}

static void test_trim(void **state)
{
    (void)state;
    static const struct {
        struct span text, want;
    } rows[] = {
        {{"", 0}, {"", 0}},           {{" \t ", 3}, {"", 0}}, {{" a b\t", 5}, {"a b", 3}},
        {{"\ra\n", 3}, {"\ra\n", 3}}, {{"a", 1}, {"a", 1}},   {{NULL, 0}, {NULL, 0}},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_true(span_eq(span_trim(rows[i].text), rows[i].want));
}

static void test_find_and_prefix(void **state)
{
    (void)state;
    assert_int_equal(span_find(SPAN("a/b/c"), '/'), 1);
    assert_int_equal(span_find(SPAN("abc"), '/'), 3);
    assert_int_equal(span_find(SPAN_NONE, '/'), 0);
    assert_int_equal(span_find(SPAN("ab\xff"), '\xff'), 2);
    assert_true(span_starts_with(SPAN("abc"), SPAN("ab")));
    assert_true(span_starts_with(SPAN("abc"), SPAN_NONE));
    assert_false(span_starts_with(SPAN("ab"), SPAN("abc")));
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        size_t want;
    } rows[] = {
        {{"", 0}, 0},
        {{"a", 1}, 1},
        {{"\0", 1}, 1},
        {{"\xc3\xa9", 2}, 2},
        {{"\xe2\x82\xac!", 4}, 3},
        {{"\xf0\x9f\x98\x80", 4}, 4},
        {{"\xf4\x8f\xbf\xbf", 4}, 4},
        {{"\x80", 1}, 0},             /* continuation alone */
        {{"\xc0\x80", 2}, 0},         /* overlong NUL */
        {{"\xc1\xbf", 2}, 0},         /* overlong */
        {{"\xe0\x9f\xbf", 3}, 0},     /* overlong */
        {{"\xf0\x8f\xbf\xbf", 4}, 0}, /* overlong */
        {{"\xed\xa0\x80", 3}, 0},     /* surrogate */
        {{"\xed\x9f\xbf", 3}, 3},     /* the one before */
        {{"\xf4\x90\x80\x80", 4}, 0}, /* above U+10FFFF */
        {{"\xf5\x80\x80\x80", 4}, 0},
        {{"\xff", 1}, 0},
        {{"\xc3", 1}, 0},         /* torn */
        {{"\xe2\x82", 2}, 0},     /* torn */
        {{"\xf0\x9f\x98", 3}, 0}, /* torn */
        {{"\xe2\x28\xa1", 3}, 0}, /* not a continuation */
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(span_utf8_len(rows[i].text), rows[i].want);
}

static void test_err_sentences(void **state)
{
    (void)state;
    assert_string_equal(err_sentence(ERR_OK), "success");
    assert_string_equal(err_sentence(ERR_CLOSED), "closed by the peer");
    assert_string_equal(err_sentence((enum err)999), "unknown failure");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eq),
        cmocka_unit_test(test_eq_nocase_bytes),
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_find_and_prefix),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_err_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
