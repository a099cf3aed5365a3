/* SPDX-License-Identifier: Apache-2.0 */
/* test_quota_window - spelling of windows, and which window counts when clocks jump. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "quota/quota.h"

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t period_s; /* 0: refused */
        uint32_t count;
        enum quota_unit unit;
        const char *shown, *counted;
    } rows[] = {
        {"second", 1, 1, QUOTA_SECOND, "second", "1 second"},
        {"minute", 60, 1, QUOTA_MINUTE, "minute", "1 minute"},
        {"hour", 3600, 1, QUOTA_HOUR, "hour", "1 hour"},
        {"day", 86400, 1, QUOTA_DAY, "day", "1 day"},
        {"1 minute", 60, 1, QUOTA_MINUTE, "minute", "1 minute"},
        {"1 minutes", 60, 1, QUOTA_MINUTE, "minute", "1 minute"},
        {"5 minutes", 300, 5, QUOTA_MINUTE, "5 minute", "5 minute"},
        {"5 minute", 300, 5, QUOTA_MINUTE, "5 minute", "5 minute"},
        {"60 seconds", 60, 60, QUOTA_SECOND, "60 second", "60 second"},
        {"31622400 seconds", 31622400, 31622400, QUOTA_SECOND, "31622400 second", NULL},
        {"366 days", 31622400, 366, QUOTA_DAY, "366 day", "366 day"},
        {"367 days", 0, 0, 0, NULL, NULL},
        {"31622401 seconds", 0, 0, 0, NULL, NULL},
        {"18446744073709551615 days", 0, 0, 0, NULL, NULL},
        {"4294967297 minutes", 0, 0, 0, NULL, NULL},
        {"0 minutes", 0, 0, 0, NULL, NULL},
        {"minutes", 0, 0, 0, NULL, NULL},
        {"Minute", 0, 0, 0, NULL, NULL},
        {"week", 0, 0, 0, NULL, NULL},
        {"-1 minutes", 0, 0, 0, NULL, NULL},
        {"1.5 hours", 0, 0, 0, NULL, NULL},
        {"5  minutes", 0, 0, 0, NULL, NULL},
        {" minute", 0, 0, 0, NULL, NULL},
        {"minute ", 0, 0, 0, NULL, NULL},
        {"5minutes", 0, 0, 0, NULL, NULL},
        {"5 ", 0, 0, 0, NULL, NULL},
        {" ", 0, 0, 0, NULL, NULL},
        {"", 0, 0, 0, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct quota_limit limit = {.limit = 7};
        const char *fault = quota_limit_parse(&limit, span_of(rows[i].text));
        if (rows[i].period_s == 0) {
            assert_non_null(fault);
            continue;
        }
        assert_null(fault);
        assert_int_equal(limit.period_s, rows[i].period_s);
        assert_int_equal(limit.count, rows[i].count);
        assert_int_equal(limit.unit, rows[i].unit);
        assert_int_equal(limit.limit, 7);

        char text[QUOTA_WINDOW_TEXT_MAX];
        size_t len = quota_window_text(text, &limit, false);
        assert_true(span_eq((struct span){text, len}, span_of(rows[i].shown)));
        if (rows[i].counted == NULL)
            continue;
        len = quota_window_text(text, &limit, true);
        assert_true(span_eq((struct span){text, len}, span_of(rows[i].counted)));
    }
}

static void test_longest_text_fits(void **state)
{
    (void)state;
    struct quota_limit limit = {.count = UINT32_MAX, .unit = QUOTA_SECOND};
    char text[QUOTA_WINDOW_TEXT_MAX];
    assert_int_equal(quota_window_text(text, &limit, true), strlen("4294967295 second"));
}

static void test_calendar(void **state)
{
    (void)state;
    /* 2026-11-22T14:02:11Z */
    const uint64_t now_s = 1795356131;
    assert_int_equal(quota_window_start(1, now_s), now_s);
    assert_int_equal(quota_window_start(60, now_s), 1795356120);
    assert_int_equal(quota_window_start(300, now_s), 1795356000);
    assert_int_equal(quota_window_start(3600, now_s), 1795356000);
    assert_int_equal(quota_window_start(86400, now_s), 1795305600);
}

static void test_settle(void **state)
{
    (void)state;
    static const struct {
        uint32_t period_s;
        uint64_t now_s;
        uint32_t start_s;
        uint32_t want_start_s, want_used; /* of 9 */
    } rows[] = {
        {60, 600, 600, 600, 9},   /* first second */
        {60, 659, 600, 600, 9},   /* last second */
        {60, 660, 600, 660, 0},   /* the next window */
        {60, 6000, 600, 6000, 0}, /* long after */
        {60, 599, 600, 600, 9},   /* the clock went back a second */
        {60, 540, 600, 600, 9},   /* 60 s ahead: kept */
        {60, 539, 600, 480, 9},   /* 61 s ahead: set to the computed one, nothing given back */
        {60, 0, 600, 0, 9},       /* a clock that starts in 1970 */
        {1, 100, 160, 160, 9},    /* a second-long window is kept as far ahead */
        {1, 99, 160, 99, 9},         {86400, 86399, 86400, 86400, 9},
        {86400, 80000, 86400, 0, 9}, {86400, 4294967295, 0, 4294944000, 0}, /* 2106 */
        {60, 600, 0, 600, 0}, /* a window that never was */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t used = 9;
        assert_int_equal(
            quota_window_settle(rows[i].period_s, rows[i].now_s, rows[i].start_s, &used),
            rows[i].want_start_s);
        assert_int_equal(used, rows[i].want_used);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_longest_text_fits),
        cmocka_unit_test(test_calendar),
        cmocka_unit_test(test_settle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
