/* SPDX-License-Identifier: Apache-2.0 */
/* test_reply_error.c - statuses of what Sluice says itself, and its bodies in every dialect, to the byte. */
#include "reply_bench.h"

#define NOT_FOUND "The API does not exist or has not been published in the environment."
#define JSON      "application/json; charset=UTF-8"
#define VARY      "\r\nVary: Accept"
#define XML       "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"

static void test_statuses(void **state)
{
    (void)state;
    static const struct {
        enum reply_error_id id;
        unsigned status;
    } rows[] = {
        {REPLY_ERROR_NO_ROUTE, 404},          {REPLY_ERROR_THROTTLED, 429},
        {REPLY_ERROR_BAD_REQUEST, 400},       {REPLY_ERROR_BODY_TOO_LARGE, 413},
        {REPLY_ERROR_URI_TOO_LARGE, 414},     {REPLY_ERROR_HEADERS_TOO_LARGE, 431},
        {REPLY_ERROR_IDENTITY_REQUIRED, 401}, {REPLY_ERROR_ADDRESS_DENIED, 403},
        {REPLY_ERROR_UPSTREAM_FAILED, 502},   {REPLY_ERROR_NO_SERVER, 502},
        {REPLY_ERROR_UPSTREAM_TIMEOUT, 504},  {REPLY_ERROR_CLIENT_TIMEOUT, 408},
        {REPLY_ERROR_STORE_AWAY, 503},        {REPLY_ERROR_OVERLOADED, 503},
        {REPLY_ERROR_DRAINING, 503},          {REPLY_ERROR_INTERNAL, 500},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(reply_error_status(rows[i].id), rows[i].status);
}

/* like, prefix, without request_id -> Content-Type, body of a refusal, body of a 404 */
static const struct {
    enum reply_dialect_id like;
    const char *prefix;
    bool without_id, with_xml;
    const char *type, *throttled, *not_found;
} rows[] = {
    {REPLY_DIALECT_APIG, NULL, false, false, JSON,
     "{\"error_code\":\"APIG.0308\",\"error_msg\":\"over\",\"request_id\":\"" ID "\"}",
     "{\"error_code\":\"APIG.0101\",\"error_msg\":\"" NOT_FOUND "\",\"request_id\":\"" ID "\"}"},
    {REPLY_DIALECT_APIG, "OCR", true, false, JSON,
     "{\"error_code\":\"OCR.0308\",\"error_msg\":\"over\"}",
     "{\"error_code\":\"OCR.0101\",\"error_msg\":\"" NOT_FOUND "\"}"},
    {REPLY_DIALECT_IVA, NULL, false, false, JSON,
     "{\"error_msg\":\"over\",\"error_code\":\"IVA.0308\",\"request_id\":\"" ID "\"}",
     "{\"error_msg\":\"" NOT_FOUND "\",\"error_code\":\"IVA.0101\",\"request_id\":\"" ID "\"}"},
    {REPLY_DIALECT_MODELARTS, NULL, false, false, JSON,
     "{\"error_message\":\"over\",\"error_code\":\"ModelArts.0308\",\"error_msg\":\"over\","
     "\"request_id\":\"" ID "\"}",
     "{\"error_message\":\"" NOT_FOUND "\",\"error_code\":\"ModelArts.0101\",\"error_msg\":"
     "\"" NOT_FOUND "\",\"request_id\":\"" ID "\"}"},
    {REPLY_DIALECT_AS, NULL, false, false, JSON,
     "{\"error_code\":\"AS.0308\",\"error_msg\":\"over\"}",
     "{\"error_code\":\"AS.0101\",\"error_msg\":\"" NOT_FOUND "\"}"},
    {REPLY_DIALECT_AS_OTC, NULL, true, false, JSON,
     "{\"error_msg\":\"over\",\"error_code\":\"AS.0308\"}",
     "{\"error_msg\":\"" NOT_FOUND "\",\"error_code\":\"AS.0101\"}"},
    {REPLY_DIALECT_IMG, NULL, false, false, JSON,
     "{\"error_msg\":\"over\",\"error_code\":\"IMG.0308\"}",
     "{\"error_msg\":\"" NOT_FOUND "\",\"error_code\":\"IMG.0101\"}"},
    {REPLY_DIALECT_OPENSTACK, NULL, false, false, JSON,
     "{\"error\":{\"code\":\"APIG.0308\",\"message\":\"over\",\"title\":\"Too Many Requests\"}}",
     "{\"error\":{\"code\":\"APIG.0101\",\"message\":\"" NOT_FOUND "\",\"title\":\"Not Found\"}}"},
    {REPLY_DIALECT_PROBLEM, NULL, false, false, "application/problem+json",
     "{\"type\":\"https://iana.org/assignments/http-problem-types#quota-exceeded\","
     "\"title\":\"Request cannot be satisfied as assigned quota has been exceeded\","
     "\"status\":429,\"detail\":\"over\",\"violated-policies\":[\"user/minute\"],"
     "\"request_id\":\"" ID "\"}",
     "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"" NOT_FOUND
     "\",\"request_id\":\"" ID "\"}"},
    {REPLY_DIALECT_TEXT, NULL, false, true, "text/plain; charset=UTF-8",
     "APIG.0308 over (" ID ")\n", "APIG.0101 " NOT_FOUND " (" ID ")\n"},
    {REPLY_DIALECT_TEXT, "X", true, true, "text/plain; charset=UTF-8", "X.0308 over\n",
     "X.0101 " NOT_FOUND "\n"},
};

static const struct {
    enum reply_dialect_id like;
    bool without_id;
    const char *type, *throttled;
} xml_rows[] = {
    {REPLY_DIALECT_APIG, false, JSON VARY,
     XML "<error><error_code>APIG.0308</error_code><error_msg>over</error_msg><request_id>" ID
         "</request_id></error>"},
    {REPLY_DIALECT_IVA, true, JSON VARY,
     XML "<error><error_msg>over</error_msg><error_code>IVA.0308</error_code></error>"},
    {REPLY_DIALECT_OPENSTACK, false, JSON VARY,
     XML "<error><code>APIG.0308</code><message>over</message><title>Too Many Requests</title>"
         "</error>"},
    {REPLY_DIALECT_PROBLEM, true, "application/problem+json" VARY,
     XML "<error><type>https://iana.org/assignments/http-problem-types#quota-exceeded</type>"
         "<title>Request cannot be satisfied as assigned quota has been exceeded</title>"
         "<status>429</status><detail>over</detail><violated-policies><item>user/minute</item>"
         "</violated-policies></error>"},
};

static void compile(struct reply_body_dialect *dialect, struct arena *arena,
                    enum reply_dialect_id like, const char *prefix, bool without_id, bool with_xml)
{
    const struct reply_dialect_conf conf = {
        .like = like, .prefix = span_of(prefix), .with_request_id = !without_id};
    assert_null(reply_dialect_compile(dialect, &conf, with_xml, arena));
}

static void test_bodies(void **state)
{
    (void)state;
    const struct reply_error throttled = bench_throttled();
    const struct reply_error not_found = {.id = REPLY_ERROR_NO_ROUTE, .request_id = ID};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct arena arena;
        struct reply_body_dialect dialect;
        struct span type;
        arena_init(&arena, NULL, 0, 65536);
        compile(&dialect, &arena, rows[i].like, rows[i].prefix, rows[i].without_id,
                rows[i].with_xml);
        assert_false(dialect.has_xml);
        assert_string_equal(bench_body(&dialect, true, &throttled, &type), rows[i].throttled);
        assert_true(span_eq(type, span_of(rows[i].type)));
        assert_string_equal(bench_body(&dialect, false, &not_found, &type), rows[i].not_found);
        arena_fini(&arena);
    }
}

static void test_xml(void **state)
{
    (void)state;
    const struct reply_error throttled = bench_throttled();
    for (size_t i = 0; i < COUNT(xml_rows); i++) {
        struct arena arena;
        struct reply_body_dialect dialect;
        struct span type;
        arena_init(&arena, NULL, 0, 65536);
        compile(&dialect, &arena, xml_rows[i].like, NULL, xml_rows[i].without_id, true);
        assert_string_equal(bench_body(&dialect, true, &throttled, &type), xml_rows[i].throttled);
        assert_true(span_eq(type, SPAN("application/xml; charset=UTF-8" VARY)));
        bench_body(&dialect, false, &throttled, &type);
        assert_true(span_eq(type, span_of(xml_rows[i].type)));
        arena_fini(&arena);
    }
}

static void test_every_row_has_a_body(void **state)
{
    (void)state;
    struct arena arena;
    struct reply_body_dialect dialect;
    arena_init(&arena, NULL, 0, 65536);
    compile(&dialect, &arena, REPLY_DIALECT_APIG, NULL, false, false);
    for (unsigned id = 0; id < REPLY_ERRORS; id++) {
        struct span type;
        const struct reply_error error = {.id = id, .request_id = ID};
        const char *text = bench_body(&dialect, false, &error, &type);
        assert_memory_equal(text, "{\"error_code\":\"APIG.0", 20);
        assert_memory_equal(text + 24, "\",\"error_msg\":\"", 15);
        assert_non_null(strstr(text, ".\",\"request_id\":\"" ID "\"}"));
        assert_in_range(reply_error_status(id), 400, 599);
    }
    arena_fini(&arena);
}

/* Longer than anything that occurs: cut between two characters, the body stays whole. */
static void test_long_texts_are_cut(void **state)
{
    (void)state;
    char long_text[4000];
    memset(long_text, 1, sizeof(long_text)); /* six bytes each */
    const struct span all = {long_text, sizeof(long_text)};
    for (unsigned like = 0; like < REPLY_DIALECTS; like++) {
        struct arena arena;
        struct reply_body_dialect dialect;
        struct span type;
        struct reply_error error = bench_throttled();
        error.message = all;
        arena_init(&arena, NULL, 0, 65536);
        compile(&dialect, &arena, like, NULL, false, true);
        const char *text = bench_body(&dialect, false, &error, &type);
        assert_in_range(strlen(text), 900, REPLY_BODY_MAX);
        if (like != REPLY_DIALECT_TEXT)
            assert_string_equal(text + strlen(text) - 1, "}");
        assert_in_range(strlen(text), 1, dialect.own.throttled.max_bytes);
        assert_in_range(strlen(bench_body(&dialect, true, &error, &type)), 1,
                        dialect.has_xml ? dialect.xml.throttled.max_bytes : REPLY_BODY_MAX);
        arena_fini(&arena);
    }
}

static void test_a_throttle_message_fits_a_body(void **state)
{
    (void)state;
    char message[REPLY_MESSAGE_MAX];
    struct arena arena;
    struct reply_body_dialect dialect;
    struct span type;
    memset(message, '"', sizeof(message)); /* the worst that a quota's name brings in practice */
    const struct reply_error error = {
        .id = REPLY_ERROR_THROTTLED, .message = {message, sizeof(message)}, .request_id = ID};
    arena_init(&arena, NULL, 0, 65536);
    compile(&dialect, &arena, REPLY_DIALECT_APIG, NULL, false, false);
    unsigned escapes = 0;
    for (const char *at = bench_body(&dialect, false, &error, &type);
         (at = strstr(at, "\\\"")) != NULL; at += 2)
        escapes++;
    assert_int_equal(escapes, REPLY_MESSAGE_MAX);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_xml),
        cmocka_unit_test(test_every_row_has_a_body),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_a_throttle_message_fits_a_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
