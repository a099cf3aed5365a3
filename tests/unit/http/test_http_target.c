/* SPDX-License-Identifier: Apache-2.0 */
/* Host and target together: forms, hosts, and the two disagreeing. */
#include "http/http_framing.h"
#include "http/http_helpers.h"

struct row {
    const char *line;  /* method and target */
    const char *hosts; /* field lines */
    enum http_fault_id fault;
    const char *authority, *host, *path, *query;
};
#define OK    HTTP_FAULT_NONE
#define F(id) HTTP_FAULT_##id, NULL, NULL, NULL, NULL

#define X255                                                                                       \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                              \
    "."                                                                                            \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                              \
    "."                                                                                            \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                              \
    "."                                                                                            \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct row ROWS[] = {
    {"GET /", "Host: a\r\n", OK, "a", "a", "/", NULL},
    {"GET /a/b?c=d?e", "Host: A.example:8080\r\n", OK, "A.example:8080", "A.example", "/a/b",
     "c=d?e"},
    {"GET /?", "Host: a\r\n", OK, "a", "a", "/", ""},
    {"GET //b", "Host: a\r\n", OK, "a", "a", "//b", NULL},
    {"GET /http://b/", "Host: a\r\n", OK, "a", "a", "/http://b/", NULL},
    {"GET /", "Host: a.\r\n", OK, "a.", "a.", "/", NULL},
    {"GET /", "Host: a_b-c.d\r\n", OK, "a_b-c.d", "a_b-c.d", "/", NULL},
    {"GET /", "Host: 127.0.0.1\r\n", OK, "127.0.0.1", "127.0.0.1", "/", NULL},
    {"GET /", "Host: 127.0.0.1:80\r\n", OK, "127.0.0.1:80", "127.0.0.1", "/", NULL},
    {"GET /", "Host: [::1]\r\n", OK, "[::1]", "[::1]", "/", NULL},
    {"GET /", "Host: [2001:db8::1]:443\r\n", OK, "[2001:db8::1]:443", "[2001:db8::1]", "/", NULL},
    {"GET /", "Host: [::ffff:1.2.3.4]\r\n", OK, "[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", "/", NULL},
    {"GET /", "Host: a:1\r\n", OK, "a:1", "a", "/", NULL},
    {"GET /", "Host: a:65535\r\n", OK, "a:65535", "a", "/", NULL},
    {"GET /", "Host: " X255 "\r\n", OK, X255, X255, "/", NULL},
    {"OPTIONS *", "Host: a\r\n", OK, "a", "a", "*", NULL},
    {"OPTIONS /a", "Host: a\r\n", OK, "a", "a", "/a", NULL},
    {"GET http://a/b?c", "Host: a\r\n", OK, "a", "a", "/b", "c"},
    {"GET HTTP://A:80/b", "Host: a:80\r\n", OK, "A:80", "A", "/b", NULL},
    {"GET https://a/", "Host: a\r\n", OK, "a", "a", "/", NULL},
    {"GET http://a", "Host: a\r\n", OK, "a", "a", "/", NULL},
    {"GET http://a?q", "Host: a\r\n", OK, "a", "a", "/", "q"},
    {"GET http://[::1]:8/", "Host: [::1]:8\r\n", OK, "[::1]:8", "[::1]", "/", NULL},
    {"OPTIONS http://a", "Host: a\r\n", OK, "a", "a", "*", NULL},
    {"OPTIONS http://a?q", "Host: a\r\n", OK, "a", "a", "/", "q"},
    {"OPTIONS http://a/", "Host: a\r\n", OK, "a", "a", "/", NULL},

    {"GET *", "Host: a\r\n", F(BAD_TARGET)},
    {"OPTIONS *a", "Host: a\r\n", F(BAD_TARGET)},
    {"OPTIONS **", "Host: a\r\n", F(BAD_TARGET)},
    {"GET a", "Host: a\r\n", F(BAD_TARGET)},
    {"GET a/b", "Host: a\r\n", F(BAD_TARGET)},
    {"GET ?a", "Host: a\r\n", F(BAD_TARGET)},
    {"GET a:80", "Host: a:80\r\n", F(BAD_TARGET)},
    {"GET \\a", "Host: a\r\n", F(BAD_TARGET)},
    {"GET ftp://a/", "Host: a\r\n", F(BAD_TARGET)},
    {"GET ws://a/", "Host: a\r\n", F(BAD_TARGET)},
    {"GET http:/a/", "Host: a\r\n", F(BAD_TARGET)},
    {"GET http:a", "Host: a\r\n", F(BAD_TARGET)},
    {"GET http://", "Host: a\r\n", F(BAD_TARGET)},
    {"GET http:///b", "Host: a\r\n", F(BAD_TARGET)},
    {"GET http://?b", "Host: a\r\n", F(BAD_TARGET)},
    {"GET http:\\\\a/", "Host: a\r\n", F(BAD_TARGET)},
    {"GET http://u@a/", "Host: a\r\n", F(BAD_TARGET)},
    {"GET http://u:p@a/", "Host: a\r\n", F(BAD_TARGET)},
    {"GET http://a\\b/", "Host: a\r\n", F(BAD_TARGET)},
    {"GET http://a,b/", "Host: a,b\r\n", F(BAD_TARGET)},
    {"GET http://a%41/", "Host: aA\r\n", F(BAD_TARGET)},
    {"GET http://a:/", "Host: a:\r\n", F(BAD_TARGET)},
    {"GET http://a:0/", "Host: a:0\r\n", F(BAD_TARGET)},
    {"GET http://a:65536/", "Host: a:65536\r\n", F(BAD_TARGET)},
    {"GET http://[::1/", "Host: a\r\n", F(BAD_TARGET)},
    {"GET http://[::1]x/", "Host: a\r\n", F(BAD_TARGET)},
    {"CONNECT a:443", "Host: a:443\r\n", F(CONNECT_REFUSED)},
    {"CONNECT /", "Host: a\r\n", F(CONNECT_REFUSED)},

    {"GET http://a/", "Host: b\r\n", F(HOST_MISMATCH)},
    {"GET http://a/", "Host: a:80\r\n", F(HOST_MISMATCH)},
    {"GET http://a:80/", "Host: a\r\n", F(HOST_MISMATCH)},
    {"GET http://a/", "Host: a.\r\n", F(HOST_MISMATCH)},
    {"GET http://a/", "", F(BAD_HOST)},
    {"GET http://a/", "Host: a b\r\n", F(BAD_HOST)},

    {"GET /", "", F(BAD_HOST)},
    {"GET /", "Host:\r\n", F(BAD_HOST)},
    {"GET /", "Host: a\r\nHost: a\r\n", F(BAD_HOST)},
    {"GET /", "Host: a\r\nA: b\r\nhOST: b\r\n", F(BAD_HOST)},
    {"GET /", "Host: a,b\r\n", F(BAD_HOST)},
    {"GET /", "Host: a b\r\n", F(BAD_HOST)},
    {"GET /", "Host: a\tb\r\n", F(BAD_HOST)},
    {"GET /", "Host:\ta\r\n", F(BAD_HOST)},
    {"GET /", "Host: a\t\r\n", F(BAD_HOST)},
    {"GET /", "Host: a/b\r\n", F(BAD_HOST)},
    {"GET /", "Host: a?b\r\n", F(BAD_HOST)},
    {"GET /", "Host: a#b\r\n", F(BAD_HOST)},
    {"GET /", "Host: u@a\r\n", F(BAD_HOST)},
    {"GET /", "Host: http://a\r\n", F(BAD_HOST)},
    {"GET /", "Host: a\\b\r\n", F(BAD_HOST)},
    {"GET /", "Host: \"a\"\r\n", F(BAD_HOST)},
    {"GET /", "Host: <a>\r\n", F(BAD_HOST)},
    {"GET /", "Host: a%00\r\n", F(BAD_HOST)},
    {"GET /", "Host: \xc3\xa9.fr\r\n", F(BAD_HOST)},
    {"GET /", "Host: a:\r\n", F(BAD_HOST)},
    {"GET /", "Host: :80\r\n", F(BAD_HOST)},
    {"GET /", "Host: a:0\r\n", F(BAD_HOST)},
    {"GET /", "Host: a:080\r\n", F(BAD_HOST)},
    {"GET /", "Host: a:65536\r\n", F(BAD_HOST)},
    {"GET /", "Host: a:999999\r\n", F(BAD_HOST)},
    {"GET /", "Host: a:80:80\r\n", F(BAD_HOST)},
    {"GET /", "Host: a:8x\r\n", F(BAD_HOST)},
    {"GET /", "Host: a: 80\r\n", F(BAD_HOST)},
    {"GET /", "Host: .\r\n", F(BAD_HOST)},
    {"GET /", "Host: .a\r\n", F(BAD_HOST)},
    {"GET /", "Host: a..b\r\n", F(BAD_HOST)},
    {"GET /", "Host: a..\r\n", F(BAD_HOST)},
    {"GET /", "Host: " X255 "a\r\n", F(BAD_HOST)},
    {"GET /", "Host: ::1\r\n", F(BAD_HOST)},
    {"GET /", "Host: [\r\n", F(BAD_HOST)},
    {"GET /", "Host: []\r\n", F(BAD_HOST)},
    {"GET /", "Host: [::1\r\n", F(BAD_HOST)},
    {"GET /", "Host: [::1]80\r\n", F(BAD_HOST)},
    {"GET /", "Host: [::1%25eth0]\r\n", F(BAD_HOST)},
    {"GET /", "Host: [1.2.3.4]\r\n", F(BAD_HOST)},
    {"GET /", "Host: [v1.a:b]\r\n", F(BAD_HOST)},
    {"GET /", "Host: [::g]\r\n", F(BAD_HOST)},
    {"GET /", "Host: ]\r\n", F(BAD_HOST)},
};

static const struct row ROWS_1_0[] = {
    {"GET /", "", OK, "", "", "/", NULL},
    {"GET /", "Host: a\r\n", OK, "a", "a", "/", NULL},
    {"GET http://a/", "", OK, "a", "a", "/", NULL},
    {"GET /", "Host:\r\n", F(BAD_HOST)},
    {"GET /", "Host: a\r\nHost: b\r\n", F(BAD_HOST)},
    {"GET http://a/", "Host: b\r\n", F(HOST_MISMATCH)},
};

static void check_row(const char *version, const struct row *row)
{
    char text[1024];
    snprintf(text, sizeof(text), "%s %s\r\n%s\r\n", row->line, version, row->hosts);
    struct test_head t;
    test_request(&t, text);
    struct http_target target;
    struct http_fault fault = {HTTP_FAULT_NONE, 0};
    enum http_parse parse = http_target_parse(&t.head, &target, &fault);
    if (fault.id != row->fault)
        fail_msg("%s: %s", http_fault_name(fault.id), text);
    if (row->fault != OK) {
        assert_int_equal(parse, HTTP_PARSE_BAD);
        return;
    }
    assert_int_equal(parse, HTTP_PARSE_OK);
    test_span_is(target.authority, row->authority);
    test_span_is(target.host, row->host);
    test_span_is(target.path, row->path);
    if (row->query == NULL)
        assert_null(target.query.ptr);
    else
        test_span_is(target.query, row->query);
    assert_int_equal(target.is_absolute,
                     strstr(row->line, " /") == NULL && strchr(row->line, '*') == NULL);
}

/* A Host like the last good one is not judged again: the answer must be the same, and of this request's bytes. */
static void test_hosts_one_after_the_other(void **state)
{
    (void)state;
    static const struct {
        const char *value, *host; /* host NULL: bad */
    } hosts[] = {
        {"a.example:80", "a.example"},
        {"a.example:80", "a.example"},
        {"a.example:8", "a.example"},
        {"a.example:80", "a.example"},
        {"a.example:0", NULL},
        {"a.example:80", "a.example"},
        {"A.example:80", "A.example"},
        {"a.example", "a.example"},
        {"", NULL},
        {"a.example", "a.example"},
        {"a..example", NULL},
        {"a", "a"},
        {"b", "b"},
        {"[::1]:80", "[::1]"},
        {"[::1]:80", "[::1]"},
        {"a2345678901234567890123456789012345678901234567890123456789012", /* the longest that is kept */
         "a2345678901234567890123456789012345678901234567890123456789012"},
        {"a2345678901234567890123456789012345678901234567890123456789013",
         "a2345678901234567890123456789012345678901234567890123456789013"},
        {"a23456789012345678901234567890123456789012345678901234567890123",
         "a23456789012345678901234567890123456789012345678901234567890123"},
        {"a23456789012345678901234567890123456789012345678901234567890123.",
         "a23456789012345678901234567890123456789012345678901234567890123."},
        {"a2345678901234567890123456789012345678901234567890123456789013",
         "a2345678901234567890123456789012345678901234567890123456789013"},
    };
    struct http_host_memo memo = {.len = 0};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[i].value);
        struct test_head t;
        test_request(&t, text);
        struct http_target target;
        struct http_fault fault = {HTTP_FAULT_NONE, 0};
        enum http_parse parse = http_target_parse_next(&t.head, &memo, &target, &fault);
        if (hosts[i].host == NULL) {
            assert_int_equal(parse, HTTP_PARSE_BAD);
            assert_int_equal(fault.id, HTTP_FAULT_BAD_HOST);
            continue;
        }
        assert_int_equal(parse, HTTP_PARSE_OK);
        test_span_is(target.authority, hosts[i].value);
        test_span_is(target.host, hosts[i].host);
        assert_ptr_equal(target.host.ptr,
                         http_head_first(&t.head, HTTP_FIELD_HOST)->value_off + t.head.base);
    }
}

static void test_targets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        check_row("HTTP/1.1", &ROWS[i]);
    for (size_t i = 0; i < sizeof(ROWS_1_0) / sizeof(ROWS_1_0[0]); i++)
        check_row("HTTP/1.0", &ROWS_1_0[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_hosts_one_after_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
