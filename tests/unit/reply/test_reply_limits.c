/* SPDX-License-Identifier: Apache-2.0 */
/* test_reply_limits.c - the trio, Retry-After and the sentence of a refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/base_fmt.h"
#include "reply/reply.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static struct quota quota = {
    .name = {"per-user", 8},
    .limit_count = 3,
    .limits = {{100, 60, 1, QUOTA_MINUTE}, {5000, 86400, 1, QUOTA_DAY}, {7, 300, 5, QUOTA_MINUTE}},
};
static const struct quota_charge charges[] = {{.quota = &quota}};
static const struct reply_headers remaining = {.dialects = REPLY_X_RATELIMIT};
static const struct reply_headers consumed = {.dialects = REPLY_X_RATELIMIT,
                                              .used_is_consumed = true};
static const struct reply_headers off = {.dialects = 0};

static const struct {
    const struct reply_headers *headers;
    struct quota_decision decision;
    const char *want;
} rows[] = {
    {&remaining,
     {.verdict = QUOTA_ALLOW, .has_binding = true, .limit = 100, .remaining = 57, .reset_s = 9},
     "X-ratelimit: 100\r\nX-ratelimit-used: 57\r\nX-ratelimit-window: minute\r\n"},
    {&consumed,
     {.verdict = QUOTA_ALLOW, .has_binding = true, .limit = 100, .remaining = 57, .reset_s = 9},
     "X-ratelimit: 100\r\nX-ratelimit-used: 43\r\nX-ratelimit-window: minute\r\n"},
    {&remaining,
     {.verdict = QUOTA_ALLOW, .has_binding = true, .window = 1, .limit = 5000, .remaining = 0},
     "X-ratelimit: 5000\r\nX-ratelimit-used: 0\r\nX-ratelimit-window: day\r\n"},
    {&remaining,
     {.verdict = QUOTA_REFUSE, .has_binding = true, .window = 2, .limit = 7, .retry_after_s = 211},
     "X-ratelimit: 7\r\nX-ratelimit-used: 0\r\nX-ratelimit-window: 5 minute\r\n"
     "Retry-After: 211\r\n"},
    {&remaining,
     {.verdict = QUOTA_DEGRADED_REFUSE, .has_binding = true, .limit = 25, .retry_after_s = 1},
     "X-ratelimit: 25\r\nX-ratelimit-used: 0\r\nX-ratelimit-window: minute\r\n"
     "Retry-After: 1\r\n"},
    /* a cost that never fits: no promise of a better time */
    {&remaining,
     {.verdict = QUOTA_REFUSE, .has_binding = true, .limit = 100, .remaining = 100},
     "X-ratelimit: 100\r\nX-ratelimit-used: 100\r\nX-ratelimit-window: minute\r\n"},
    /* an admitted request is not told to wait */
    {&remaining,
     {.verdict = QUOTA_ALLOW, .has_binding = true, .limit = 9, .remaining = 1, .retry_after_s = 5},
     "X-ratelimit: 9\r\nX-ratelimit-used: 1\r\nX-ratelimit-window: minute\r\n"},
    /* the trio is switched off, the refusal still says when */
    {&off,
     {.verdict = QUOTA_REFUSE, .has_binding = true, .limit = 9, .retry_after_s = 5},
     "Retry-After: 5\r\n"},
    {&remaining, {.verdict = QUOTA_UNAVAILABLE, .retry_after_s = 3}, "Retry-After: 3\r\n"},
    {&remaining, {.verdict = QUOTA_NONE}, ""},
    {&remaining, {.verdict = QUOTA_EXEMPT}, ""},
    {&remaining, {.verdict = QUOTA_DEGRADED_ALLOW}, ""},
};

static void test_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[REPLY_LIMITS_MAX + 1];
        *reply_limit_fields(text, rows[i].headers, rows[i].headers->dialects, &rows[i].decision,
                            charges, 1) = '\0';
        assert_string_equal(text, rows[i].want);
    }
}

static void test_fields_fit(void **state)
{
    (void)state;
    struct quota wide = {.limit_count = 1,
                         .limits = {{UINT32_MAX, UINT32_MAX, UINT32_MAX, QUOTA_MINUTE}}};
    struct quota_charge charge = {.quota = &wide};
    struct quota_decision decision = {.verdict = QUOTA_REFUSE,
                                      .has_binding = true,
                                      .limit = UINT32_MAX,
                                      .remaining = UINT32_MAX,
                                      .retry_after_s = UINT32_MAX};
    char *text = malloc(REPLY_LIMITS_MAX);
    char *end = reply_limit_fields(text, &remaining, remaining.dialects, &decision, &charge, 1);
    assert_in_range(end - text, 100, REPLY_LIMITS_MAX);
    free(text);
}

static void test_message(void **state)
{
    (void)state;
    struct quota_decision decision = {.verdict = QUOTA_REFUSE, .has_binding = true, .limit = 100};
    char text[REPLY_MESSAGE_MAX + 1];
    *reply_throttle_message(text, &decision, charges) = '\0';
    assert_string_equal(text, "The throttling threshold has been reached: policy per-user over "
                              "ratelimit,limit:100,time:1 minute");
    decision.window = 2;
    *reply_throttle_message(text, &decision, charges) = '\0';
    assert_string_equal(text, "The throttling threshold has been reached: policy per-user over "
                              "ratelimit,limit:100,time:5 minute");
    decision.has_binding = false;
    *reply_throttle_message(text, &decision, NULL) = '\0';
    assert_string_equal(text, "The throttling threshold has been reached.");
}

static void test_long_names_are_cut_between_characters(void **state)
{
    (void)state;
    char name[1001];
    for (size_t shift = 0; shift < 2; shift++) {
        memset(name, 'n', sizeof(name));
        for (size_t i = shift; i + 2 <= sizeof(name); i += 2)
            memcpy(name + i, "\xc3\xa9", 2);
        struct quota wide = {.name = {name, 1000},
                             .limit_count = 1,
                             .limits = {{UINT32_MAX, 0, UINT32_MAX, QUOTA_MINUTE}}};
        struct quota_charge charge = {.quota = &wide};
        struct quota_decision decision = {
            .verdict = QUOTA_REFUSE, .has_binding = true, .limit = UINT32_MAX};
        char *text = malloc(REPLY_MESSAGE_MAX);
        char *end = reply_throttle_message(text, &decision, &charge);
        struct span left = {text, (size_t)(end - text)};
        assert_in_range(left.len, 250, REPLY_MESSAGE_MAX);
        while (left.len > 0) {
            size_t len = span_utf8_len(left);
            assert_int_not_equal(len, 0);
            left.ptr += len;
            left.len -= len;
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_fields_fit),
        cmocka_unit_test(test_message),
        cmocka_unit_test(test_long_names_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
