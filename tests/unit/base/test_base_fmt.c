/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_fmt.c - numbers, times and JSON text written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/base_fmt.h"
#include "base/base_fmt_json.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void test_u64(void **state)
{
    (void)state;
    static const uint64_t values[] = {
        0,
        1,
        9,
        10,
        11,
        99,
        100,
        101,
        999,
        1000,
        65535,
        99999,
        100000,
        4294967295,
        4294967296,
        9999999999999999999u,
        10000000000000000000u,
        UINT64_MAX,
    };
    for (size_t i = 0; i < COUNT(values); i++) {
        char *out = malloc(FMT_U64_MAX), want[32]; /* the sanitizer sees a byte too many */
        snprintf(want, sizeof(want), "%llu", (unsigned long long)values[i]);
        size_t len = (size_t)(fmt_u64(out, values[i]) - out);
        assert_int_equal(len, strlen(want));
        assert_memory_equal(out, want, len);
        free(out);
    }
}

/* Every number of digits, and the numbers around each step. */
static void test_u64_steps(void **state)
{
    (void)state;
    uint64_t step = 1;
    for (unsigned digits = 0; digits < 20; digits++, step *= 10) {
        for (uint64_t more = 0; more < 2200; more++) {
            uint64_t value = step - 1100 + more; /* below 0 it is a number of twenty digits */
            char out[FMT_U64_MAX], want[32];
            int len = snprintf(want, sizeof(want), "%llu", (unsigned long long)value);
            assert_int_equal(fmt_u64(out, value) - out, len);
            assert_memory_equal(out, want, (size_t)len);
        }
    }
}

static void test_hex_and_base64(void **state)
{
    (void)state;
    static const struct {
        struct span bytes;
        const char *hex, *base64url, *base64;
    } rows[] = {
        {{"", 0}, "", "", ""},
        {{"f", 1}, "66", "Zg", "Zg=="},
        {{"fo", 2}, "666f", "Zm8", "Zm8="},
        {{"foo", 3}, "666f6f", "Zm9v", "Zm9v"},
        {{"foobar", 6}, "666f6f626172", "Zm9vYmFy", "Zm9vYmFy"},
        {{"\xff\xfe\x00", 3}, "fffe00", "__4A", "//4A"},
        {{"\xfb\xff", 2}, "fbff", "-_8", "+/8="},
        {{"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16},
         "00000000000000000000000000000000",
         "AAAAAAAAAAAAAAAAAAAAAA",
         "AAAAAAAAAAAAAAAAAAAAAA=="},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[64];
        *fmt_hex(text, rows[i].bytes.ptr, rows[i].bytes.len) = '\0';
        assert_string_equal(text, rows[i].hex);
        *fmt_base64url(text, rows[i].bytes.ptr, rows[i].bytes.len) = '\0';
        assert_string_equal(text, rows[i].base64url);
        *fmt_base64(text, rows[i].bytes.ptr, rows[i].bytes.len) = '\0';
        assert_string_equal(text, rows[i].base64);
    }
}

/* Every byte at every place of every length. */
static void test_hex_of_every_byte(void **state)
{
    (void)state;
    unsigned char bytes[40];
    char text[2 * sizeof(bytes) + 1], want[2 * sizeof(bytes) + 1];
    for (unsigned first = 0; first < 256; first++) {
        for (size_t len = 0; len <= sizeof(bytes); len++) {
            for (size_t i = 0; i < len; i++) {
                bytes[i] = (unsigned char)(first + i);
                snprintf(want + 2 * i, 3, "%02x", bytes[i]);
            }
            want[2 * len] = '\0';
            *fmt_hex(text, bytes, len) = '\0';
            assert_string_equal(text, want);
        }
    }
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        uint64_t wall_us;
        const char *rfc3339, *http_date;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777000000, "1994-11-06T08:49:37.000Z", "Sun, 06 Nov 1994 08:49:37 GMT"},
        {1795356131482999, "2026-11-22T14:02:11.482Z", "Sun, 22 Nov 2026 14:02:11 GMT"},
        {951782400000000, "2000-02-29T00:00:00.000Z", "Tue, 29 Feb 2000 00:00:00 GMT"},
        {951868799999999, "2000-02-29T23:59:59.999Z", "Tue, 29 Feb 2000 23:59:59 GMT"},
        {4107542400000000, "2100-03-01T00:00:00.000Z", "Mon, 01 Mar 2100 00:00:00 GMT"},
        {253402300799999999, "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 GMT"},
        {UINT64_MAX, "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *out = malloc(FMT_DATE_MAX), text[FMT_DATE_MAX + 1];
        size_t len = (size_t)(fmt_rfc3339_ms(out, rows[i].wall_us) - out);
        assert_int_equal(len, FMT_RFC3339_MAX);
        *fmt_span(text, (struct span){out, len}) = '\0';
        assert_string_equal(text, rows[i].rfc3339);
        len = (size_t)(fmt_http_date(out, rows[i].wall_us / 1000000) - out);
        assert_int_equal(len, FMT_DATE_MAX);
        *fmt_span(text, (struct span){out, len}) = '\0';
        assert_string_equal(text, rows[i].http_date);
        free(out);
    }
}

static void test_every_day_of_400_years(void **state)
{
    (void)state;
    static const unsigned days_of[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year = 1970, month = 0, day = 1;
    for (uint64_t s = 0; year < 2370; s += 86400) {
        char text[FMT_RFC3339_MAX + 1], want[64];
        *fmt_rfc3339_ms(text, s * 1000000) = '\0';
        snprintf(want, sizeof(want), "%04u-%02u-%02uT00:00:00.000Z", year, month + 1, day);
        assert_string_equal(text, want);
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        if (++day > days_of[month] + (month == 1 && leap)) {
            day = 1;
            if (++month == 12) {
                month = 0;
                year++;
            }
        }
    }
}

static void test_json(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        const char *want;
        bool bytes;
    } rows[] = {
        {{"", 0}, "", false},
        {{NULL, 0}, "", false},
        {{"GET", 3}, "GET", false},
        {{"GETS", 4}, "GETS", false},
        {{"DELETES", 7}, "DELETES", false},
        {{"12345678", 8}, "12345678", false},
        {{"/v1/images/search", 17}, "/v1/images/search", false},
        {{"a\"b", 3}, "a\\\"b", false},
        {{"1234567\"", 8}, "1234567\\\"", false},
        {{"\"2345678abcdefg\\", 16}, "\\\"2345678abcdefg\\\\", false},
        {{"\b\t\n\f\r", 5}, "\\b\\t\\n\\f\\r", false},
        {{"\0\x01\x1f\x7f", 4}, "\\u0000\\u0001\\u001f\\u007f", false},
        {{"abcdefgh\x1b[2J", 12}, "abcdefgh\\u001b[2J", false},
        {{"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", 14},
         "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
         false},
        {{"\xc2\x9b", 2}, "\\u00c2\\u009b", true}, /* a control that terminals obey */
        {{"\x9b", 1}, "\\u009b", true},
        {{"a\xff\xfe", 3}, "a\\u00ff\\u00fe", true},
        {{"\xc3", 1}, "\\u00c3", true},
        {{"\xed\xa0\x80", 3}, "\\u00ed\\u00a0\\u0080", true},
        {{"\xc0\xaf", 2}, "\\u00c0\\u00af", true},
        {{"\xe2\x82\"", 3}, "\\u00e2\\u0082\\\"", true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char out[128];
        bool cut = false, bytes = false;
        *fmt_json_text(out, out + sizeof(out) - 1, rows[i].text, &cut, &bytes) = '\0';
        assert_string_equal(out, rows[i].want);
        assert_false(cut);
        assert_int_equal(bytes, rows[i].bytes);
    }
}

/* Every byte at every place of texts of every small length: the pieces of eight and four must agree
 * with what a byte alone gives. */
static void test_json_places(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 20; len++) {
        for (size_t at = 0; at < len; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                char *text = malloc(len), one[8], want[64], out[64];
                bool cut = false, bytes = false, want_bytes = false;
                memset(text, 'x', len);
                text[at] = (char)byte;
                char *end = fmt_json_text(one, one + sizeof(one), (struct span){text + at, 1}, &cut,
                                          &want_bytes);
                size_t one_len = (size_t)(end - one), want_len = len - 1 + one_len;
                memset(want, 'x', sizeof(want));
                memcpy(want + at, one, one_len);
                end = fmt_json_text(out, out + sizeof(out), (struct span){text, len}, &cut, &bytes);
                assert_int_equal(end - out, want_len);
                assert_memory_equal(out, want, want_len);
                assert_false(cut);
                assert_int_equal(bytes, want_bytes);
                free(text);
            }
        }
    }
}

/* A value is its text and a quote; with every byte at the front, in the middle and at the end of it. */
static void test_json_values(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 40; len++) {
        for (unsigned byte = 0; byte < 256 * 3; byte++) {
            char *text = malloc(len + 1), out[256], want[256];
            bool cut = false, bytes = false;
            memset(text, 'x', len + 1);
            if (len > 0)
                text[byte / 256 * (len - 1) / 2] = (char)byte;
            const struct span span = {text, len};
            char *want_end = fmt_json_text(want, want + sizeof(want), span, &cut, &bytes);
            *want_end++ = '"';
            struct fmt_json json = {.end = out + sizeof(out) - 1};
            char *end = fmt_json_value(&json, out, span, 240);
            assert_int_equal(end - out, want_end - want);
            assert_memory_equal(out, want, (size_t)(end - out));
            assert_int_equal(json.bytes, bytes);
            assert_false(json.cut || cut);
            free(text);
        }
    }
}

static void test_json_values_are_cut(void **state)
{
    (void)state;
    static const struct {
        size_t len, room, max, want; /* room: up to json.end */
    } rows[] = {
        {20, 100, 16, 16}, {20, 10, 16, 10}, {20, 0, 16, 0},   {3, 3, 16, 3},
        {3, 2, 16, 2},     {16, 16, 16, 16}, {17, 16, 99, 16}, {17, 17, 99, 17},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[32], *out = malloc(rows[i].room + 1);
        memset(text, 'x', sizeof(text));
        struct fmt_json json = {.end = out + rows[i].room};
        char *end = fmt_json_value(&json, out, (struct span){text, rows[i].len}, rows[i].max);
        assert_int_equal(end - out, rows[i].want + 1);
        assert_int_equal(end[-1], '"');
        assert_int_equal(json.cut, rows[i].want < rows[i].len);
        free(out);
    }
    /* Bounded fields may have gone on behind the end: the quote is still written there. */
    char out[8];
    struct fmt_json json = {.end = out};
    assert_ptr_equal(fmt_json_value(&json, out + 4, SPAN("x"), 16), out + 5);
    assert_true(json.cut);
}

static void test_json_is_cut_between_characters(void **state)
{
    (void)state;
    static const struct span text = {"ab\"\xc3\xa9\x01zz\xff", 9};
    static const char whole[] = "ab\\\"\xc3\xa9\\u0001zz\\u00ff";
    static const size_t ends[] = {0, 1, 2, 4, 6, 12, 13, 14, 20}; /* places between characters */
    for (size_t room = 0; room <= sizeof(whole); room++) {
        char *out = malloc(room + 1);
        bool cut = false, bytes = false;
        size_t len = (size_t)(fmt_json_text(out, out + room, text, &cut, &bytes) - out);
        size_t want = 0;
        for (size_t i = 0; i < COUNT(ends); i++)
            want = ends[i] <= room ? ends[i] : want;
        assert_int_equal(len, want);
        assert_memory_equal(out, whole, len);
        assert_int_equal(cut, want < sizeof(whole) - 1);
        assert_int_equal(bytes, want == sizeof(whole) - 1);
        free(out);
    }
    bool cut = true, bytes = true;
    char out[8];
    fmt_json_text(out, out + sizeof(out), SPAN("ok"), &cut, &bytes);
    assert_true(cut && bytes); /* never cleared: one flag serves a whole line */
}

static void test_clean(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", ""},
        {"-ERR plain \xc3\xbc \xe2\x82\xac", "-ERR plain \xc3\xbc \xe2\x82\xac"},
        {"\x1b[2J\t\n\x7f", "\\x1b[2J\\x09\\x0a\\x7f"},
        {"\xc2\x9b"
         "1m",
         "\\xc2\\x9b1m"}, /* C1 */
        {"\xc2\xa0", "\xc2\xa0"},
        {"\xe2\x80\xa9\xe2\x80\xaa\xe2\x80\xae\xe2\x80\xaf",
         "\xe2\x80\xa9\\xe2\\x80\\xaa\\xe2\\x80\\xae\xe2\x80\xaf"}, /* U+202A to U+202E turn text round */
        {"\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa",
         "\xe2\x81\xa5\\xe2\\x81\\xa6\\xe2\\x81\\xa9\xe2\x81\xaa"}, /* U+2066 to U+2069 */
        {"\x9b\xff\xc3", "\\x9b\\xff\\xc3"},                        /* no UTF-8 */
    };
    char out[64];
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len = (size_t)(fmt_clean(out, out + sizeof(out), span_of(rows[i].text)) - out);
        assert_int_equal(len, strlen(rows[i].want));
        assert_memory_equal(out, rows[i].want, len);
        assert_true(len <= strlen(rows[i].text) * FMT_CLEAN_TIMES);
    }
    assert_ptr_equal(fmt_clean(out, out + 3, SPAN("\x1b")), out);
    assert_ptr_equal(fmt_clean(out, out + 2, SPAN("\xe2\x82\xac")), out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_u64),
        cmocka_unit_test(test_u64_steps),
        cmocka_unit_test(test_hex_and_base64),
        cmocka_unit_test(test_hex_of_every_byte),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_every_day_of_400_years),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_places),
        cmocka_unit_test(test_json_values),
        cmocka_unit_test(test_json_values_are_cut),
        cmocka_unit_test(test_json_is_cut_between_characters),
        cmocka_unit_test(test_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
