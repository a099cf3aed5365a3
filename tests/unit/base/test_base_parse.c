/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_parse.c - numbers, durations and sizes: the whole string or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/base_parse.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }
#define UNTOUCHED UINT64_C(0x5555)

struct row {
    struct span text;
    bool ok;
    uint64_t want;
};

static void check(const struct row *rows, size_t count, bool (*parse)(struct span, uint64_t *))
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = UNTOUCHED;
        bool ok = parse(rows[i].text, &value);
        if (ok != rows[i].ok || value != (ok ? rows[i].want : UNTOUCHED))
            fail_msg("row %zu: \"%.*s\" gave %d, %llu", i, (int)rows[i].text.len, rows[i].text.ptr,
                     ok, (unsigned long long)value);
    }
}

static void test_hex_digit(void **state)
{
    (void)state;
    static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
    for (int byte = 0; byte < 256; byte++) {
        const char *at = byte == 0 ? NULL : strchr(lower, byte);
        const char *at_upper = byte == 0 ? NULL : strchr(upper, byte);
        int want = at != NULL ? (int)(at - lower) : at_upper != NULL ? (int)(at_upper - upper) : -1;
        assert_int_equal(parse_hex_digit((char)byte), want);
    }
}

static void test_u64(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {TEXT("0"), true, 0},
        {TEXT("007"), true, 7},
        {TEXT("18446744073709551615"), true, UINT64_MAX},
        {TEXT("18446744073709551616"), false, 0},
        {TEXT("18446744073709551620"), false, 0},
        {TEXT("99999999999999999999999"), false, 0},
        {TEXT(""), false, 0},
        {{NULL, 0}, false, 0},
        {TEXT("-1"), false, 0},
        {TEXT("+1"), false, 0},
        {TEXT(" 1"), false, 0},
        {TEXT("1 "), false, 0},
        {TEXT("1\0"), false, 0},
        {TEXT("0x10"), false, 0},
        {TEXT("1e3"), false, 0},
        {TEXT("\xd9\xa1"), false, 0}, /* an Arabic digit */
    };
    check(rows, COUNT(rows), parse_u64);
}

static void test_duration(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {TEXT("250us"), true, 250},
        {TEXT("250ms"), true, 250000},
        {TEXT("30s"), true, 30000000},
        {TEXT("5m"), true, 300000000},
        {TEXT("1h"), true, 3600000000},
        {TEXT("1d"), true, 86400000000},
        {TEXT("0s"), true, 0},
        {TEXT("18446744073709551615us"), true, UINT64_MAX},
        {TEXT("18446744073709552ms"), false, 0},
        {TEXT("213503983d"), false, 0},
        {TEXT("5"), false, 0},
        {TEXT("s"), false, 0},
        {TEXT(""), false, 0},
        {TEXT("5 s"), false, 0},
        {TEXT("5S"), false, 0},
        {TEXT("5min"), false, 0},
        {TEXT("1h30m"), false, 0},
        {TEXT("1.5s"), false, 0},
        {TEXT("-1s"), false, 0},
        {TEXT("1s\0"), false, 0},
    };
    check(rows, COUNT(rows), parse_duration_us);
}

static void test_size(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {TEXT("512"), true, 512},
        {TEXT("512B"), true, 512},
        {TEXT("64KiB"), true, 65536},
        {TEXT("12MiB"), true, 12582912},
        {TEXT("1GiB"), true, 1073741824},
        {TEXT("17179869183GiB"), true, UINT64_C(17179869183) << 30},
        {TEXT("17179869184GiB"), false, 0},
        {TEXT("1KB"), false, 0},
        {TEXT("1K"), false, 0},
        {TEXT("1kib"), false, 0},
        {TEXT("1TiB"), false, 0},
        {TEXT("KiB"), false, 0},
        {TEXT(""), false, 0},
        {TEXT("1 KiB"), false, 0},
        {TEXT("-1B"), false, 0},
    };
    check(rows, COUNT(rows), parse_size_bytes);
}

static void test_base64(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        bool is_good;
        struct span want;
    } rows[] = {
        {SPAN(""), true, SPAN("")},
        {SPAN("Zg=="), true, SPAN("f")},
        {SPAN("Zm8="), true, SPAN("fo")},
        {SPAN("Zm9v"), true, SPAN("foo")},
        {SPAN("Zm9vYg=="), true, SPAN("foob")},
        {SPAN("Zm9vYmE="), true, SPAN("fooba")},
        {SPAN("Zm9vYmFy"), true, SPAN("foobar")},
        {SPAN("AAD/"), true, SPAN("\0\0\xff")},
        {SPAN("+/+/"), true, SPAN("\xfb\xff\xbf")},
        {SPAN("Zh=="), false, SPAN("")}, /* bits behind the last byte */
        {SPAN("Zm9="), false, SPAN("")},
        {SPAN("Zg"), false, SPAN("")},
        {SPAN("Zg="), false, SPAN("")},
        {SPAN("Zg==="), false, SPAN("")},
        {SPAN("Z==="), false, SPAN("")},
        {SPAN("===="), false, SPAN("")},
        {SPAN("Zg==Zg=="), false, SPAN("")},
        {SPAN("Zm=v"), false, SPAN("")},
        {SPAN("Zm9v\n"), false, SPAN("")},
        {SPAN("Zm 9"), false, SPAN("")},
        {SPAN("-_-_"), false, SPAN("")},
        {SPAN("Zm9\xff"), false, SPAN("")},
        {SPAN("Zm9\0"), false, SPAN("")},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char out[16];
        size_t len;
        assert_true(parse_base64(rows[i].text, out, &len) == rows[i].is_good);
        if (rows[i].is_good)
            assert_true(span_eq((struct span){out, len}, rows[i].want));
    }
}

static void test_base64url(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        bool is_good;
        struct span want;
    } rows[] = {
        {SPAN(""), true, SPAN("")},
        {SPAN("Zg"), true, SPAN("f")},
        {SPAN("Zm8"), true, SPAN("fo")},
        {SPAN("Zm9v"), true, SPAN("foo")},
        {SPAN("-_-_"), true, SPAN("\xfb\xff\xbf")},
        {SPAN("Zg=="), false, SPAN("")},
        {SPAN("Zh"), false, SPAN("")},
        {SPAN("Zm9"), false, SPAN("")},
        {SPAN("Z"), false, SPAN("")},
        {SPAN("Zm9vZ"), false, SPAN("")},
        {SPAN("+/+/"), false, SPAN("")},
        {SPAN("Zm9v\n"), false, SPAN("")},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char out[16];
        size_t len;
        assert_true(parse_base64url(rows[i].text, out, &len) == rows[i].is_good);
        if (rows[i].is_good)
            assert_true(span_eq((struct span){out, len}, rows[i].want));
    }
}

static void test_rfc3339(void **state)
{
    static const struct {
        const char *text;
        uint64_t wall_us; /* UINT64_MAX: no time */
    } rows[] = {
        {"2026-11-28T12:00:00.000000Z", UINT64_C(1795867200000000)},
        {"2026-11-28T12:00:00Z", UINT64_C(1795867200000000)},
        {"2026-11-28T12:00:00.999Z", UINT64_C(1795867200999000)},
        {"2026-11-28T12:00:00+00:00", UINT64_C(1795867200000000)},
        {"1970-01-01T00:00:00Z", 0},
        {"1999-12-31T23:59:60Z", UINT64_C(946684800000000)},
        {"2000-02-29T00:00:00Z", UINT64_C(951782400000000)},
        {"2100-03-01T00:00:00Z", UINT64_C(4107542400000000)},
        {"9999-12-31T23:59:59.123456789Z", UINT64_C(253402300799123456)},
        {"1969-12-31T23:59:59Z", UINT64_MAX},
        {"2026-02-29T00:00:00Z", UINT64_MAX},
        {"2100-02-29T00:00:00Z", UINT64_MAX},
        {"2026-13-01T00:00:00Z", UINT64_MAX},
        {"2026-00-01T00:00:00Z", UINT64_MAX},
        {"2026-01-00T00:00:00Z", UINT64_MAX},
        {"2026-04-31T00:00:00Z", UINT64_MAX},
        {"2026-01-01T24:00:00Z", UINT64_MAX},
        {"2026-01-01T00:60:00Z", UINT64_MAX},
        {"2026-01-01T00:00:61Z", UINT64_MAX},
        {"2026-01-01T00:00:00", UINT64_MAX},
        {"2026-01-01T00:00:00.Z", UINT64_MAX},
        {"2026-01-01T00:00:00.1234567890Z", UINT64_MAX},
        {"2026-01-01T00:00:00+01:00", UINT64_MAX},
        {"2026-01-01T00:00:00Zx", UINT64_MAX},
        {"2026-01-01 00:00:00Z", UINT64_MAX},
        {"2026-01-01T00:00Z", UINT64_MAX},
        {"2026-1-01T00:00:00Z", UINT64_MAX},
        {"+026-01-01T00:00:00Z", UINT64_MAX},
        {"1795867200", UINT64_MAX},
        {"", UINT64_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t wall_us = UINT64_MAX;
        bool is_good = parse_rfc3339_us(span_of(rows[i].text), &wall_us);
        if (is_good != (rows[i].wall_us != UINT64_MAX) || (is_good && wall_us != rows[i].wall_us))
            fail_msg("%s: %llu", rows[i].text, (unsigned long long)wall_us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hex_digit), cmocka_unit_test(test_u64),
        cmocka_unit_test(test_duration),  cmocka_unit_test(test_size),
        cmocka_unit_test(test_base64),    cmocka_unit_test(test_base64url),
        cmocka_unit_test(test_rfc3339),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
