/* SPDX-License-Identifier: Apache-2.0 */
/* test_reply_fields.c - the dialects of headers beside the trio, and what of the server's they replace. */
#include "reply_bench.h"
#include "reply/reply_fields.h"

#define POLICY                                                                                     \
    "RateLimit-Policy: \"user/minute\";q=100;w=60, \"user/day\";q=5000;w=86400, "                  \
    "\"ip/10 second\";q=10;w=10\r\n"
#define LIMIT                                                                                      \
    "RateLimit: \"user/minute\";r=0;t=20, \"user/day\";r=679;t=85400, \"ip/10 "                    \
    "second\";r=9;t=10\r\n"
#define APIG                                                                                       \
    "X-Apig-RateLimit-user: remain:0,limit:100,time:1 minute\r\n"                                  \
    "X-Apig-RateLimit-ip: remain:9,limit:10,time:10 second\r\n"
#define GITHUB "X-RateLimit-Limit: 100\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1020\r\n"
#define TRIO   "X-ratelimit: 100\r\nX-ratelimit-used: 0\r\nX-ratelimit-window: minute\r\n"
#define RETRY  "Retry-After: 20\r\n"

static const struct {
    uint32_t dialects;
    const char *want;
} rows[] = {
    {0, RETRY},
    {REPLY_IETF, POLICY LIMIT RETRY},
    {REPLY_X_APIG, APIG RETRY},
    {REPLY_GITHUB, GITHUB RETRY},
    {REPLY_X_RATELIMIT | REPLY_IETF | REPLY_X_APIG | REPLY_GITHUB,
     POLICY LIMIT APIG GITHUB TRIO RETRY},
};

static void test_fields(void **state)
{
    (void)state;
    const struct reply_headers headers = {0};
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[REPLY_LIMITS_MAX + REPLY_LIMITS_OTHER_MAX + 1];
        *reply_limit_fields(text, &headers, rows[i].dialects, &bench_refusal, bench_charges,
                            COUNT(bench_charges)) = '\0';
        assert_string_equal(text, rows[i].want);
    }
}

/* Of one quota the tightest window is shown: the one that refused, else by remaining/limit, else the first. */
static void test_the_tightest_window(void **state)
{
    (void)state;
    static const struct {
        struct quota_reading minute, day;
        const char *want;
    } cases[] = {
        {{0, 50, 100, false}, {0, 4000, 5000, false}, "remain:1000,limit:5000,time:1 day"},
        {{0, 90, 100, false}, {0, 4000, 5000, false}, "remain:10,limit:100,time:1 minute"},
        {{0, 50, 100, false}, {0, 2500, 5000, false}, "remain:50,limit:100,time:1 minute"},
        {{0, 100, 100, false}, {0, 4999, 5000, true}, "remain:1,limit:5000,time:1 day"},
        {{0, 0, 0, true}, {0, 5000, 5000, false}, "remain:0,limit:0,time:1 minute"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[REPLY_LIMITS_OTHER_MAX], want[200];
        struct quota_charge charge = {.quota = &bench_quotas[0],
                                      .readings = {cases[i].minute, cases[i].day}};
        struct quota_decision decision = {.verdict = QUOTA_ALLOW, .has_binding = true};
        *reply_other_fields(text, REPLY_X_APIG, &decision, &charge, 1) = '\0';
        snprintf(want, sizeof(want), "X-Apig-RateLimit-user: %s\r\n", cases[i].want);
        assert_string_equal(text, want);
    }
}

/* Nothing counted, nothing shown. */
static void test_no_binding(void **state)
{
    (void)state;
    char text[REPLY_LIMITS_OTHER_MAX];
    const struct reply_headers headers = {0};
    struct quota_decision decision = {.verdict = QUOTA_DEGRADED_ALLOW};
    char *end = reply_limit_fields(text, &headers, 15, &decision, bench_charges, 3);
    assert_ptr_equal(end, text);
}

static void test_the_largest_fits(void **state)
{
    (void)state;
    char name[1000];
    struct quota quota = {.name = {name, sizeof(name)}, .limit_count = QUOTA_WINDOWS_MAX};
    struct quota_charge charges[QUOTA_MAX_PER_ROUTE];
    struct quota_decision decision = bench_refusal;
    const struct reply_headers headers = {0};
    memset(name, 'n', sizeof(name));
    for (unsigned w = 0; w < QUOTA_WINDOWS_MAX; w++)
        quota.limits[w] = (struct quota_limit){UINT32_MAX, UINT32_MAX, UINT32_MAX, QUOTA_MINUTE};
    for (unsigned i = 0; i < COUNT(charges); i++) {
        charges[i] = (struct quota_charge){.quota = &quota};
        for (unsigned w = 0; w < QUOTA_WINDOWS_MAX; w++)
            charges[i].readings[w] = (struct quota_reading){UINT32_MAX, 0, UINT32_MAX, true};
    }
    decision.now_s = 0;
    size_t room = reply_limits_max(15);
    char *text = malloc(room);
    char *end = reply_limit_fields(text, &headers, 15, &decision, charges, COUNT(charges));
    assert_in_range(end - text, 5000, room);
    free(text);

    /* and so does the list of violated policies */
    struct arena arena;
    struct reply_body_dialect dialect;
    struct span type;
    const struct reply_dialect_conf conf = {.like = REPLY_DIALECT_PROBLEM};
    struct reply_error error = bench_throttled();
    error.charges = charges;
    error.charge_count = COUNT(charges);
    arena_init(&arena, NULL, 0, 65536);
    assert_null(reply_dialect_compile(&dialect, &conf, true, &arena));
    assert_in_range(strlen(bench_body(&dialect, true, &error, &type)), 2000, REPLY_BODY_MAX);
    arena_fini(&arena);
}

static void test_string_lists(void **state)
{
    (void)state;
    static const char *const good[] = {
        "\"a\"",
        "\"burst\";q=100;w=60,\"daily\";q=1000;w=86400",
        "\"default\";q=100;w=10",
        "\"permin\";q=50;w=60,\"perhr\";q=1000;w=3600",
        "\"peruser\";q=100;w=60;pk=:cHsdsRa894==:",
        "\"peruser\";q=65535;qu=\"content-bytes\";w=10;pk=:sdfjLJUOUH==:",
        "\"default\";r=50;t=30",
        "\"default\";r=999;pk=:dHJpYWwxMjEzMjM=:",
        "\"default\";r=300000000;t=60;pk=:QXBwLTk5OQ==:",
        " \"a\" \t, \t\"b\"; x ",
        "\"a\\\"b\\\\\";x=?1;y=?0;z=tok/en:x;*a.b-c_d=-1.5",
    };
    static const char *const bad[] = {
        "",
        "a",
        "100",
        "limit=100, remaining=50, reset=5",
        "100, 100;w=60",
        "\"a\",",
        "\"a\" \"b\"",
        "\"a",
        "\"a\\",
        "\"a\\x\"",
        "\"a\xc3\xa9\"",
        "\"a\tb\"",
        "\"a\";",
        "\"a\";Q=1",
        "\"a\";q=",
        "\"a\";q=1.",
        "\"a\";q=1.2345",
        "\"a\";q=1234567890123456",
        "\"a\";q=1234567890123.1",
        "\"a\";q=-",
        "\"a\";q=?2",
        "\"a\";q=:a",
        "\"a\";q =1",
        "\"a\" ;q=1",
        "(\"a\" \"b\")",
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        if (!reply_is_string_list(span_of(good[i])))
            fail_msg("%s", good[i]);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (reply_is_string_list(span_of(bad[i])))
            fail_msg("%s", bad[i]);
    }
}

static void test_replaced(void **state)
{
    (void)state;
    static const char head[] =
        "HTTP/1.1 200 OK\r\nRateLimit: \"a\";r=1\r\nRateLimit-Policy: \"a\"\r\n"
        "RateLimit-Policy: limit=5\r\nX-Apig-RateLimit-api: x\r\n"
        "x-apig-ratelimits: y\r\n\r\n";
    struct http_field fields[8];
    struct http_head parsed = {.fields = fields, .field_max = 8};
    struct http_fault fault;
    const struct http_head_limits limits = {1000, 1000, 1000, 8};
    size_t scanned = 0;
    assert_int_equal(
        http_head_parse_response(&parsed, head, sizeof(head) - 1, &scanned, &limits, &fault),
        HTTP_PARSE_OK);
#define BIT(id) HTTP_FIELD_BIT(HTTP_FIELD_##id)
    assert_int_equal(reply_replaced_fields(0, &parsed), 0);
    assert_int_equal(reply_replaced_fields(REPLY_X_RATELIMIT, &parsed),
                     BIT(X_RATELIMIT) | BIT(X_RATELIMIT_USED) | BIT(X_RATELIMIT_WINDOW));
    assert_int_equal(reply_replaced_fields(REPLY_IETF, &parsed), BIT(RATELIMIT_POLICY));
    assert_int_equal(reply_replaced_fields(REPLY_GITHUB | REPLY_X_APIG, &parsed),
                     BIT(X_RATELIMIT_LIMIT) | BIT(X_RATELIMIT_REMAINING) | BIT(X_RATELIMIT_RESET) |
                         BIT(X_APIG_RATELIMIT));
#undef BIT
    http_head_mark(&parsed, SPAN("x-apig-ratelimit-"), HTTP_FIELD_X_APIG_RATELIMIT);
    assert_int_equal(fields[3].id, HTTP_FIELD_X_APIG_RATELIMIT);
    assert_int_equal(fields[4].id, HTTP_FIELD_OTHER);
    assert_int_equal(fields[0].id, HTTP_FIELD_RATELIMIT);
}

static void test_retry_after(void **state)
{
    (void)state;
    static const struct {
        uint32_t percent;
        uint64_t us;
        uint32_t seconds;
        uint64_t random;
        uint32_t want;
    } cases[] = {
        {0, 0, 20, 12345, 20},
        {10, 0, 20, 0, 20},
        {10, 0, 20, 1, 21},       /* up to 2 s: whole seconds */
        {10, 0, 20, 2000000, 22}, /* the most */
        {10, 0, 20, 2000001, 20}, /* begins anew */
        {10, 0, 1, 100000, 2},
        {100, 0, 60, 60000000, 120},
        {0, 3000000, 1, 3000000, 4},
        {0, 500000, 1, 500000, 2},
        {100, 0, UINT32_MAX, UINT64_C(1) << 40, UINT32_MAX},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct reply_headers headers = {.jitter_percent = cases[i].percent,
                                              .jitter_us = cases[i].us};
        assert_int_equal(reply_retry_after(&headers, cases[i].seconds, cases[i].random),
                         cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),       cmocka_unit_test(test_the_tightest_window),
        cmocka_unit_test(test_no_binding),   cmocka_unit_test(test_the_largest_fits),
        cmocka_unit_test(test_string_lists), cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_retry_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
