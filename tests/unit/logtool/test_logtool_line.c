/* SPDX-License-Identifier: Apache-2.0 */
/* test_logtool_line.c - the time of a line: read to the millisecond, and refused when no calendar has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "logtool/logtool_line.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define BAD          UINT64_MAX

static void test_times(void **state)
{
    static const struct {
        const char *ts;
        uint64_t want_ms;
    } rows[] = {
        {"1970-01-01T00:00:00.000Z", 0},
        {"2026-11-29T01:00:00.250Z", UINT64_C(1795914000250)},
        {"2026-01-31T23:59:59.999Z", UINT64_C(1769903999999)},
        {"2026-02-28T00:00:00.000Z", UINT64_C(1772236800000)},
        {"2028-02-29T00:00:00.000Z", UINT64_C(1835395200000)},
        {"2000-02-29T00:00:00.000Z", UINT64_C(951782400000)},
        {"2026-12-31T23:59:60.000Z", UINT64_C(1798761600000)}, /* a leap second */
        {"2026-02-29T00:00:00.000Z", BAD},
        {"2026-02-31T00:00:00.000Z", BAD},
        {"2028-02-30T00:00:00.000Z", BAD},
        {"2100-02-29T00:00:00.000Z", BAD},
        {"2026-04-31T00:00:00.000Z", BAD},
        {"2026-06-31T00:00:00.000Z", BAD},
        {"2026-09-31T00:00:00.000Z", BAD},
        {"2026-11-31T00:00:00.000Z", BAD},
        {"2026-12-32T00:00:00.000Z", BAD},
        {"2026-12-00T00:00:00.000Z", BAD},
        {"2026-00-01T00:00:00.000Z", BAD},
        {"2026-13-01T00:00:00.000Z", BAD},
        {"1969-12-31T23:59:59.999Z", BAD},
        {"2026-11-29T24:00:00.000Z", BAD},
        {"2026-11-29T01:60:00.000Z", BAD},
        {"2026-11-29T01:00:61.000Z", BAD},
        {"2026-11-29 01:00:00.000Z", BAD},
        {"2026-11-29T01:00:00.000z", BAD},
        {"2026-11-29T01:00:00Z", BAD},
        {"2026-11-29T01:00:00.000+", BAD},
    };
    struct logtool_line *line = malloc(sizeof(*line));
    char text[128];
    const char *why;
    (void)state;
    assert_non_null(line);
    for (size_t i = 0; i < COUNT(rows); i++) {
        snprintf(text, sizeof(text), "{\"v\":1,\"boot\":\"b\",\"seq\":1,\"ts\":\"%s\"}",
                 rows[i].ts);
        const bool is_good = logtool_line_parse(line, span_of(text), &why);
        if (is_good != (rows[i].want_ms != BAD))
            fail_msg("%s was %s", rows[i].ts, is_good ? "read" : "refused");
        if (is_good)
            assert_int_equal(line->ts_us, rows[i].want_ms * 1000);
    }
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
