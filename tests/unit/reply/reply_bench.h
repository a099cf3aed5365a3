/* SPDX-License-Identifier: Apache-2.0 */
/* reply_bench.h - a refusal to write in every dialect. */
#ifndef SLUICE_TESTS_REPLY_BENCH_H
#define SLUICE_TESTS_REPLY_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reply/reply.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define ID           "4f1c0a2b9d8e7f60112233445566778a"

/* At 1000 s: "user" has refused for a minute that ends at 1020, its day goes on until 86400; "ip" has 9 of 10 left
 * in 10 seconds; "away" was not asked. */
static struct quota bench_quotas[] = {
    {.name = {"user", 4},
     .limit_count = 2,
     .limits = {{100, 60, 1, QUOTA_MINUTE}, {5000, 86400, 1, QUOTA_DAY}}},
    {.name = {"ip", 2}, .limit_count = 1, .limits = {{10, 10, 10, QUOTA_SECOND}}},
    {.name = {"away", 4}, .limit_count = 1, .limits = {{7, 3600, 1, QUOTA_HOUR}}},
};
static struct quota_charge bench_charges[] = {
    {.quota = &bench_quotas[0], .readings = {{960, 100, 100, true}, {0, 4321, 5000, false}}},
    {.quota = &bench_quotas[1], .readings = {{1000, 1, 10, false}}},
    {.quota = &bench_quotas[2], .is_skipped = true},
};
static const struct quota_decision bench_refusal = {.verdict = QUOTA_REFUSE,
                                                    .has_binding = true,
                                                    .limit = 100,
                                                    .reset_s = 20,
                                                    .retry_after_s = 20,
                                                    .now_s = 1000};

/* The body as text, and its Content-Type. */
static inline const char *bench_body(const struct reply_body_dialect *dialect, bool prefers_xml,
                                     const struct reply_error *error, struct span *type)
{
    static char text[REPLY_BODY_MAX + 1];
    char *end = reply_error_body(text, dialect, prefers_xml, error, type);
    assert_in_range(end - text, 0, REPLY_BODY_MAX);
    *end = '\0';
    return text;
}

static inline struct reply_error bench_throttled(void)
{
    return (struct reply_error){
        .id = REPLY_ERROR_THROTTLED,
        .message = {"over", 4},
        .request_id = ID,
        .retry_after_s = 20,
        .decision = &bench_refusal,
        .charges = bench_charges,
        .charge_count = COUNT(bench_charges),
    };
}

#endif
