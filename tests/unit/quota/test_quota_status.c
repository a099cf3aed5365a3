/* SPDX-License-Identifier: Apache-2.0 */
/* test_quota_status.c - which statuses keep a charge: what is accepted, and what it means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "quota/quota.h"

static struct statuses made(const char *const *texts)
{
    struct statuses statuses = {0};
    for (; *texts != NULL; texts++)
        assert_null(statuses_add(&statuses, span_of(*texts)));
    return statuses;
}

static void test_counts(void **state)
{
    (void)state;
    const struct statuses none = {0};
    const struct statuses some = made((const char *const[]){"2xx", "404", "100", NULL});
    static const struct {
        unsigned status;
        bool counts;
    } rows[] = {{0, false},   {100, true},  {101, false}, {199, false}, {200, true},
                {299, true},  {300, false}, {403, false}, {404, true},  {405, false},
                {500, false}, {599, false}, {600, false}, {999, false}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(quota_status_counts(&some, rows[i].status), rows[i].counts);
        assert_true(quota_status_counts(&none, rows[i].status)); /* nothing named: all count */
    }
    const struct statuses classes = made((const char *const[]){"1xx", "5xx", NULL});
    assert_true(quota_status_counts(&classes, 503) && quota_status_counts(&classes, 100));
    assert_false(quota_status_counts(&classes, 0) || quota_status_counts(&classes, 200));
}

static void test_refused(void **state)
{
    static const char *const texts[] = {"",    "2",   "2x",  "2xxx", "0xx",  "6xx",
                                        "xx2", "2XX", "099", "600",  "1000", "-40",
                                        "4 4", "+40", "4.4", "20",   "abc",  "\xc3\xa9x"};
    (void)state;
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct statuses statuses = {0};
        assert_non_null(statuses_add(&statuses, span_of(texts[i])));
        assert_int_equal(statuses.classes + statuses.code_count, 0);
    }
}

static void test_no_more_than_there_is_room_for(void **state)
{
    struct statuses statuses = {0};
    char text[8];
    (void)state;
    for (unsigned i = 0; i < STATUSES_CODES_MAX; i++) {
        text[0] = '4', text[1] = (char)('0' + i / 10), text[2] = (char)('0' + i % 10), text[3] = 0;
        assert_null(statuses_add(&statuses, span_of(text)));
        assert_non_null(statuses_add(&statuses, span_of(text))); /* twice */
    }
    assert_non_null(statuses_add(&statuses, SPAN("500")));
    assert_null(statuses_add(&statuses, SPAN("5xx")));
    assert_non_null(statuses_add(&statuses, SPAN("5xx")));
}

static void test_names(void **state)
{
    struct statuses statuses = {0};
    (void)state;
    assert_false(statuses_names(&statuses, 401));
    assert_null(statuses_add(&statuses, SPAN("4xx")));
    assert_null(statuses_add(&statuses, SPAN("403")));
    assert_true(statuses_names(&statuses, 403));
    assert_false(statuses_names(&statuses, 401)); /* a class is no name */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_more_than_there_is_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
