/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies: every kind, every fault, cut at every byte. */
#include "http/http_body.h"
#include "http/http_helpers.h"

static const struct http_body_limits LIMITS = {
    .extension_max_bytes = 32, .trailers_max_bytes = 64, .overhead_max_bytes = 200};

struct row {
    const char *bytes;
    size_t len;
    enum http_body_state state;
    enum http_fault_id fault;
    const char *data;
    const char *trailers;
    size_t rest_len; /* what is left for the next message */
};
#define DONE(bytes, data, trailers, rest)                                                          \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, HTTP_BODY_DONE, HTTP_FAULT_NONE, data, trailers, rest            \
    }
#define MORE(bytes, data)                                                                          \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, HTTP_BODY_MORE, HTTP_FAULT_NONE, data, NULL, 0                   \
    }
#define REFUSED(bytes, id, data)                                                                   \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, HTTP_BODY_BAD, HTTP_FAULT_##id, data, NULL, 0                    \
    }

#define END "0\r\n\r\n"

static const struct row CHUNKED[] = {
    DONE(END, "", NULL, 0),
    DONE("0000000000000000\r\n\r\n", "", NULL, 0),
    DONE("5\r\nhello\r\n" END, "hello", NULL, 0),
    DONE("5\r\nhello\r\n6\r\n world\r\n" END, "hello world", NULL, 0),
    DONE("0000000000000005\r\nhello\r\n" END, "hello", NULL, 0),
    DONE("a\r\n0123456789\r\nA\r\n0123456789\r\n" END, "01234567890123456789", NULL, 0),
    DONE("4\r\n\r\n\r\n\r\n" END, "\r\n\r\n", NULL, 0),
    DONE("5\r\nhello\r\n" END "GET / HTTP/1.1\r\n", "hello", NULL, 16),
    DONE(END END, "", NULL, 5),
    DONE("5;a\r\nhello\r\n" END, "hello", NULL, 0),
    DONE("5;a=b;c=d\r\nhello\r\n" END, "hello", NULL, 0),
    DONE("5;a=\"b c\\\"\";d\r\nhello\r\n" END, "hello", NULL, 0),
    DONE("5;a=\"\"\r\nhello\r\n0;x\r\n\r\n", "hello", NULL, 0),
    DONE("5;a=\";\t\x80\"\r\nhello\r\n" END, "hello", NULL, 0),
    DONE("1;a23456789012345678901234567890\r\nx\r\n" END, "x", NULL, 0),
    DONE("3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", "abc", "X-Sum: 1\r\n", 0),
    DONE("3\r\nabc\r\n0\r\nA: 1\r\nB:\r\nA: \x80 2\r\n\r\nnext", "abc",
         "A: 1\r\nB:\r\nA: \x80 2\r\n", 4),
    DONE("0\r\nServer-Timing: a;dur=1\r\nDigest: b\r\n\r\n", "",
         "Server-Timing: a;dur=1\r\nDigest: b\r\n", 0),
    DONE("0\r\nA: 34567890123456789012345678901234567890123456789012345678901\r\n\r\n", "",
         "A: 34567890123456789012345678901234567890123456789012345678901\r\n", 0),

    MORE("", ""),
    MORE("5", ""),
    MORE("5\r", ""),
    MORE("5\r\n", ""),
    MORE("5;a=\"b", ""),
    MORE("5\r\nhel", "hel"),
    MORE("5\r\nhello", "hello"),
    MORE("5\r\nhello\r", "hello"),
    MORE("5\r\nhello\r\n", "hello"),
    MORE("5\r\nhello\r\n0", "hello"),
    MORE("5\r\nhello\r\n0\r\n", "hello"),
    MORE("5\r\nhello\r\n0\r\n\r", "hello"),
    MORE("0\r\nA: b", ""),
    MORE("0\r\nA: b\r\n", ""),
    MORE("7fffffffffffffff\r\nx", "x"),

    REFUSED("\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("g\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED(" 5\r\nhello\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("5 \r\nhello\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("5\t\r\nhello\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("5 ;a\r\nhello\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("+5\r\nhello\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("-5\r\nhello\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("0x5\r\nhello\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("5h\r\nhello\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("5_0\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("5,5\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("5\nhello\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("5\r\rhello\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("5\rhello\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("5\0\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("\xd9\xa5\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("8000000000000000\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("ffffffffffffffff\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("10000000000000000\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("10000000000000005\r\nhello\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("00000000000000005\r\nhello\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("0\n\n", BAD_CHUNK_SIZE, ""),

    REFUSED("5\r\nhelloX", BAD_CHUNK_END, "hello"),
    REFUSED("5\r\nhello\n0\r\n", BAD_CHUNK_END, "hello"),
    REFUSED("5\r\nhello0\r\n", BAD_CHUNK_END, "hello"),
    REFUSED("5\r\nhello\rX", BAD_CHUNK_END, "hello"),
    REFUSED("5\r\nhello\r\r\n", BAD_CHUNK_END, "hello"),
    REFUSED("5\r\nhello!\r\n" END, BAD_CHUNK_END, "hello"),
    REFUSED("5\r\nhello\r\n\r\n", BAD_CHUNK_SIZE, "hello"),

    REFUSED("5;\r\nhello\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;a;\r\nhello\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;a=\r\nhello\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;=b\r\nhello\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5; a\r\nhello\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;a b\r\nhello\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;a =b\r\nhello\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;a=b=c\r\nhello\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;a\nhello\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;a\0b\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;a=\"b\nc\"\r\nhello\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;a=\"b\r\nc\"\r\nhello\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;a=\"b\\\r\n\"\r\nhello\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;a=\"b\"c\r\nhello\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;a=\"\x7f\"\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;a\x80\r\n", BAD_CHUNK_EXTENSION, ""),
    REFUSED("5;a\rX\r\nhello\r\n", BAD_CHUNK_SIZE, ""),
    REFUSED("1;a2345678901234567890123456789012\r\nx\r\n", CHUNK_EXTENSION_TOO_LONG, ""),

    REFUSED("0\r\n\rX", BAD_TRAILER, ""),
    REFUSED("0\r\nA: b\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nA: b\r\n\n", BAD_TRAILER, ""),
    REFUSED("0\r\n\n", BAD_TRAILER, ""),
    REFUSED("0\r\nA\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\n: b\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nA : b\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\n A: b\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nA: b\r\n c\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nA: b\rC: d\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nA: \0\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nGET / HTTP/1.1\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nContent-Length: 5\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nContent_Length: 5\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nTransfer-Encoding: chunked\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nA: b\r\nHOST: c\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nTrailer: a\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nConnection: close\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nAuthorization: a\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nX-Auth-Token: a\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nX-Request-Id: 1\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nX-RateLimit: 1\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nSet-Cookie: a\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nCookie: a\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nExpect: a\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nIf-Match: a\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nRANGE: a\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nLocation: a\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nWWW-Authenticate: a\r\n\r\n", BAD_TRAILER, ""),
    REFUSED("0\r\nA: 345678901234567890123456789012345678901234567890123456789012\r\n\r\n",
            TRAILERS_TOO_LONG, ""),
    REFUSED("0\r\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            TRAILERS_TOO_LONG, ""),
    REFUSED("0\r\nA: 345678901234567890123456\r\nB: 34567890123456789012345678901234567890\r\n\r\n",
            TRAILERS_TOO_LONG, ""),
};

/* Reads the bytes in pieces: the first of `first` bytes, then of `step` each. */
static void check_cut(const struct row *row, size_t first, size_t step)
{
    static const struct http_framing framing = {.kind = HTTP_BODY_CHUNKED};
    struct http_body body;
    struct arena arena;
    char arena_first[64], data[256];
    size_t data_len = 0, at = 0;
    enum http_body_state state = HTTP_BODY_MORE;

    arena_init(&arena, arena_first, sizeof(arena_first), 65536);
    http_body_init(&body, &framing);
    for (size_t piece = first; at < row->len && state == HTTP_BODY_MORE; piece = step) {
        size_t len = row->len - at < piece ? row->len - at : piece;
        char *buf = test_copy(row->bytes + at, len);
        size_t consumed = 77, got = 77;
        state = http_body_read(&body, buf, len, &consumed, &got, &LIMITS, &arena);
        assert_true(consumed <= len && got <= consumed);
        if (state == HTTP_BODY_MORE)
            assert_int_equal(consumed, len);
        assert_memory_equal(buf + consumed, row->bytes + at + consumed, len - consumed);
        assert_true(data_len + got <= sizeof(data));
        memcpy(data + data_len, buf, got);
        data_len += got;
        at += consumed;
        free(buf);
    }

    if (state != row->state || body.fault != row->fault)
        fail_msg("state %d, fault %s, cut at %zu: %s", state, http_fault_name(body.fault), first,
                 row->bytes);
    test_span_is((struct span){data, data_len}, row->data);
    assert_int_equal(body.data_bytes, data_len);
    if (state == HTTP_BODY_DONE) {
        assert_true(row->len - at <= row->rest_len);
        assert_int_equal(row->len - at, row->rest_len);
        test_span_is((struct span){body.trailers, body.trailers_len},
                     row->trailers != NULL ? row->trailers : "");
        if (row->trailers == NULL)
            assert_null(body.trailers);
    }
    arena_fini(&arena);
}

static void test_chunked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(CHUNKED) / sizeof(CHUNKED[0]); i++) {
        const struct row *row = &CHUNKED[i];
        for (size_t first = 1; first <= row->len; first++) {
            check_cut(row, first, row->len);
            check_cut(row, first, 1);
        }
        if (row->len == 0)
            check_cut(row, 1, 1);
    }
}

static void read_all(enum http_body_kind kind, uint64_t length, const char *text,
                     enum http_body_state expected, size_t expected_data)
{
    const struct http_framing framing = {.kind = kind, .length_bytes = length};
    size_t len = strlen(text);
    for (size_t cut = 0; cut <= len; cut++) {
        struct http_body body;
        http_body_init(&body, &framing);
        char *buf = test_copy(text, len);
        size_t consumed, data;
        enum http_body_state state =
            http_body_read(&body, buf, cut, &consumed, &data, &LIMITS, NULL);
        size_t sum = consumed;
        assert_int_equal(consumed, data);
        if (state == HTTP_BODY_MORE) {
            assert_int_equal(consumed, cut);
            state = http_body_read(&body, buf + cut, len - cut, &consumed, &data, &LIMITS, NULL);
            assert_int_equal(consumed, data);
            sum += consumed;
        }
        assert_int_equal(state, expected);
        assert_int_equal(http_body_is_done(&body), expected == HTTP_BODY_DONE);
        assert_int_equal(sum, expected_data);
        assert_int_equal(body.data_bytes, expected_data);
        assert_memory_equal(buf, text, len);
        free(buf);
    }
}

static void test_other_kinds(void **state)
{
    (void)state;
    read_all(HTTP_BODY_NONE, 0, "abcdef", HTTP_BODY_DONE, 0);
    read_all(HTTP_BODY_LENGTH, 4, "abcdef", HTTP_BODY_DONE, 4);
    read_all(HTTP_BODY_LENGTH, 6, "abcdef", HTTP_BODY_DONE, 6);
    read_all(HTTP_BODY_LENGTH, 7, "abcdef", HTTP_BODY_MORE, 6);
    read_all(HTTP_BODY_CLOSE, 0, "abcdef", HTTP_BODY_MORE, 6);
    read_all(HTTP_BODY_TUNNEL, 0, "abcdef", HTTP_BODY_MORE, 6);
}

/* A body that ended stays ended, and a refused one refused. */
static void test_after_the_end(void **state)
{
    (void)state;
    static const struct http_framing framing = {.kind = HTTP_BODY_CHUNKED};
    struct http_body body;
    size_t consumed, data;
    char end[] = END, bad[] = "x", more[] = "5\r\nhello\r\n";
    http_body_init(&body, &framing);
    assert_int_equal(http_body_read(&body, end, 5, &consumed, &data, &LIMITS, NULL),
                     HTTP_BODY_DONE);
    assert_int_equal(http_body_read(&body, more, 10, &consumed, &data, &LIMITS, NULL),
                     HTTP_BODY_DONE);
    assert_int_equal(consumed + data, 0);
    http_body_init(&body, &framing);
    assert_int_equal(http_body_read(&body, bad, 1, &consumed, &data, &LIMITS, NULL), HTTP_BODY_BAD);
    assert_int_equal(http_body_read(&body, more, 10, &consumed, &data, &LIMITS, NULL),
                     HTTP_BODY_BAD);
    assert_int_equal(consumed + data, 0);
    assert_int_equal(body.fault, HTTP_FAULT_BAD_CHUNK_SIZE);
}

/* A flood of one-byte chunks is refused, an honest stream of small ones is not. */
static void test_overhead(void **state)
{
    (void)state;
    static const struct {
        const char *chunk;
        bool refused;
    } rows[] = {
        {"1\r\nx\r\n", true},
        {"4\r\nabcd\r\n", true},
        {"5\r\nabcde\r\n", false},
        {"0005;aaaaaaaa\r\nabcde\r\n", true},
        {"20\r\nabcdefghabcdefghabcdefghabcdefgh\r\n", false},
    };
    static const struct http_framing framing = {.kind = HTTP_BODY_CHUNKED};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_body body;
        http_body_init(&body, &framing);
        enum http_body_state got = HTTP_BODY_MORE;
        for (unsigned n = 0; n < 1000 && got == HTTP_BODY_MORE; n++) {
            char buf[64];
            size_t len = strlen(rows[i].chunk), consumed, data;
            memcpy(buf, rows[i].chunk, len);
            got = http_body_read(&body, buf, len, &consumed, &data, &LIMITS, NULL);
        }
        assert_int_equal(got, rows[i].refused ? HTTP_BODY_BAD : HTTP_BODY_MORE);
        assert_int_equal(body.fault, rows[i].refused ? HTTP_FAULT_CHUNK_OVERHEAD : HTTP_FAULT_NONE);
    }
}

/* Trailers of many lines outgrow their first piece of the arena, read in small pieces. */
static void test_many_trailers(void **state)
{
    (void)state;
    static const struct http_framing framing = {.kind = HTTP_BODY_CHUNKED};
    static const struct http_body_limits limits = {
        .extension_max_bytes = 0, .trailers_max_bytes = 1500, .overhead_max_bytes = 100};
    enum {
        LINES = 100 /* of 15 bytes: exactly the limit */
    };
    for (unsigned lines = LINES; lines <= LINES + 1; lines++) {
        char text[2048], expected[2048];
        size_t len = 0, expected_len = 0;
        len += (size_t)snprintf(text, sizeof(text), "80\r\n%0128d\r\n0\r\n", 0);
        for (unsigned i = 0; i < lines; i++)
            expected_len += (size_t)snprintf(
                expected + expected_len, sizeof(expected) - expected_len, "X-Line: %05u\r\n", i);
        memcpy(text + len, expected, expected_len);
        len += expected_len;
        memcpy(text + len, "\r\n", 2);
        len += 2;

        struct arena arena;
        struct http_body body;
        enum http_body_state got = HTTP_BODY_MORE;
        arena_init(&arena, NULL, 0, 65536);
        http_body_init(&body, &framing);
        assert_false(http_body_is_done(&body));
        for (size_t at = 0; at < len && got == HTTP_BODY_MORE;) {
            size_t take = len - at < 7 ? len - at : 7, consumed, data;
            got = http_body_read(&body, text + at, take, &consumed, &data, &limits, &arena);
            at += consumed;
        }
        assert_int_equal(got, lines == LINES ? HTTP_BODY_DONE : HTTP_BODY_BAD);
        assert_int_equal(http_body_is_done(&body), lines == LINES);
        if (lines == LINES)
            assert_true(span_eq((struct span){body.trailers, body.trailers_len},
                                (struct span){expected, expected_len}));
        else
            assert_int_equal(body.fault, HTTP_FAULT_TRAILERS_TOO_LONG);
        arena_fini(&arena);
    }
}

/* An arena at its cap refuses the trailers and nothing else. */
static void test_full_arena(void **state)
{
    (void)state;
    static const struct http_framing framing = {.kind = HTTP_BODY_CHUNKED};
    struct arena arena;
    struct http_body body;
    char buf[] = "3\r\nabc\r\n0\r\nA: b\r\n\r\n";
    size_t consumed, data;
    arena_init(&arena, NULL, 0, 0);
    http_body_init(&body, &framing);
    assert_int_equal(http_body_read(&body, buf, sizeof(buf) - 1, &consumed, &data, &LIMITS, &arena),
                     HTTP_BODY_BAD);
    assert_int_equal(body.fault, HTTP_FAULT_TRAILERS_TOO_LONG);
    assert_int_equal(data, 3);
    arena_fini(&arena);
}

static void test_chunk_head(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        const char *text;
    } rows[] = {
        {1, "1\r\n"},
        {9, "9\r\n"},
        {10, "a\r\n"},
        {15, "f\r\n"},
        {16, "10\r\n"},
        {255, "ff\r\n"},
        {256, "100\r\n"},
        {8000, "1f40\r\n"},
        {65536, "10000\r\n"},
        {0x123456789abcdef0, "123456789abcdef0\r\n"},
        {UINT64_MAX, "ffffffffffffffff\r\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[HTTP_CHUNK_HEAD_MAX];
        char *end = http_body_chunk_head(out, rows[i].n);
        test_span_is((struct span){out, (size_t)(end - out)}, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunked),       cmocka_unit_test(test_other_kinds),
        cmocka_unit_test(test_after_the_end), cmocka_unit_test(test_overhead),
        cmocka_unit_test(test_many_trailers), cmocka_unit_test(test_full_arena),
        cmocka_unit_test(test_chunk_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
