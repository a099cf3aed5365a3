/* SPDX-License-Identifier: Apache-2.0 */
/* Heads: what is accepted, what is refused and why, and that packets cut anywhere change nothing. */
#include "http/http_helpers.h"

typedef enum http_parse (*parse_fn)(struct http_head *, const char *, size_t, size_t *,
                                    const struct http_head_limits *, struct http_fault *);

#define INCOMPLETE (-1)
#define GOOD       0
#define BAD(id)    HTTP_FAULT_##id

struct row {
    const char *bytes;
    size_t len;
    int expected; /* GOOD, INCOMPLETE or a fault */
};
#define ROW(expected, text)                                                                        \
    {                                                                                              \
        (text), sizeof(text) - 1, (expected)                                                       \
    }

#define H "Host: a\r\n"
#define G "GET / HTTP/1.1\r\n"

static const struct row REQUESTS[] = {
    ROW(GOOD, G H "\r\n"),
    ROW(GOOD, G "\r\n"),
    ROW(GOOD, "GET / HTTP/1.0\r\n\r\n"),
    ROW(GOOD, "FOO /bar?x=%20&y=[]{}|^`\\ HTTP/1.1\r\n" H "\r\n"),
    ROW(GOOD, "QUERY / HTTP/1.1\r\n\r\n"),
    ROW(GOOD, "!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\n\r\n"),
    ROW(GOOD, "get / HTTP/1.1\r\n\r\n"),
    ROW(GOOD, "OPTIONS * HTTP/1.1\r\n" H "\r\n"),
    ROW(GOOD, "CONNECT a:1 HTTP/1.1\r\n" H "\r\n"),
    ROW(GOOD, "GET http://a/ HTTP/1.1\r\n" H "\r\n"),
    ROW(GOOD, G "A:\r\n\r\n"),
    ROW(GOOD, G "A: \r\n\r\n"),
    ROW(GOOD, G "A: \t \t\r\n\r\n"),
    ROW(GOOD, G "A:b\r\n\r\n"),
    ROW(GOOD, G "A:\tb\t\r\n\r\n"),
    ROW(GOOD, G "A: b\tc d\r\n\r\n"),
    ROW(GOOD, G "A: \x80\xff\xc3\xa9\r\n\r\n"),
    ROW(GOOD, G "A: :::\r\n\r\n"),
    ROW(GOOD, G "!#$%&'*+-.^_`|~09azAZ: 1\r\n\r\n"),
    ROW(GOOD, G "a_b: 1\r\n\r\n"),
    ROW(GOOD, G "x_api_key: 1\r\n\r\n"),
    ROW(GOOD, G "Content-Length: 3\r\nContent-Length: 4\r\n\r\n"), /* http_framing refuses */
    ROW(GOOD, G "A: 1\r\n\r\nGET"),
    ROW(GOOD, G "A: 1\r\n\r\n\0\0"),
    ROW(GOOD, G "X-Long-Name-Of-More-Than-Sixteen-Bytes: value of more than sixteen bytes\r\n\r\n"),
    ROW(GOOD, G "a234567890123456: 234567890123456\r\nb: 2\r\n\r\n"),
    ROW(GOOD, G "a23456789012345: 23456789012345\r\nb: 2\r\n\r\n"),
    ROW(GOOD, G "Upgrade: a\r\nupgrade: b\r\n\r\n"),

    /* not all there */
    ROW(INCOMPLETE, ""),
    ROW(INCOMPLETE, "G"),
    ROW(INCOMPLETE, "GET"),
    ROW(INCOMPLETE, "GET "),
    ROW(INCOMPLETE, "GET /"),
    ROW(INCOMPLETE, "GET / "),
    ROW(INCOMPLETE, "GET / HTTP/"),
    ROW(INCOMPLETE, "GET / HTTP/1.1"),
    ROW(INCOMPLETE, "GET / HTTP/1.1\r"),
    ROW(INCOMPLETE, G),
    ROW(INCOMPLETE, G "\r"),
    ROW(INCOMPLETE, G "A"),
    ROW(INCOMPLETE, G "A:"),
    ROW(INCOMPLETE, G "A: b"),
    ROW(INCOMPLETE, G "A: b\r"),
    ROW(INCOMPLETE, G "A: b\r\n"),
    ROW(INCOMPLETE, G "A: b\r\n\r"),
    ROW(INCOMPLETE, "\r"),

    /* request line */
    ROW(BAD(BAD_REQUEST_LINE), "\r\n" G "\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), " GET / HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET  / HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET /  HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET / HTTP/1.1 \r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET / a HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET /\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET /\r\nHost: a\r\n\r\nbody"),
    ROW(BAD(BAD_REQUEST_LINE), "GET / \r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET \r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET / RTSP/1.0\r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "SOURCE / ICE/1.0\r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET / http/1.1\r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET / HTTP/1\r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET / HTTP/11\r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET / HTTP/1.10\r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET / HTTP/1.1x\r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET / HTTP/1,1\r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET / HTTP/x.1\r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET / HTTP /1.1\r\n\r\n"),
    ROW(BAD(BAD_REQUEST_LINE), "GET / XHTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_VERSION), "GET / HTTP/0.9\r\n\r\n"),
    ROW(BAD(BAD_VERSION), "GET / HTTP/1.2\r\n\r\n"),
    ROW(BAD(BAD_VERSION), "GET / HTTP/2.0\r\n\r\n"),
    ROW(BAD(BAD_VERSION), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ROW(BAD(BAD_VERSION), "GET / HTTP/9.9\r\n\r\n"),
    ROW(BAD(BAD_METHOD), "G(T / HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_METHOD), "G\xc3\xa9T / HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_METHOD), ": / HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_METHOD), "\"GET\" / HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_METHOD), "{}"),
    ROW(BAD(BAD_METHOD), "\x80\x2e\x01\x03\x01"), /* an SSLv2 hello */
    ROW(BAD(CONTROL_BYTE), "\x16\x03\x01\x02"),   /* a TLS hello */
    ROW(BAD(CONTROL_BYTE), "GET\t/ HTTP/1.1\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), "GET /\tHTTP/1.1\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), "GET /a\tb HTTP/1.1\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), "GET /a\0b HTTP/1.1\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), "GET /a\x0c"
                           "b HTTP/1.1\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), "GET /a\x7f HTTP/1.1\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), "GET / HTTP/1.1\0\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), "GET / \tHTTP/1.1\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), "GE\0T / HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_TARGET), "GET /\x80 HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_TARGET), "GET /\xff HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_TARGET), "GET /caf\xc3\xa9 HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_TARGET), "GET /a#b HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_TARGET), "GET # HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_TARGET), "GET /<a> HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_TARGET), "GET /a> HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_TARGET), "GET /\"a\" HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_TARGET), "GET /0123456789012345678901234567890123456789# HTTP/1.1\r\n\r\n"),

    /* line ends */
    ROW(BAD(BARE_LF), "\nGET / HTTP/1.1\r\n\r\n"),
    ROW(BAD(BARE_LF), "GET / HTTP/1.1\nHost: a\r\n\r\n"),
    ROW(BAD(BARE_LF), "GET /\n"),
    ROW(BAD(BARE_LF), "GET\n"),
    ROW(BAD(BARE_LF), G "A: b\n\r\n"),
    ROW(BAD(BARE_LF), G "A: b\nB: c\r\n\r\n"),
    ROW(BAD(BARE_LF), G "A: b\r\n\n"),
    ROW(BAD(BARE_LF), G "\n"),
    ROW(BAD(BARE_LF), G "A: b\n\n"),
    ROW(BAD(BARE_LF), G "A:\nb\r\n\r\n"),
    ROW(BAD(BARE_LF), G "A\n: b\r\n\r\n"),
    ROW(BAD(BARE_CR), "GET / HTTP/1.1\rHost: a\r\n\r\n"),
    ROW(BAD(BARE_CR), "GET /\rx HTTP/1.1\r\n\r\n"),
    ROW(BAD(BARE_CR), "\rGET / HTTP/1.1\r\n\r\n"),
    ROW(BAD(BARE_CR), "GET / HTTP/1.1\r\r\n\r\n"),
    ROW(BAD(BARE_CR), G "X: \rxTransfer-Encoding: chunked\r\n\r\n"), /* CVE-2023-30589 */
    ROW(BAD(BARE_CR), G "A: b\r\r\n\r\n"),
    ROW(BAD(BARE_CR), G "A: b\rB: c\r\n\r\n"),
    ROW(BAD(BARE_CR), G "A: b\r\n\rx"),
    ROW(BAD(BARE_CR), G "\rx\r\n"),
    ROW(BAD(BARE_CR), G "\r\r\n"),
    ROW(BAD(BARE_CR), G "A\r: b\r\n\r\n"),

    /* folds */
    ROW(BAD(OBS_FOLD), G " A: b\r\n\r\n"),
    ROW(BAD(OBS_FOLD), G "\tA: b\r\n\r\n"),
    ROW(BAD(OBS_FOLD), G "A: b\r\n c\r\n\r\n"),
    ROW(BAD(OBS_FOLD), G "A: b\r\n\tc\r\n\r\n"),
    ROW(BAD(OBS_FOLD), G "Host: a\r\n Content-Length: 3\r\n\r\n"),
    ROW(BAD(OBS_FOLD), G "Transfer-Encoding:\r\n chunked\r\n\r\n"),
    ROW(BAD(OBS_FOLD), G "Content-Length: 1\r\n 0\r\n\r\n"),
    ROW(BAD(OBS_FOLD), G "A: b\r\n \r\n\r\n"),

    /* names */
    ROW(BAD(BAD_FIELD_NAME), G ": a\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G ":\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "A: b\r\n: c\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "A : b\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "A\t: b\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "Content-Length : 3\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "Transfer-Encoding : chunked\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "A B: c\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "A\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "no colon here\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "A(b): c\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "A@b: c\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "\"A\": c\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "A\x80: c\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "\xef\xbb\xbf"
                               "Host: a\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "Transfer-Encoding\xa0: chunked\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), G "A\0: c\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), G "A\x0b: c\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), G "A\x7f: c\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), G "\0\r\n\r\n"),

    /* "_" for "-" in names that matter */
    ROW(BAD(BAD_FIELD_NAME), G "Content_Length: 3\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "Transfer_Encoding: chunked\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "transfer_encoding: chunked\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "X_Forwarded_For: 1.2.3.4\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "X-Forwarded_For: 1.2.3.4\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "X_Real_IP: 1.2.3.4\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "X_Auth_Token: t\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "X_Request_Id: t\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), G "PROXY_CONNECTION: t\r\n\r\n"),

    /* values */
    ROW(BAD(BAD_FIELD_VALUE), G "A: \0\r\n\r\n"),
    ROW(BAD(BAD_FIELD_VALUE), G "A: b\0c\r\n\r\n"),
    ROW(BAD(BAD_FIELD_VALUE), G "A: b\x01\r\n\r\n"),
    ROW(BAD(BAD_FIELD_VALUE), G "A: b\x0b"
                                "c\r\n\r\n"),
    ROW(BAD(BAD_FIELD_VALUE), G "A: b\x1b[0m\r\n\r\n"),
    ROW(BAD(BAD_FIELD_VALUE), G "A: b\x7f\r\n\r\n"),
    ROW(BAD(BAD_FIELD_VALUE), G "A:\0\r\n\r\n"),
    ROW(BAD(BAD_FIELD_VALUE), G "A: 0123456789012345678901234567890123456789\x1f\r\n\r\n"),
};

#define S "HTTP/1.1 200 OK\r\n"

static const struct row RESPONSES[] = {
    ROW(GOOD, S "\r\n"),
    ROW(GOOD, "HTTP/1.0 200 OK\r\n\r\n"),
    ROW(GOOD, "HTTP/1.1 200 \r\n\r\n"),
    ROW(GOOD, "HTTP/1.1 200\r\n\r\n"),
    ROW(GOOD, "HTTP/1.1 100 Continue\r\n\r\n" S "\r\n"),
    ROW(GOOD, "HTTP/1.1 599 x\r\n\r\n"),
    ROW(GOOD, "HTTP/1.1 404 Not\tFound  here \r\n\r\n"),
    ROW(GOOD, "HTTP/1.1 200 \xc3\xa9t\xc3\xa9\r\n\r\n"),
    ROW(GOOD, S "Content_Length: 3\r\n\r\n"),
    ROW(GOOD, S "Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n"),
    ROW(INCOMPLETE, "H"),
    ROW(INCOMPLETE, "HTTP/1.1"),
    ROW(INCOMPLETE, "HTTP/1.1 "),
    ROW(INCOMPLETE, "HTTP/1.1 20"),
    ROW(INCOMPLETE, "HTTP/1.1 200"),
    ROW(INCOMPLETE, "HTTP/1.1 200\r"),
    ROW(INCOMPLETE, "HTTP/1.1 200 O"),
    ROW(INCOMPLETE, S "\r"),
    ROW(BAD(BAD_STATUS), "HTTP/1.1 000 x\r\n\r\n"),
    ROW(BAD(BAD_STATUS), "HTTP/1.1 099 x\r\n\r\n"),
    ROW(BAD(BAD_STATUS), "HTTP/1.1 600 x\r\n\r\n"),
    ROW(BAD(BAD_STATUS), "HTTP/1.1 999 x\r\n\r\n"),
    ROW(BAD(BAD_STATUS_LINE), "HTTP/1.1 99 x\r\n\r\n"),
    ROW(BAD(BAD_STATUS_LINE), "HTTP/1.1 2000 x\r\n\r\n"),
    ROW(BAD(BAD_STATUS_LINE), "HTTP/1.1 2x0 x\r\n\r\n"),
    ROW(BAD(BAD_STATUS_LINE), "HTTP/1.1  200 x\r\n\r\n"),
    ROW(BAD(BAD_STATUS_LINE), "HTTP/1.1\r\n\r\n"),
    ROW(BAD(BAD_STATUS_LINE), "HTTP/1.1 \r\n\r\n"),
    ROW(BAD(BAD_STATUS_LINE), "HTTP/1.1 -20 x\r\n\r\n"),
    ROW(BAD(BAD_STATUS_LINE), "HTTP/1.1 +20 x\r\n\r\n"),
    ROW(BAD(BAD_STATUS_LINE), "HTTP/1.1 200-OK\r\n\r\n"),
    ROW(BAD(BAD_STATUS_LINE), "http/1.1 200 OK\r\n\r\n"),
    ROW(BAD(BAD_STATUS_LINE), "ICY 200 OK\r\n\r\n"),
    ROW(BAD(BAD_STATUS_LINE), " HTTP/1.1 200 OK\r\n\r\n"),
    ROW(BAD(BAD_STATUS_LINE), "\r\n" S "\r\n"),
    ROW(BAD(BAD_STATUS_LINE), "<html>"),
    ROW(BAD(BAD_VERSION), "HTTP/2.0 200 OK\r\n\r\n"),
    ROW(BAD(BAD_VERSION), "HTTP/0.9 200 OK\r\n\r\n"),
    ROW(BAD(BARE_LF), "HTTP/1.1 200 OK\n\n"),
    ROW(BAD(BARE_LF), "HTTP/1.1 200\n\n"),
    ROW(BAD(BARE_CR), "HTTP/1.1 200 OK\rX\r\n\r\n"),
    ROW(BAD(BARE_CR), "HTTP/1.1 200\rX\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), "HTTP/1.1 200 O\0K\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), "HTTP/1.1 200 O\x1bK\r\n\r\n"),
    ROW(BAD(CONTROL_BYTE), "HTTP/1.1\t200 OK\r\n\r\n"),
    ROW(BAD(OBS_FOLD), S "A: b\r\n c\r\n\r\n"),
    ROW(BAD(OBS_FOLD), S " A: b\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), S "A : b\r\n\r\n"),
    ROW(BAD(BAD_FIELD_NAME), S ": b\r\n\r\n"),
    ROW(BAD(BAD_FIELD_VALUE), S "A: b\0\r\n\r\n"),
    ROW(BAD(BARE_LF), S "A: b\nC: d\r\n\r\n"),
};

static int verdict_of(enum http_parse parse, const struct http_fault *fault)
{
    if (parse == HTTP_PARSE_BAD)
        return (int)fault->id;
    return parse == HTTP_PARSE_OK ? GOOD : INCOMPLETE;
}

static void assert_same_head(const struct http_head *a, const struct http_head *b)
{
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->fields_off, b->fields_off);
    assert_memory_equal(&a->method, &b->method, sizeof(a->method));
    assert_memory_equal(&a->target, &b->target, sizeof(a->target));
    assert_memory_equal(&a->reason, &b->reason, sizeof(a->reason));
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->method_id, b->method_id);
    assert_int_equal(a->minor, b->minor);
    assert_int_equal(a->present, b->present);
    assert_int_equal(a->repeated, b->repeated);
    assert_int_equal(a->field_count, b->field_count);
    assert_memory_equal(a->fields, b->fields, a->field_count * sizeof(a->fields[0]));
}

/* The whole at once, then a first piece of every length and the rest, then byte by byte: the same
 * verdict, the same slices, and a fault as soon as its byte is there. */
static void check_row(const struct row *row, parse_fn parse_head,
                      const struct http_head_limits *limits)
{
    struct test_head whole, cut;
    struct http_fault fault = {HTTP_FAULT_NONE, 0};
    size_t scanned = 0;
    char *copy = test_copy(row->bytes, row->len);
    test_head_init(&whole);
    int got = verdict_of(parse_head(&whole.head, copy, row->len, &scanned, limits, &fault), &fault);
    if (got != row->expected)
        fail_msg("%s, not %s: %s", got < 0 ? "incomplete" : http_fault_name((unsigned)got),
                 row->expected < 0 ? "incomplete" : http_fault_name((unsigned)row->expected),
                 row->bytes);
    if (got == GOOD) {
        assert_int_equal(scanned, 0);
        assert_ptr_equal(whole.head.base, copy);
        assert_memory_equal(copy + whole.head.bytes - 4, "\r\n\r\n", 4);
    }

    size_t step_scanned = 0, first_verdict = 0;
    for (size_t len = 0; len <= row->len; len++) {
        char *prefix = test_copy(row->bytes, len);
        struct http_fault cut_fault = {HTTP_FAULT_NONE, 0};
        test_head_init(&cut);
        int step = verdict_of(parse_head(&cut.head, prefix, len, &step_scanned, limits, &cut_fault),
                              &cut_fault);
        assert_true(step_scanned <= len);
        if (step != INCOMPLETE) {
            assert_int_equal(step, got);
            first_verdict = len;
            if (got == GOOD)
                assert_same_head(&cut.head, &whole.head);
            else
                assert_int_equal(cut_fault.offset, fault.offset);
            free(prefix);
            break;
        }
        free(prefix);

        size_t two_scanned = 0;
        prefix = test_copy(row->bytes, len);
        test_head_init(&cut);
        step = verdict_of(parse_head(&cut.head, prefix, len, &two_scanned, limits, &cut_fault),
                          &cut_fault);
        free(prefix);
        assert_int_equal(step, INCOMPLETE);
        test_head_init(&cut);
        step = verdict_of(parse_head(&cut.head, copy, row->len, &two_scanned, limits, &cut_fault),
                          &cut_fault);
        assert_int_equal(step, got);
        if (got == GOOD)
            assert_same_head(&cut.head, &whole.head);
    }
    if (got == GOOD)
        assert_int_equal(first_verdict, whole.head.bytes);
    if (got > GOOD)
        assert_true(first_verdict >= fault.offset && first_verdict <= fault.offset + 20);
    free(copy);
}

static void test_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(REQUESTS) / sizeof(REQUESTS[0]); i++)
        check_row(&REQUESTS[i], http_head_parse_request, &TEST_LIMITS);
}

static void test_responses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(RESPONSES) / sizeof(RESPONSES[0]); i++)
        check_row(&RESPONSES[i], http_head_parse_response, &TEST_LIMITS);
}

static void test_slices(void **state)
{
    (void)state;
    struct test_head t;
    test_request(&t, "POST /a/b?c=d HTTP/1.1\r\nHOST:  a.example:80 \r\nX-Empty:\r\n"
                     "Content-length: 12\r\nx-Other:\ta\tb \t\r\nhost: b\r\n\r\nrest");
    const struct http_head *head = &t.head;
    test_span_is(http_head_span(head, head->method), "POST");
    test_span_is(http_head_span(head, head->target), "/a/b?c=d");
    assert_int_equal(head->method_id, HTTP_METHOD_POST);
    assert_int_equal(head->minor, 1);
    assert_int_equal(head->status, 0);
    assert_int_equal(head->field_count, 5);
    test_span_is(http_field_name(head, &head->fields[0]), "HOST");
    test_span_is(http_field_value(head, &head->fields[0]), "a.example:80");
    test_span_is(http_field_value(head, &head->fields[1]), "");
    test_span_is(http_field_value(head, &head->fields[2]), "12");
    test_span_is(http_field_name(head, &head->fields[3]), "x-Other");
    test_span_is(http_field_value(head, &head->fields[3]), "a\tb");
    assert_int_equal(head->fields[3].id, HTTP_FIELD_OTHER);
    assert_true(head->present ==
                (HTTP_FIELD_BIT(HTTP_FIELD_HOST) | HTTP_FIELD_BIT(HTTP_FIELD_CONTENT_LENGTH)));
    assert_true(head->repeated == HTTP_FIELD_BIT(HTTP_FIELD_HOST));
    assert_string_equal(head->base + head->bytes, "rest");

    unsigned from = 0;
    assert_ptr_equal(http_head_next(head, HTTP_FIELD_HOST, &from), &head->fields[0]);
    assert_ptr_equal(http_head_next(head, HTTP_FIELD_HOST, &from), &head->fields[4]);
    assert_null(http_head_next(head, HTTP_FIELD_HOST, &from));
    assert_null(http_head_next(head, HTTP_FIELD_HOST, &from));
    from = 0;
    assert_null(http_head_next(head, HTTP_FIELD_TE, &from));
    from = 0;
    assert_ptr_equal(http_head_next_named(head, HTTP_FIELD_OTHER, SPAN("X-OTHER"), &from),
                     &head->fields[3]);
    assert_null(http_head_next_named(head, HTTP_FIELD_OTHER, SPAN("X-OTHER"), &from));
    from = 0;
    assert_ptr_equal(
        http_head_next_named(head, HTTP_FIELD_CONTENT_LENGTH, SPAN("content-length"), &from),
        &head->fields[2]);
    assert_ptr_equal(http_head_only(head, HTTP_FIELD_OTHER, SPAN("X-Other")), &head->fields[3]);
    assert_ptr_equal(http_head_only(head, HTTP_FIELD_CONTENT_LENGTH, SPAN("content-length")),
                     &head->fields[2]);
    assert_null(http_head_only(head, HTTP_FIELD_HOST, SPAN("host")));
    assert_null(http_head_only(head, HTTP_FIELD_TE, SPAN("te")));
    assert_null(http_head_only(head, HTTP_FIELD_OTHER, SPAN("x-othe")));

    test_response(&t, "HTTP/1.1 200 OK\r\nX-Cost: 1\r\nx-cost: 1\r\n\r\n");
    assert_null(http_head_only(&t.head, HTTP_FIELD_OTHER, SPAN("x-cost")));
    test_response(&t, "HTTP/1.0 503  Go away \r\nRetry-After: 1\r\n\r\n");
    assert_int_equal(t.head.status, 503);
    assert_int_equal(t.head.minor, 0);
    test_span_is(http_head_span(&t.head, t.head.reason), " Go away ");
    test_response(&t, "HTTP/1.1 204\r\n\r\n");
    test_span_is(http_head_span(&t.head, t.head.reason), "");
}

/* A head is parsed again elsewhere by changing base alone. */
static void test_moved_head(void **state)
{
    (void)state;
    static const char text[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    struct test_head t;
    test_request(&t, text);
    char *copy = test_copy(text, sizeof(text));
    t.head.base = copy;
    test_span_is(http_field_value(&t.head, &t.head.fields[0]), "h");
    free(copy);
}

static void test_limits(void **state)
{
    (void)state;
    static const struct http_head_limits limits = {
        .line_max_bytes = 16, .field_max_bytes = 10, .head_max_bytes = 30, .field_max = 3};
    static const struct row rows[] = {
        ROW(GOOD, "GET /a HTTP/1.1\r\n\r\n"),
        ROW(GOOD, "GET /ab HTTP/1.1\r\n\r\n"), /* 16 */
        ROW(BAD(LINE_TOO_LONG), "GET /abc HTTP/1.1\r\n\r\n"),
        ROW(BAD(LINE_TOO_LONG), "GET /abcdefghijklmnopqrstuvwxyz HTTP/1.1\r\n\r\n"),
        ROW(BAD(LINE_TOO_LONG), "GETGETGETGETGETGETGET / HTTP/1.1\r\n\r\n"),
        ROW(GOOD, G "A: 3456789\r\n\r\n"),
        ROW(GOOD, G "A: 34567  \r\n\r\n"),
        ROW(BAD(FIELD_TOO_LONG), G "A: 34567890\r\n\r\n"),
        ROW(BAD(FIELD_TOO_LONG), G "A: 345678 \t\r\n\r\n"),
        ROW(BAD(FIELD_TOO_LONG), G "A:           \r\n\r\n"),
        ROW(BAD(FIELD_TOO_LONG), G "ABCDEFGHIJKLMNOP: 1\r\n\r\n"),
        ROW(GOOD, G "A: 345678\r\nA: 345678\r\nA: 67\r\n\r\n"),  /* 29 */
        ROW(GOOD, G "A: 345678\r\nA: 345678\r\nA: 567\r\n\r\n"), /* 30 */
        ROW(BAD(HEAD_TOO_LONG), G "A: 345678\r\nA: 345678\r\nA: 4567\r\n\r\n"),
        ROW(BAD(HEAD_TOO_LONG), G "A: 3456789\r\nA: 345678\r\nAAAAAAAAAAAAAAAAAAA"),
        ROW(INCOMPLETE, G "A: 345678\r\nA: 345678\r\nA: 567\r\n"),
        ROW(INCOMPLETE, G "A: 345678\r\nA: 345678\r\nA: 567\r\n\r"),
        ROW(GOOD, G "A:\r\nB:\r\nC:\r\n\r\n"),
        ROW(BAD(TOO_MANY_FIELDS), G "A:\r\nB:\r\nC:\r\nD:\r\n\r\n"),
        ROW(INCOMPLETE, G "A:\r\nB:\r\nC:\r\nD:\r\nE:\r\n"),
        ROW(BAD(BAD_FIELD_NAME), G "A:\r\nB:\r\nC:\r\nD:\r\nE E:\r\n\r\n"),
        ROW(BAD(FIELD_TOO_LONG), G "A:\r\nB:\r\nC:\r\nD: 34567890\r\n\r\n"),
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_row(&rows[i], http_head_parse_request, &limits);

    struct test_head t;
    struct http_fault fault;
    size_t scanned = 0;
    static const char four[] = G "A:\r\nB:\r\nC:\r\nD:\r\n\r\n";
    test_head_init(&t);
    assert_int_equal(
        http_head_parse_request(&t.head, four, sizeof(four) - 1, &scanned, &limits, &fault),
        HTTP_PARSE_BAD);
    assert_int_equal(fault.id, HTTP_FAULT_TOO_MANY_FIELDS);
    t.head.field_max = 2;
    static const char three[] = G "A:\r\nB:\r\nC:\r\n\r\n";
    scanned = 0;
    assert_int_equal(
        http_head_parse_request(&t.head, three, sizeof(three) - 1, &scanned, &limits, &fault),
        HTTP_PARSE_BAD);
    assert_int_equal(fault.id, HTTP_FAULT_TOO_MANY_FIELDS);
}

/* Names longer than a field can tell are too long whatever the limit says. */
static void test_huge_name(void **state)
{
    (void)state;
    static const struct http_head_limits limits = {.line_max_bytes = 100,
                                                   .field_max_bytes = UINT32_MAX,
                                                   .head_max_bytes = UINT32_MAX,
                                                   .field_max = 3};
    enum {
        NAME_BYTES = 70000
    };
    char *text = malloc(NAME_BYTES + 64);
    assert_non_null(text);
    size_t len = sizeof(G) - 1;
    memcpy(text, G, len);
    memset(text + len, 'a', NAME_BYTES);
    len += NAME_BYTES;
    memcpy(text + len, ": 1\r\n\r\n", 7);
    len += 7;
    struct test_head t;
    struct http_fault fault;
    size_t scanned = 0;
    test_head_init(&t);
    assert_int_equal(http_head_parse_request(&t.head, text, len, &scanned, &limits, &fault),
                     HTTP_PARSE_BAD);
    assert_int_equal(fault.id, HTTP_FAULT_FIELD_TOO_LONG);
    free(text);
}

static void test_skip_crlf(void **state)
{
    (void)state;
    assert_int_equal(http_head_skip_crlf("", 0), 0);
    assert_int_equal(http_head_skip_crlf("\r", 1), 0);
    assert_int_equal(http_head_skip_crlf("\r\n", 2), 2);
    assert_int_equal(http_head_skip_crlf("\r\n\r\n", 4), 2);
    assert_int_equal(http_head_skip_crlf("\n\n", 2), 0);
    assert_int_equal(http_head_skip_crlf("GET ", 4), 0);
}

/* Every byte at every place of a small head: whatever is accepted has no control byte but the CRLFs
 * and HTAB in values, and never fewer lines than a reader that splits at LF would see. */
static void test_every_byte_everywhere(void **state)
{
    (void)state;
    static const char text[] = "GET /a HTTP/1.1\r\nHost: b\r\nXy: z\r\n\r\n";
    char bytes[sizeof(text)];
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        for (unsigned value = 0; value < 256; value++) {
            memcpy(bytes, text, sizeof(text));
            bytes[at] = (char)value;
            struct test_head t;
            struct http_fault fault;
            size_t scanned = 0;
            test_head_init(&t);
            if (http_head_parse_request(&t.head, bytes, sizeof(text) - 1, &scanned, &TEST_LIMITS,
                                        &fault) != HTTP_PARSE_OK)
                continue;
            unsigned lines = 0;
            for (size_t i = 0; i < t.head.bytes; i++) {
                unsigned char byte = (unsigned char)bytes[i];
                lines += byte == '\n';
                if (byte == '\n')
                    assert_int_equal(bytes[i - 1], '\r');
                else if (byte == '\r')
                    assert_int_equal(bytes[i + 1], '\n');
                else
                    assert_true((byte >= 0x20 && byte != 0x7f) || byte == '\t');
            }
            assert_int_equal(lines, t.head.field_count + 2);
        }
    }
}

/* What the twin finds, in bytes that end where their allocation ends. */
static void compare_twins(const char *text, size_t len)
{
    struct test_head a, b;
    struct http_fault of_a = {HTTP_FAULT_NONE, 0}, of_b = {HTTP_FAULT_NONE, 0};
    size_t scanned_a = 0, scanned_b = 0;
    char *buf = test_copy(text, len);
    test_head_init(&a);
    test_head_init(&b);
    enum http_parse parse =
        http_head_parse_request(&a.head, buf, len, &scanned_a, &TEST_LIMITS, &of_a);
    assert_int_equal(parse, http_head_parse_request_portable(&b.head, buf, len, &scanned_b,
                                                             &TEST_LIMITS, &of_b));
    free(buf);
    assert_int_equal(scanned_a, scanned_b);
    assert_int_equal(of_a.id, of_b.id);
    assert_int_equal(of_a.offset, of_b.offset);
    if (parse != HTTP_PARSE_OK)
        return;
    a.head.fields = b.head.fields = NULL;
    assert_memory_equal(&a.head, &b.head, sizeof(a.head));
    assert_memory_equal(a.fields, b.fields, sizeof(a.fields));
    struct span target = {text + a.head.target.off, a.head.target.len};
    assert_int_equal(a.head.query_at, span_find(target, '?'));
}

/* Each byte at each place of request lines whose target ends within the first look, on its edge, in the second and in
 * what is left behind the last; and each cut. */
static void test_twins(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET /v1/projects/42/images/0000 HTTP/1.1\r\nHost: bench\r\nX-Api-Key: k\r\n\r\n",
        "GET /v1/projects/42/images/000000000123?limit=10&marker=abc HTTP/1.1\r\nHost: b\r\n\r\n",
        "OPTIONS http://b/v1/projects/42/images?a=?b HTTP/1.0\r\nHost: b\r\n\r\n",
        "POST /v1/projects/42/images/0123456789abcdef0123456789abcdef0123456789 HTTP/1.1\r\n\r\n",
    };
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char bytes[160];
        const size_t len = strlen(texts[i]);
        for (size_t cut = 0; cut <= len; cut++)
            compare_twins(texts[i], cut);
        for (size_t at = 0; at < len; at++) {
            for (unsigned value = 0; value < 256; value++) {
                memcpy(bytes, texts[i], len);
                bytes[at] = (char)value;
                compare_twins(bytes, len);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),  cmocka_unit_test(test_responses),
        cmocka_unit_test(test_slices),    cmocka_unit_test(test_moved_head),
        cmocka_unit_test(test_limits),    cmocka_unit_test(test_huge_name),
        cmocka_unit_test(test_skip_crlf), cmocka_unit_test(test_every_byte_everywhere),
        cmocka_unit_test(test_twins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
