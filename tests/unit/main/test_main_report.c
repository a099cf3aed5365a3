/* SPDX-License-Identifier: Apache-2.0 */
/* test_main_report.c - the errors of a report, and of what is no report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "main/main_limits.h"
#include "main/main_report.h"

static const struct {
    const char *report;
    const char *lines[4];
} rows[] = {
    {"", {NULL}},
    {"\n", {""}},
    {"one sentence", {"one sentence"}},
    {"one sentence\n", {"one sentence"}},
    {"one sentence\nand its source\n   ^\n", {"one sentence"}},
    {"c:1:2: warning: /a: hm\n  1 | x\n    | ^\nc:3:4: error: /b: no\n  3 | y\n    | ^\n1 error, 1 "
     "warning.\n",
     {"c:3:4: error: /b: no"}},
    {"c:1:2: error: /a: x\nc:3:4: error: /b: y\nc:5:6: warning: /c: z\n2 errors, 1 warning.",
     {"c:1:2: error: /a: x", "c:3:4: error: /b: y"}},
    {"c:1:2: error: /a: x", {"c:1:2: error: /a: x"}},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct span rest = span_of(rows[i].report), line = SPAN_NONE;
        unsigned count = 0;
        while (main_report_next(&rest, &line)) {
            assert_non_null(rows[i].lines[count]);
            assert_true(span_eq(line, span_of(rows[i].lines[count])));
            count++;
        }
        if (rows[i].lines[count] != NULL)
            fail_msg("row %zu ends after %u lines", i, count);
    }
}

static void test_connections(void **state)
{
    (void)state;
    assert_int_equal(main_limits_connections(0, 1, 1), 0);
    assert_int_equal(main_limits_connections(64, 1, 1), 0);
    assert_true(main_limits_connections(256, 2, 1) >= MAIN_LIMITS_CONNECTIONS_MIN);
    assert_true(main_limits_connections(1024, 256, 64) == 0);
    assert_true(main_limits_connections(UINT64_MAX, 2, 1) > UINT32_MAX);
    assert_in_range(main_limits_cpus(), 1, 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
