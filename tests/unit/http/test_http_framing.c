/* SPDX-License-Identifier: Apache-2.0 */
/* The framing tables, row by row and with the spellings that smugglers use. */
#include "http/http_framing.h"
#include "http/http_helpers.h"

#define NONE    HTTP_BODY_NONE
#define LENGTH  HTTP_BODY_LENGTH
#define CHUNKED HTTP_BODY_CHUNKED
#define CLOSE   HTTP_BODY_CLOSE
#define TUNNEL  HTTP_BODY_TUNNEL
#define OK      HTTP_FAULT_NONE
#define F(id)   HTTP_FAULT_##id

#define LIVE    1
#define EXPECT  2
#define HAS_LEN 8

struct request_row {
    const char *fields; /* after a line for POST / HTTP/1.1 */
    enum http_fault_id fault;
    enum http_body_kind kind;
    uint64_t length_bytes;
    unsigned flags;
};

static const struct request_row REQUESTS[] = {
    {"", OK, NONE, 0, LIVE},
    {"Content-Length: 5\r\n", OK, LENGTH, 5, LIVE | HAS_LEN},
    {"Content-Length: 0\r\n", OK, NONE, 0, LIVE | HAS_LEN},
    {"Content-Length:5\r\n", OK, LENGTH, 5, LIVE | HAS_LEN},
    {"Content-Length:   5  \r\n", OK, LENGTH, 5, LIVE | HAS_LEN},
    {"Content-Length: 999999999999999999\r\n", OK, LENGTH, 999999999999999999, LIVE | HAS_LEN},
    {"Transfer-Encoding: chunked\r\n", OK, CHUNKED, 0, LIVE},
    {"transfer-encoding: CHUNKED\r\n", OK, CHUNKED, 0, LIVE},
    {"Transfer-Encoding:  chunked \r\n", OK, CHUNKED, 0, LIVE},

    {"Content-Length:\t5\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 5\t\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 5 \t \r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: \r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: +5\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: -5\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: -0\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 0x5\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 5a\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 5 5\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 5, 5\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 5,\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: ,5\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 5;\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 5.0\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 5e0\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 1_000\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: \"5\"\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: '5'\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: \xd9\xa5\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 5\xa0\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 003\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 00\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 1000000000000000000\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 18446744073709551615\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 18446744073709551616\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 18446744073709551621\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 5\r\nContent-Length: 5\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 5\r\nContent-Length: 6\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 5\r\ncontent-length:\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},
    {"Content-Length: 5\r\nA: b\r\nCONTENT-LENGTH: 5\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0},

    {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", F(LENGTH_AND_CHUNKED), 0, 0, 0},
    {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", F(LENGTH_AND_CHUNKED), 0, 0, 0},
    {"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", F(LENGTH_AND_CHUNKED), 0, 0, 0},
    {"Transfer-Encoding: gzip\r\nContent-Length: 5\r\n", F(LENGTH_AND_CHUNKED), 0, 0, 0},
    {"Transfer-Encoding:\r\nContent-Length: 5\r\n", F(LENGTH_AND_CHUNKED), 0, 0, 0},
    {"Transfer-Encoding: identity\r\nContent-Length: 5\r\n", F(LENGTH_AND_CHUNKED), 0, 0, 0},

    {"Transfer-Encoding:\tchunked\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: chunked \t\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: \r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: identity\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: gzip\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: gzip, chunked\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: chunked, gzip\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: chunked, chunked\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: chunked, identity\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: identity, chunked\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: ,chunked\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: chunked,\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: xchunked\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: chunkedx\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: chunke\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: chunk\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: chun ked\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: chunked;q=1\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: chunked; foo\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: \"chunked\"\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: 'chunked'\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: chunked\xa0\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: \xc5\xbf"
     "chunked\r\n",
     F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: chun\xe2\x84\xaa"
     "ed\r\n",
     F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: cow\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},
    {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", F(BAD_TRANSFER_ENCODING), 0, 0,
     0},
    {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", F(BAD_TRANSFER_ENCODING), 0,
     0, 0},
    {"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", F(BAD_TRANSFER_ENCODING), 0,
     0, 0},
    {"Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0},

    {"Connection: close\r\n", OK, NONE, 0, 0},
    {"Connection: CLOSE\r\n", OK, NONE, 0, 0},
    {"Connection: keep-alive\r\n", OK, NONE, 0, LIVE},
    {"Connection: keep-alive, close\r\n", OK, NONE, 0, 0},
    {"Connection: keep-alive\r\nConnection: close\r\n", OK, NONE, 0, 0},
    {"Connection: x-foo, te\r\n", OK, NONE, 0, LIVE},
    {"Connection: transfer-encoding, trailer\r\n", OK, NONE, 0, LIVE},
    {"Connection:\r\n", OK, NONE, 0, LIVE},
    {"Connection: ,, ,close,\r\n", OK, NONE, 0, 0},
    {"Connection: closed\r\n", OK, NONE, 0, LIVE},
    {"Connection: clo se\r\n", F(BAD_CONNECTION), 0, 0, 0},
    {"Connection: \"close\"\r\n", F(BAD_CONNECTION), 0, 0, 0},
    {"Connection: close;\r\n", F(BAD_CONNECTION), 0, 0, 0},
    {"Connection: a=b\r\n", F(BAD_CONNECTION), 0, 0, 0},
    {"Connection: \xff\r\n", F(BAD_CONNECTION), 0, 0, 0},
    {"Connection: content-length\r\nContent-Length: 5\r\n", F(BAD_CONNECTION), 0, 0, 0},
    {"Connection: close, Host\r\n", F(BAD_CONNECTION), 0, 0, 0},
    {"Connection: authorization\r\n", F(BAD_CONNECTION), 0, 0, 0},
    {"Connection: X-Forwarded-For\r\n", F(BAD_CONNECTION), 0, 0, 0},
    {"Connection: x-real-ip\r\n", F(BAD_CONNECTION), 0, 0, 0},
    {"Connection: cookie\r\n", F(BAD_CONNECTION), 0, 0, 0},
    {"Connection: x-auth-token\r\n", F(BAD_CONNECTION), 0, 0, 0},
    {"Connection: x-request-id\r\n", F(BAD_CONNECTION), 0, 0, 0},
    {"Connection: expect\r\nExpect: 100-continue\r\n", F(BAD_CONNECTION), 0, 0, 0},
    {"Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\r\n", OK, NONE, 0, LIVE},
    {"Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n", F(BAD_CONNECTION), 0, 0, 0},

    {"Connection: upgrade\r\nUpgrade: websocket\r\n", OK, NONE, 0, LIVE},
    {"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", OK, NONE, 0, LIVE},
    {"Upgrade: websocket\r\n", OK, NONE, 0, LIVE},
    {"Connection: upgrade\r\n", OK, NONE, 0, LIVE},

    {"Expect: 100-continue\r\nContent-Length: 1\r\n", OK, LENGTH, 1, LIVE | HAS_LEN | EXPECT},
    {"Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", OK, CHUNKED, 0, LIVE | EXPECT},
    {"Expect: 100-continue\r\n", OK, NONE, 0, LIVE},
    {"Expect: 100-continue\r\nContent-Length: 0\r\n", OK, NONE, 0, LIVE | HAS_LEN},
    {"Expect: 100-continue, 100-continue\r\n", F(BAD_EXPECT), 0, 0, 0},
    {"Expect: 100-continue\r\nExpect: 100-continue\r\n", F(BAD_EXPECT), 0, 0, 0},
    {"Expect: \r\n", F(BAD_EXPECT), 0, 0, 0},
    {"Expect: 100-continue;a=b\r\n", F(BAD_EXPECT), 0, 0, 0},
    {"Expect: y 100-continue\r\n", F(BAD_EXPECT), 0, 0, 0},
    {"Expect: 200-ok\r\n", F(BAD_EXPECT), 0, 0, 0},
};

static const struct request_row REQUESTS_1_0[] = {
    {"", OK, NONE, 0, 0},
    {"Connection: keep-alive\r\n", OK, NONE, 0, LIVE},
    {"Connection: keep-alive, close\r\n", OK, NONE, 0, 0},
    {"Connection: Upgrade\r\nUpgrade: websocket\r\n", OK, NONE, 0, 0},
    {"Content-Length: 5\r\n", OK, LENGTH, 5, HAS_LEN},
    {"Content-Length: 5\r\nExpect: 100-continue\r\n", OK, LENGTH, 5, HAS_LEN},
    {"Expect: nonsense\r\n", F(BAD_EXPECT), 0, 0, 0},
    {"Transfer-Encoding: chunked\r\n", F(TRANSFER_ENCODING_IN_1_0), 0, 0, 0},
    {"Transfer-Encoding: identity\r\n", F(TRANSFER_ENCODING_IN_1_0), 0, 0, 0},
    {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", F(TRANSFER_ENCODING_IN_1_0), 0, 0, 0},
};

static void check_request(const char *line, const struct request_row *row)
{
    char text[512];
    snprintf(text, sizeof(text), "%s%s\r\n", line, row->fields);
    struct test_head t;
    test_request(&t, text);
    struct http_framing framing;
    struct http_fault fault = {HTTP_FAULT_NONE, 0};
    enum http_parse parse = http_framing_request(&t.head, &framing, &fault);
    if (fault.id != row->fault)
        fail_msg("%s: %s", http_fault_name(fault.id), text);
    if (row->fault != OK) {
        assert_int_equal(parse, HTTP_PARSE_BAD);
        assert_true(fault.offset < strlen(text));
        return;
    }
    assert_int_equal(parse, HTTP_PARSE_OK);
    unsigned flags = (framing.keep_alive ? LIVE : 0) | (framing.expect_continue ? EXPECT : 0) |
                     (framing.has_length ? HAS_LEN : 0);
    if (framing.kind != row->kind || framing.length_bytes != row->length_bytes ||
        flags != row->flags)
        fail_msg("kind %d, length %llu, flags %u: %s", framing.kind,
                 (unsigned long long)framing.length_bytes, flags, text);
}

static void test_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(REQUESTS) / sizeof(REQUESTS[0]); i++)
        check_request("POST / HTTP/1.1\r\n", &REQUESTS[i]);
    for (size_t i = 0; i < sizeof(REQUESTS_1_0) / sizeof(REQUESTS_1_0[0]); i++)
        check_request("POST / HTTP/1.0\r\n", &REQUESTS_1_0[i]);
    static const struct request_row connect = {"Host: a\r\n", F(CONNECT_REFUSED), 0, 0, 0};
    check_request("CONNECT a:443 HTTP/1.1\r\n", &connect);
}

struct response_row {
    const char *head;
    enum http_fault_id fault;
    enum http_body_kind kind, kind_of_head; /* to GET and to HEAD */
    uint64_t length_bytes;
    unsigned flags; /* of the answer to GET */
};

static const struct response_row RESPONSES[] = {
    {"HTTP/1.1 200 OK\r\n", OK, CLOSE, NONE, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", OK, LENGTH, NONE, 5, LIVE | HAS_LEN},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", OK, NONE, NONE, 0, LIVE | HAS_LEN},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", OK, CHUNKED, NONE, 0, LIVE},
    {"HTTP/1.1 404 No\r\nContent-Length: 5\r\nConnection: close\r\n", OK, LENGTH, NONE, 5, HAS_LEN},
    {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n", OK, LENGTH, NONE, 5, HAS_LEN},
    {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n", OK, LENGTH, NONE, 5,
     LIVE | HAS_LEN},
    {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", OK, CLOSE, NONE, 0, 0},
    {"HTTP/1.1 100 Continue\r\n", OK, NONE, NONE, 0, LIVE},
    {"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n", OK, NONE, NONE, 0, LIVE | HAS_LEN},
    {"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0, 0},
    {"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0,
     0},
    {"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", OK,
     TUNNEL, TUNNEL, 0, 0},
    {"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0,
     0},
    {"HTTP/1.1 204 No Content\r\n", OK, NONE, NONE, 0, LIVE},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n", OK, NONE, NONE, 0, LIVE | HAS_LEN},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0, 0},
    {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0,
     0},
    {"HTTP/1.1 205 Reset Content\r\nContent-Length: 3\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0, 0},
    {"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n", OK, NONE, NONE, 0, LIVE | HAS_LEN},
    {"HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n", OK, CHUNKED, NONE, 0, LIVE},
    {"HTTP/1.1 304 Not Modified\r\n", OK, NONE, NONE, 0, LIVE},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n", OK, NONE, NONE, 5, LIVE | HAS_LEN},
    {"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n", OK, NONE, NONE, 0, LIVE},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5, 5\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
     F(LENGTH_AND_CHUNKED), 0, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0,
     0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n", F(BAD_TRANSFER_ENCODING), 0, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
     F(BAD_TRANSFER_ENCODING), 0, 0, 0, 0},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", F(TRANSFER_ENCODING_IN_1_0), 0, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n", F(BAD_CONTENT_LENGTH), 0, 0,
     0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 05\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length:\r\n", F(BAD_CONTENT_LENGTH), 0, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nConnection: a b\r\n", F(BAD_CONNECTION), 0, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 5\r\n", OK, LENGTH, NONE, 5,
     LIVE | HAS_LEN},
    {"HTTP/1.1 200 OK\r\nExpect: x\r\nContent-Length: 5\r\n", OK, LENGTH, NONE, 5, LIVE | HAS_LEN},
};

static void test_responses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(RESPONSES) / sizeof(RESPONSES[0]); i++) {
        const struct response_row *row = &RESPONSES[i];
        char text[512];
        snprintf(text, sizeof(text), "%s\r\n", row->head);
        struct test_head t;
        test_response(&t, text);
        for (unsigned to_head = 0; to_head < 2; to_head++) {
            struct http_framing framing;
            struct http_fault fault = {HTTP_FAULT_NONE, 0};
            (void)http_framing_response(&t.head, to_head ? HTTP_METHOD_HEAD : HTTP_METHOD_GET,
                                        &framing, &fault);
            if (fault.id != row->fault)
                fail_msg("%s: %s", http_fault_name(fault.id), text);
            if (row->fault != OK)
                continue;
            assert_int_equal(framing.length_bytes, row->length_bytes);
            assert_int_equal(framing.has_length, (row->flags & HAS_LEN) != 0);
            assert_int_equal(framing.kind, to_head ? row->kind_of_head : row->kind);
            if (!to_head)
                assert_int_equal(framing.keep_alive, (row->flags & LIVE) != 0);
        }
    }
}

static void test_nominated(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        uint64_t nominated;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", 0},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 0},
        {"HTTP/1.1 200 OK\r\nConnection: close, x-other, Date\r\n\r\n",
         HTTP_FIELD_BIT(HTTP_FIELD_DATE)},
        {"HTTP/1.1 200 OK\r\nConnection: date\r\nConnection: Keep-Alive,te\r\n\r\n",
         HTTP_FIELD_BIT(HTTP_FIELD_DATE) | HTTP_FIELD_BIT(HTTP_FIELD_KEEP_ALIVE) |
             HTTP_FIELD_BIT(HTTP_FIELD_TE)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_head t;
        struct http_framing framing;
        struct http_fault fault;
        test_response(&t, rows[i].head);
        assert_int_equal(http_framing_response(&t.head, HTTP_METHOD_GET, &framing, &fault),
                         HTTP_PARSE_OK);
        assert_true(framing.nominated == rows[i].nominated);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_nominated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
