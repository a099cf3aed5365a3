/* SPDX-License-Identifier: Apache-2.0 */
/* What of a head goes on to the other side. */
#include "http/http_helpers.h"
#include "http/http_write.h"

#define BIT(id) HTTP_FIELD_BIT(HTTP_FIELD_##id)

struct row {
    const char *fields;
    uint64_t drop;
    const char *kept;
};

static const struct row ROWS[] = {
    {"", 0, ""},
    {"A: b\r\n", 0, "A: b\r\n"},
    {"A:b\r\nHost:  c \r\nD: e\t\r\n", 0, "A:b\r\nHost:  c \r\nD: e\t\r\n"},
    {"Host: a\r\nB: c\r\n", BIT(HOST), "B: c\r\n"},
    {"B: c\r\nHost: a\r\n", BIT(HOST), "B: c\r\n"},
    {"B: c\r\nHost: a\r\nD: e\r\n", BIT(HOST), "B: c\r\nD: e\r\n"},
    {"Host: a\r\n", BIT(HOST), ""},
    {"Via: a\r\nVia: b\r\nC: d\r\nVia: e\r\n", BIT(VIA), "C: d\r\n"},

    /* hop-by-hop */
    {"Connection: close\r\nA: b\r\n", 0, "A: b\r\n"},
    {"A: b\r\nKeep-Alive: timeout=5\r\nC: d\r\n", 0, "A: b\r\nC: d\r\n"},
    {"TE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nProxy-Connection: close\r\n"
     "Proxy-Authorization: x\r\nProxy-Authenticate: y\r\nA: b\r\n",
     0, "A: b\r\n"},
    {"Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n", 0,
     "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n"},
    {"Transfer-Encoding: chunked\r\nA: b\r\n", BIT(TRANSFER_ENCODING) | BIT(CONTENT_LENGTH),
     "A: b\r\n"},

    /* nominated */
    {"Connection: X-Foo\r\nX-Foo: 1\r\nX-Bar: 2\r\nx-fOO: 3\r\n", 0, "X-Bar: 2\r\n"},
    {"X-Foo: 1\r\nX-Bar: 2\r\nConnection: close, x-bar ,, X-foo\r\n", 0, ""},
    {"Connection: a\r\nA: 1\r\nB: 2\r\nConnection: b\r\n", 0, ""},
    {"Connection: cache-control\r\nCache-Control: no-store\r\nA: b\r\n", 0, "A: b\r\n"},
    {"Connection: content-length, transfer-encoding, host\r\nHost: a\r\nContent-Length: 5\r\n", 0,
     "Host: a\r\nContent-Length: 5\r\n"},
    {"Connection: X-Foo\r\nX-Fooo: 1\r\nX-Fo: 2\r\n", 0, "X-Fooo: 1\r\nX-Fo: 2\r\n"},

    {"A: 1\r\nB: 2\r\n", HTTP_FIELD_BIT(HTTP_FIELD_OTHER), "A: 1\r\nB: 2\r\n"},
};

static void test_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        const struct row *row = &ROWS[i];
        char text[512], out[512];
        snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\nbody", row->fields);
        struct test_head t;
        test_response(&t, text);
        char *end = http_write_fields(out, &t.head, row->drop);
        assert_true((size_t)(end - out) <= t.head.bytes);
        test_span_is((struct span){out, (size_t)(end - out)}, row->kept);
    }
}

static const struct span GONE[] = {{"x-client", 8}, {"Server", 6}, {"X_Both-Ways", 11}};

static const struct row ROWS_BUT[] = {
    {"", 0, ""},
    {"A: b\r\n", 0, "A: b\r\n"},
    {"X-Client: 1\r\nA: b\r\nx-CLIENT: 2\r\nX_Client: 3\r\n", 0, "A: b\r\n"},
    {"X-Clients: 1\r\nX-Clien: 2\r\nXClient: 3\r\n", 0,
     "X-Clients: 1\r\nX-Clien: 2\r\nXClient: 3\r\n"},
    {"Server: a\r\nVia: b\r\nHost: c\r\n", BIT(VIA), "Host: c\r\n"},
    {"x-both-ways: 1\r\nX-Both_Ways: 2\r\nx_both_ways: 3\r\nA: b\r\n", 0, "A: b\r\n"},
    {"Connection: X-Foo\r\nX-Foo: 1\r\nServer: a\r\nA: b\r\n", 0, "A: b\r\n"},
    {"Connection: X-Client\r\nX-Client: 1\r\nA: b\r\n", 0, "A: b\r\n"},
};

static void test_fields_but(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS_BUT) / sizeof(ROWS_BUT[0]); i++) {
        const struct row *row = &ROWS_BUT[i];
        char text[512], out[512];
        snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\nbody", row->fields);
        struct test_head t;
        test_response(&t, text);
        char *end = http_write_fields_but(out, &t.head, row->drop, (struct http_names){GONE, 3});
        test_span_is((struct span){out, (size_t)(end - out)}, row->kept);
    }
}

static void test_trailers_but(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", 0, ""},
        {"X-Sum: 1\r\n", 0, "X-Sum: 1\r\n"},
        {"X-Sum: 1\r\nserver: x\r\nB:\r\n", 0, "X-Sum: 1\r\nB:\r\n"},
        {"x_client: a:b\r\n", 0, ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[64];
        char *end =
            http_write_trailers_but(out, span_of(rows[i].fields), (struct http_names){GONE, 3});
        test_span_is((struct span){out, (size_t)(end - out)}, rows[i].kept);
    }
}

static void test_values(void **state)
{
    (void)state;
    static const char *const good[] = {"", "a", "a b\tc", "\xc3\xa9", "\x80", "\"", "!~"};
    static const char *const bad[] = {" a",        "a ",   "\ta",  "a\t",
                                      "a\r\nB: c", "a\nb", "\x7f", "\x01"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(http_is_value(span_of(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(http_is_value(span_of(bad[i])));
    assert_false(http_is_value((struct span){"a\0b", 3}));
    assert_true(http_is_value(SPAN_NONE));
}

/* What was kept reads the same again. */
static void test_round_trip(void **state)
{
    (void)state;
    struct test_head t, again;
    char text[512];
    test_request(&t, "GET /x HTTP/1.1\r\nHost: a\r\nAccept: \t*/* \r\nConnection: x-y\r\n"
                     "X-Y: 1\r\nCookie: \x80\xff\r\nEmpty:\r\n\r\n");
    size_t line = (size_t)snprintf(text, sizeof(text), "GET /x HTTP/1.1\r\n");
    char *end = http_write_fields(text + line, &t.head, 0);
    memcpy(end, "\r\n", 3);
    test_request(&again, text);
    assert_int_equal(again.head.field_count, 4);
    test_span_is(http_field_value(&again.head, &again.fields[1]), "*/*");
    test_span_is(http_field_value(&again.head, &again.fields[2]), "\x80\xff");
    test_span_is(http_field_value(&again.head, &again.fields[3]), "");
}

static void test_reasons(void **state)
{
    (void)state;
    test_span_is(http_status_reason(200), "OK");
    test_span_is(http_status_reason(429), "Too Many Requests");
    test_span_is(http_status_reason(431), "Request Header Fields Too Large");
    test_span_is(http_status_reason(503), "Service Unavailable");
    test_span_is(http_status_reason(299), "Success");
    test_span_is(http_status_reason(499), "Client Error");
    test_span_is(http_status_reason(0), "");
    test_span_is(http_status_reason(600), "");
    for (unsigned status = 100; status < 600; status++)
        assert_true(http_status_reason(status).len > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),       cmocka_unit_test(test_fields_but),
        cmocka_unit_test(test_trailers_but), cmocka_unit_test(test_values),
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
