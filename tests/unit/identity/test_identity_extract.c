/* SPDX-License-Identifier: Apache-2.0 */
/* test_identity_extract.c - which value names the caller, whatever the client writes. */
#include "identity/request.h"

static void test_sources(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
    } rows[] = {
        {"ip", true},
        {"header:X-Api-Key", true},
        {"cookie:sid", true},
        {"query:api key", true},
        {"query:a:b", true},
        {"bearer", true},
        {"access_key", true},
        {"token_project", true},
        {"token_project:X-Auth-Token", false},
        {"basic_user", true},
        {"basic_user:x", false},
        {"path:project_id", true},
        {"host", true},
        {"method", true},
        {"route", true},
        {"", false},
        {"IP", false},
        {"ip:", false},
        {"ip:v4", false},
        {" ip", false},
        {"header", false},
        {"header:", false},
        {"header: X", false},
        {"header:X Y", false},
        {"header:X:Y", false},
        {"header:Connection", false},
        {"header:keep-alive", false},
        {"header:TE", false},
        {"header:Upgrade", false},
        {"header:Proxy-Authorization", false},
        {"header:Transfer-Encoding", false},
        {"header:X-REQUEST-ID", false},
        {"header:X-Request-Ids", true},
        {"header:Authorization", true},
        {"cookie:a=b", false},
        {"query:", false},
        {"path:{project}", false},
        {"nonsense", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct identity_source source;
        const char *fault = identity_source_parse(&source, span_of(rows[i].text));
        if ((fault == NULL) != rows[i].is_good)
            print_error("row %zu\n", i);
        assert_true((fault == NULL) == rows[i].is_good);
    }
    struct identity_source source;
    assert_null(identity_source_parse(&source, SPAN("header:X-AUTH-Token")));
    assert_int_equal(source.kind, IDENTITY_HEADER);
    assert_int_equal(source.field_id, HTTP_FIELD_X_AUTH_TOKEN);
    assert_span(source.name, "X-AUTH-Token");
    char longest[8 + IDENTITY_NAME_MAX + 1];
    memset(longest, 'q', sizeof(longest));
    memcpy(longest, "cookie:", 7);
    assert_null(identity_source_parse(&source, (struct span){longest, 7 + IDENTITY_NAME_MAX}));
    assert_non_null(identity_source_parse(&source, (struct span){longest, 8 + IDENTITY_NAME_MAX}));
}

static void test_clear_kinds(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < IDENTITY_KINDS; kind++) {
        bool is_secret = kind == IDENTITY_HEADER || kind == IDENTITY_COOKIE ||
                         kind == IDENTITY_QUERY || kind == IDENTITY_BEARER ||
                         kind == IDENTITY_JWT || kind == IDENTITY_TOKEN_PROJECT ||
                         kind == IDENTITY_CERTIFICATE;
        assert_true(identity_is_clear(kind) == !is_secret);
    }
}

/* want: the value; MISSING; or REPEATED. */
#define MISSING  "<missing>"
#define REPEATED "<repeated>"

struct row {
    const char *source, *target, *lines, *want;
};

static void check_row(const struct row *row)
{
    struct request request;
    request_parse(&request, row->target == NULL ? "/" : row->target, "h",
                  row->lines == NULL ? "" : row->lines);
    struct identity identity = identity_of(row->source, IDENTITY_MISSING_SKIP);
    struct identity_value value;
    struct span got = SPAN(REPEATED);
    enum identity_result result = identity_extract(&identity, &request.input, &value);
    if (result == IDENTITY_SKIPPED)
        got = SPAN(MISSING);
    if (result == IDENTITY_FOUND)
        got = value.value;
    assert_true(result != IDENTITY_REFUSED && result != IDENTITY_EXHAUSTED);
    assert_span(got, row->want);
    request_free(&request);
}

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_row(&rows[i]);
}

#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void test_headers(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"header:X-Api-Key", NULL, "x-api-KEY: alice\r\n", "alice"},
        {"header:x-api-key", NULL, "X-Api-Key:  Alice Smith \t\r\n", "Alice Smith"},
        {"header:X-Api-Key", NULL, "X-Api-Key: \r\n", MISSING},
        {"header:X-Api-Key", NULL, "X-Api-Keys: a\r\nX-Api-Ke: a\r\n", MISSING},
        {"header:X-Api-Key", NULL, "X-Api-Key: a\r\nX-API-KEY: a\r\n", REPEATED},
        {"header:X-Api-Key", NULL, "X-Api-Key:\r\nX-API-KEY: a\r\n", REPEATED},
        {"header:X-Auth-Token", NULL, "x-auth-token: t\r\n", "t"},
        {"header:X-Auth-Token", NULL, "x-auth-token: t\r\nX-Auth-Token: t\r\n", REPEATED},
        {"header:X-A|header:X-B", NULL, "X-B: b\r\n", "b"},
        {"header:X-A|header:X-B", NULL, "X-B: b\r\nX-A: a\r\n", "a"},
        {"header:X-A|header:X-B", NULL, "X-B: b\r\nX-A:\r\n", "b"},
        {"header:X-A|header:X-B", NULL, "X-A: a\r\nX-A: a\r\nX-B: b\r\n", REPEATED},
        {"header:X-A", NULL, "X-A: \xff\xfe\xc3\x28\r\n", "\xff\xfe\xc3\x28"},
    };
    CHECK(rows);
}

static void test_cookies(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"cookie:sid", NULL, "Cookie: sid=abc\r\n", "abc"},
        {"cookie:sid", NULL, "Cookie: a=1; sid=abc; b=2\r\n", "abc"},
        {"cookie:sid", NULL, "Cookie: a=1;sid=abc;b=2\r\n", "abc"},
        {"cookie:sid", NULL, "Cookie: a=1;\tsid = abc ;b\r\n", "abc"},
        {"cookie:sid", NULL, "Cookie: sid=\"abc\"\r\n", "abc"},
        {"cookie:sid", NULL, "Cookie: sid=\"\r\n", "\""},
        {"cookie:sid", NULL, "Cookie: sid=%61b%63\r\n", "abc"},
        {"cookie:sid", NULL, "Cookie: sid=a+b=c==\r\n", "a+b=c=="},
        {"cookie:sid", NULL, "Cookie: sid=a%zz%4\r\n", "a%zz%4"},
        {"cookie:sid", NULL, "Cookie: sid=\r\n", MISSING},
        {"cookie:sid", NULL, "Cookie: sid=\"\"\r\n", MISSING},
        {"cookie:sid", NULL, "Cookie: sid\r\n", MISSING},
        {"cookie:sid", NULL, "Cookie: SID=abc; xsid=1; sidx=2\r\n", MISSING},
        {"cookie:sid", NULL, "Cookie: sid=a; sid=a\r\n", REPEATED},
        {"cookie:sid", NULL, "Cookie: sid=; sid=a\r\n", REPEATED},
        {"cookie:sid", NULL, "Cookie: x=1\r\nCookie: sid=a\r\n", "a"},
        {"cookie:sid", NULL, "Cookie: sid=b\r\nCookie: sid=a\r\n", REPEATED},
        {"cookie:sid", NULL, "Cookie: ;;;=;==; sid=a;\r\n", "a"},
        {"cookie:sid", NULL, NULL, MISSING},
    };
    CHECK(rows);
}

static void test_queries(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"query:key", "/?key=abc", NULL, "abc"},
        {"query:key", "/?a=1&key=abc&b=2", NULL, "abc"},
        {"query:key", "/?%6bey=%61bc", NULL, "abc"},
        {"query:key", "/?%6Bey=a%42c", NULL, "aBc"},
        {"query:a b", "/?a+b=x+y", NULL, "x y"},
        {"query:a b", "/?a%20b=x%20y", NULL, "x y"},
        {"query:key", "/?key=a=b", NULL, "a=b"},
        {"query:key", "/?key=%zz%4", NULL, "%zz%4"},
        {"query:key", "/?key=%2500", NULL, "%00"},
        {"query:key", "/?key=", NULL, MISSING},
        {"query:key", "/?key", NULL, MISSING},
        {"query:key", "/?KEY=a&xkey=b&keyx=c", NULL, MISSING},
        {"query:key", "/?key=a&key=a", NULL, REPEATED},
        {"query:key", "/?key=a&%6bey=b", NULL, REPEATED},
        {"query:key", "/?key&key=b", NULL, REPEATED},
        {"query:key", "/?&&=&==&key=b&", NULL, "b"},
        {"query:key", "/?", NULL, MISSING},
        {"query:key", "/", NULL, MISSING},
        {"query:key", "/key=a", NULL, MISSING},
        {"query:key", "/?x=1;key=a", NULL, MISSING}, /* ";" separates nothing */
    };
    CHECK(rows);
}

static void test_credentials(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"bearer", NULL, "Authorization: Bearer abc.def-1\r\n", "abc.def-1"},
        {"bearer", NULL, "authorization: bEARER \t abc\r\n", "abc"},
        {"bearer", NULL, "Authorization: Bearer\tabc\r\n", "abc"},
        {"bearer", NULL, "Authorization: Bearer\r\n", MISSING},
        {"bearer", NULL, "Authorization: Bearerabc\r\n", MISSING},
        {"bearer", NULL, "Authorization: Bearer a b\r\n", MISSING},
        {"bearer", NULL, "Authorization: Basic abc\r\n", MISSING},
        {"bearer", NULL, "Authorization: Bearer a\r\nAuthorization: Bearer a\r\n", REPEATED},
        {"bearer", NULL, "Authorization: Bearer a\r\nAuthorization: Basic a\r\n", REPEATED},
        {"access_key", NULL,
         "Authorization: SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=host;x-sdk-date, "
         "Signature=00ff\r\n",
         "AKEXAMPLE"},
        {"access_key", NULL,
         "Authorization: SDK-HMAC-SHA256 Credential=AKEXAMPLE/20150907/eu-de/ims/sdk_request, "
         "SignedHeaders=host, "
         "Signature=00ff\r\n",
         "AKEXAMPLE"},
        {"access_key", NULL, "Authorization: SDK-HMAC-SHA256 Access=AK\r\n", "AK"},
        {"access_key", NULL, "Authorization: SDK-HMAC-SHA256 Signature=0,Access=AK\r\n", "AK"},
        {"access_key", NULL, "Authorization: sdk-hmac-sha256  ACCESS = AK ,Signature=0\r\n", "AK"},
        {"access_key", NULL, "Authorization: SDK-HMAC-SHA256 Credential=AK\r\n", MISSING},
        {"access_key", NULL, "Authorization: SDK-HMAC-SHA256 Credential=/20150907\r\n", MISSING},
        {"access_key", NULL, "Authorization: SDK-HMAC-SHA256 Access=\r\n", MISSING},
        {"access_key", NULL, "Authorization: SDK-HMAC-SHA256 Access=A/K\r\n", MISSING},
        {"access_key", NULL, "Authorization: SDK-HMAC-SHA256 Access=\"AK\"\r\n", MISSING},
        {"access_key", NULL, "Authorization: SDK-HMAC-SHA256 Access=A K\r\n", MISSING},
        {"access_key", NULL, "Authorization: SDK-HMAC-SHA256 Access=A\xffK\r\n", MISSING},
        {"access_key", NULL, "Authorization: SDK-HMAC-SHA256 Access\r\n", MISSING},
        {"access_key", NULL, "Authorization: SDK-HMAC-SHA256 Access=AK,,\r\n", MISSING},
        {"access_key", NULL, "Authorization: SDK-HMAC-SHA256\r\n", MISSING},
        {"access_key", NULL, "Authorization: AWS4-HMAC-SHA256 Credential=AK/2015\r\n", MISSING},
        {"access_key", NULL, "Authorization: SDK-HMAC-SHA256 Access=AK, Access=AK\r\n", REPEATED},
        {"access_key", NULL, "Authorization: SDK-HMAC-SHA256 Access=AK, Credential=AK/2015\r\n",
         REPEATED},
        {"access_key", NULL,
         "Authorization: Bearer a\r\nAuthorization: SDK-HMAC-SHA256 Access=AK\r\n", REPEATED},
        {"basic_user", NULL, "Authorization: Basic YWxpY2U6c2VjcmV0\r\n", "alice"},
        {"basic_user", NULL, "Authorization: bASIC \t YWxpY2U6c2VjcmV0\r\n", "alice"},
        {"basic_user", NULL, "Authorization: Basic YWxpY2U6YTpi\r\n", "alice"}, /* alice:a:b */
        {"basic_user", NULL, "Authorization: Basic YWxpY2U6\r\n", "alice"},     /* alice: */
        {"basic_user", NULL, "Authorization: Basic w7ZsIGE6cA==\r\n", "\xc3\xb6l a"}, /* ol a:p */
        {"basic_user", NULL, "Authorization: Basic OnNlY3JldA==\r\n", MISSING},       /* :secret */
        {"basic_user", NULL, "Authorization: Basic YWxpY2U=\r\n", MISSING},           /* alice */
        {"basic_user", NULL, "Authorization: Basic YWxpY2U6cB==\r\n", MISSING}, /* a stray bit */
        {"basic_user", NULL, "Authorization: Basic YWxpY2U6c\r\n", MISSING},
        {"basic_user", NULL, "Authorization: Basic YWxpY2U6 cA==\r\n", MISSING},
        {"basic_user", NULL, "Authorization: Basic YWxp/WU_cA==\r\n", MISSING},
        {"basic_user", NULL, "Authorization: Basic /zpw\r\n", MISSING},     /* ff:p */
        {"basic_user", NULL, "Authorization: Basic YQBiOnA=\r\n", MISSING}, /* a NUL b:p */
        {"basic_user", NULL, "Authorization: Basic YQpiOnA=\r\n", MISSING}, /* a LF b:p */
        {"basic_user", NULL, "Authorization: Basic YX9iOnA=\r\n", MISSING}, /* a DEL b:p */
        {"basic_user", NULL, "Authorization: Basic YcKFOnA=\r\n", MISSING}, /* a U+0085:p */
        {"basic_user", NULL, "Authorization: Basic 7aCAOnA=\r\n", MISSING}, /* a surrogate */
        {"basic_user", NULL, "Authorization: Basic wIA6cA==\r\n", MISSING}, /* overlong */
        {"basic_user", NULL, "Authorization: Basic\r\n", MISSING},
        {"basic_user", NULL, "Authorization: Basic \r\n", MISSING},
        {"basic_user", NULL, "Authorization: Bearer YWxpY2U6c2VjcmV0\r\n", MISSING},
        {"basic_user", NULL, "Authorization: Basic YWxpY2U6\r\nAuthorization: Bearer a\r\n",
         REPEATED},
        {"bearer|access_key", NULL, "Authorization: SDK-HMAC-SHA256 Access=AK\r\n", "AK"},
    };
    CHECK(rows);
}

static void test_access_key_is_bounded(void **state)
{
    (void)state;
    for (size_t len = IDENTITY_AK_MAX; len <= IDENTITY_AK_MAX + 1; len++) {
        char text[256];
        int head = snprintf(text, sizeof(text), "SDK-HMAC-SHA256 Access=");
        memset(text + head, 'A', len);
        struct request request;
        request_raw(&request, "authorization", (struct span){text, (size_t)head + len});
        struct identity identity = identity_of("access_key", IDENTITY_MISSING_SKIP);
        struct identity_value value;
        enum identity_result want = len <= IDENTITY_AK_MAX ? IDENTITY_FOUND : IDENTITY_SKIPPED;
        assert_int_equal(identity_extract(&identity, &request.input, &value), want);
        request_free(&request);
    }
}

static void test_request_parts(void **state)
{
    (void)state;
    struct request request;
    request_parse(&request, "/v1/p", "API.Example.com.:8080", "");
    static const struct span_pair names[] = {{SPAN("a"), SPAN("1")}, {SPAN("project"), SPAN("p")}};
    request.input.path_names = names;
    request.input.path_name_count = 2;
    request.input.route = SPAN("images");
    static const char *const rows[][2] = {{"host", "api.example.com"},
                                          {"method", "GET"},
                                          {"route", "images"},
                                          {"path:project", "p"},
                                          {"path:a", "1"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct identity identity = identity_of(rows[i][0], IDENTITY_MISSING_REFUSE);
        struct identity_value value;
        assert_int_equal(identity_extract(&identity, &request.input, &value), IDENTITY_FOUND);
        assert_span(value.value, rows[i][1]);
    }
    struct identity identity = identity_of("path:Project", IDENTITY_MISSING_REFUSE);
    struct identity_value value;
    assert_int_equal(identity_extract(&identity, &request.input, &value), IDENTITY_REFUSED);
    request_free(&request);
}

static void test_missing_rules(void **state)
{
    (void)state;
    struct request request;
    request_parse(&request, "/", "h", "");
    request.input.client_ip = address("2001:db8::1");
    struct identity_value value;
    struct identity identity = identity_of("header:X-A|bearer", IDENTITY_MISSING_IP);
    assert_int_equal(identity_extract(&identity, &request.input, &value), IDENTITY_FOUND);
    assert_int_equal(value.kind, IDENTITY_IP);
    assert_int_equal(value.source_name.len, 0);
    assert_false(value.is_shared);
    assert_span(value.value, "2001:db8::/64");

    identity.missing = IDENTITY_MISSING_SHARED;
    assert_int_equal(identity_extract(&identity, &request.input, &value), IDENTITY_FOUND);
    assert_true(value.is_shared);
    assert_int_equal(value.value.len, 0);

    identity.missing = IDENTITY_MISSING_REFUSE;
    assert_int_equal(identity_extract(&identity, &request.input, &value), IDENTITY_REFUSED);
    identity.missing = IDENTITY_MISSING_SKIP;
    assert_int_equal(identity_extract(&identity, &request.input, &value), IDENTITY_SKIPPED);
    request_free(&request);
}

static void test_ip_text(void **state)
{
    (void)state;
    static const struct {
        const char *ip;
        uint8_t v4, v6;
        const char *want;
    } rows[] = {
        {"203.0.113.7", 32, 64, "203.0.113.7"},
        {"::ffff:203.0.113.7", 32, 64, "203.0.113.7"},
        {"::FFFF:cb00:7107", 32, 64, "203.0.113.7"},
        {"203.0.113.7", 24, 64, "203.0.113.0/24"},
        {"203.0.113.7", 0, 64, "0.0.0.0/0"},
        {"2001:db8:1:2:3:4:5:6", 32, 64, "2001:db8:1:2::/64"},
        {"2001:DB8:1:2::", 32, 64, "2001:db8:1:2::/64"},
        {"2001:db8:1:2:3:4:5:6", 32, 56, "2001:db8:1::/56"},
        {"2001:db8:1:2:3:4:5:6", 32, 128, "2001:db8:1:2:3:4:5:6"},
        {"fedc:ba98:7654:3210:fedc:ba98:7654:3210", 32, 127,
         "fedc:ba98:7654:3210:fedc:ba98:7654:3210/127"},
        {"::1", 32, 0, "::/0"},
    };
    struct request request;
    request_parse(&request, "/", "h", "");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct identity identity = identity_of("ip", IDENTITY_MISSING_IP);
        identity.ipv4_prefix = rows[i].v4;
        identity.ipv6_prefix = rows[i].v6;
        request.input.client_ip = address(rows[i].ip);
        struct identity_value value;
        assert_int_equal(identity_extract(&identity, &request.input, &value), IDENTITY_FOUND);
        assert_span(value.value, rows[i].want);
    }
    request_free(&request);
}

/* No room for a rewritten value: said so, never a shorter or another value. */
static void test_exhausted_arena(void **state)
{
    (void)state;
    static const char *const sources[] = {"cookie:sid", "query:key", "host", "basic_user"};
    struct request request;
    request_parse(&request, "/?key=%61", "HOST",
                  "Cookie: sid=%61\r\nAuthorization: Basic YTpi\r\n");
    for (size_t i = 0; i < 4; i++) {
        struct identity identity = identity_of(sources[i], IDENTITY_MISSING_IP);
        struct identity_value value;
        struct arena full;
        arena_init(&full, NULL, 0, 0);
        request.input.arena = &full;
        assert_int_equal(identity_extract(&identity, &request.input, &value), IDENTITY_EXHAUSTED);
        request.input.arena = NULL;
        assert_int_equal(identity_extract(&identity, &request.input, &value), IDENTITY_EXHAUSTED);
    }
    request_free(&request);
}

/* Bytes that no parser of ours lets through still stay inside their value. */
/* What a token was learned to be of counts where the request has exactly one. */
static void test_token_project(void **state)
{
    static const struct {
        const char *lines, *project;
        enum identity_result result;
    } rows[] = {
        {"X-Auth-Token: T\r\n", "alpha", IDENTITY_FOUND},
        {"x-auth-token: T\r\n", "alpha", IDENTITY_FOUND},
        {"X-Auth-Token: T\r\n", "", IDENTITY_SKIPPED},
        {"", "alpha", IDENTITY_SKIPPED},
        {"X-Auth-Token: T\r\nX-Auth-Token: T\r\n", "alpha", IDENTITY_REPEATED},
        {"X-Auth-Token: T\r\nX-Auth-Token: U\r\n", "", IDENTITY_REPEATED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct request request;
        struct identity_value value;
        request_parse(&request, "/", "h", rows[i].lines);
        request.input.project = span_of(rows[i].project);
        struct identity identity = identity_of("token_project", IDENTITY_MISSING_SKIP);
        assert_int_equal(identity_extract(&identity, &request.input, &value), rows[i].result);
        if (rows[i].result == IDENTITY_FOUND)
            assert_true(value.kind == IDENTITY_TOKEN_PROJECT && value.source_name.len == 0 &&
                        span_eq(value.value, SPAN("alpha")));
        request_free(&request);
    }
}

static void test_raw_bytes(void **state)
{
    (void)state;
    size_t len = 65536;
    char *big = malloc(len);
    assert_non_null(big);
    memset(big, 'k', len);
    const struct span values[] = {
        {"a\0b", 3}, {"a\r\nX-Api-Key: b", 15}, {"\0", 1}, {"\xff\xc0\x80", 3}, {big, len},
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct request request;
        request_raw(&request, "x-api-key", values[i]);
        struct identity identity = identity_of("header:X-Api-Key", IDENTITY_MISSING_SKIP);
        struct identity_value value;
        assert_int_equal(identity_extract(&identity, &request.input, &value), IDENTITY_FOUND);
        assert_true(span_eq(value.value, values[i]));
        request_free(&request);
    }
    free(big);
    struct request request;
    request_parse(&request, "/?key=%0a%0D%00x", "h", "");
    struct identity identity = identity_of("query:key", IDENTITY_MISSING_SKIP);
    struct identity_value value;
    assert_int_equal(identity_extract(&identity, &request.input, &value), IDENTITY_FOUND);
    assert_true(span_eq(value.value, SPAN("\n\r\0x")));
    request_free(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_clear_kinds),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_cookies),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_access_key_is_bounded),
        cmocka_unit_test(test_request_parts),
        cmocka_unit_test(test_missing_rules),
        cmocka_unit_test(test_ip_text),
        cmocka_unit_test(test_exhausted_arena),
        cmocka_unit_test(test_token_project),
        cmocka_unit_test(test_raw_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
