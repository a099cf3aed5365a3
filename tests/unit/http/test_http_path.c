/* SPDX-License-Identifier: Apache-2.0 */
/* Every spelling of a path that reaches the same resource is judged the same, or refused. */
#include "http/http_helpers.h"
#include "http/http_path.h"

struct row {
    const char *path;
    size_t len;
    enum http_fault_id fault;
    const char *judged;
};
#define OK(path, judged)                                                                           \
    {                                                                                              \
        path, sizeof(path) - 1, HTTP_FAULT_NONE, judged                                            \
    }
#define SAME(path)                                                                                 \
    {                                                                                              \
        path, sizeof(path) - 1, HTTP_FAULT_NONE, path                                              \
    }
#define REFUSED(path, id)                                                                          \
    {                                                                                              \
        path, sizeof(path) - 1, HTTP_FAULT_##id, NULL                                              \
    }

static const struct row ROWS[] = {
    SAME("/"),
    SAME("/v1/search"),
    SAME("/v1/search/"),
    SAME("/V1/Search"),
    SAME("/a.b/c..d/..e/f../...g/.h/i."),
    SAME("/.../a"),
    SAME("/a-b_c~d!e$f&g'h(i)j*k+l,m=n:o@p"),
    SAME("/a[b]c{d}e|f^g`h"),
    SAME("*"),
    SAME("/%20/%25/%3F/%23/%22/%3C/%3E/%3B"),
    SAME("/%C3%A9"),
    SAME("/%E9"),
    SAME("/%FF"),
    SAME("/%252e%252e/%2500"),
    SAME("/.well-known/acme"),

    OK("//v1/search", "/v1/search"),
    OK("/v1//search", "/v1/search"),
    OK("/v1///search//", "/v1/search/"),
    OK("////", "/"),
    OK("/v1/%73earch", "/v1/search"),
    OK("/v1/%73%65%61%72%63%68", "/v1/search"),
    OK("/%76%31/search", "/v1/search"),
    OK("/v1/%53earch", "/v1/Search"),
    OK("/v1/a%3ab", "/v1/a:b"),
    OK("/v1/a%3Ab", "/v1/a:b"),
    OK("/v1/a%40b%2bc%2Cd%3D", "/v1/a@b+c,d="),
    OK("/v1/%7e%2D%5f", "/v1/~-_"),
    OK("/%7bid%7D", "/{id}"),
    OK("/%c3%a9", "/%C3%A9"),
    OK("/a%2eb", "/a.b"),
    OK("/%2ea", "/.a"),
    OK("/a/%2e%2ea", "/a/..a"),
    OK("/%3b", "/%3B"),
    OK("/%3f", "/%3F"),
    OK("/%2520", "/%2520"),
    OK("/%20%7E", "/%20~"),
    OK("//%2e.a/.b/..%2e", "/..a/.b/..."),

    REFUSED("/.", PATH_DOT_SEGMENT),
    REFUSED("/..", PATH_DOT_SEGMENT),
    REFUSED("/./", PATH_DOT_SEGMENT),
    REFUSED("/../", PATH_DOT_SEGMENT),
    REFUSED("/v1/./search", PATH_DOT_SEGMENT),
    REFUSED("/v1/../search", PATH_DOT_SEGMENT),
    REFUSED("/v1/search/.", PATH_DOT_SEGMENT),
    REFUSED("/v1/x/..", PATH_DOT_SEGMENT),
    REFUSED("/v1/%2e/search", PATH_DOT_SEGMENT),
    REFUSED("/v1/%2E/search", PATH_DOT_SEGMENT),
    REFUSED("/v1/%2e%2e/search", PATH_DOT_SEGMENT),
    REFUSED("/v1/.%2e/search", PATH_DOT_SEGMENT),
    REFUSED("/v1/%2e./search", PATH_DOT_SEGMENT),
    REFUSED("/v1/x/%2e%2E", PATH_DOT_SEGMENT),
    REFUSED("//..//", PATH_DOT_SEGMENT),
    REFUSED("/%2e", PATH_DOT_SEGMENT),

    REFUSED("/v1%2fsearch", PATH_ENCODED_SLASH),
    REFUSED("/v1%2Fsearch", PATH_ENCODED_SLASH),
    REFUSED("/v1/..%2fsearch", PATH_ENCODED_SLASH),
    REFUSED("/v1%5csearch", PATH_ENCODED_SLASH),
    REFUSED("/v1%5Csearch", PATH_ENCODED_SLASH),
    REFUSED("/v1\\search", PATH_ENCODED_SLASH),
    REFUSED("/\\", PATH_ENCODED_SLASH),
    REFUSED("/..\\", PATH_ENCODED_SLASH),

    REFUSED("/v1/search%00", PATH_NUL),
    REFUSED("/%00", PATH_NUL),
    REFUSED("/v1/%0d%0asearch", PATH_NUL),
    REFUSED("/v1/%09search", PATH_NUL),
    REFUSED("/v1/%1f", PATH_NUL),
    REFUSED("/v1/%7f", PATH_NUL),
    REFUSED("/v1/%7F", PATH_NUL),
    REFUSED("/a\0b", PATH_NUL),
    REFUSED("/a\nb", PATH_NUL),
    REFUSED("/a\x7f", PATH_NUL),

    REFUSED("/v1/search;x", PATH_PARAMETER),
    REFUSED("/v1;a=b/search", PATH_PARAMETER),
    REFUSED("/;", PATH_PARAMETER),
    REFUSED("/..;/", PATH_PARAMETER),

    REFUSED("/%", PATH_BAD_ENCODING),
    REFUSED("/%2", PATH_BAD_ENCODING),
    REFUSED("/%zz", PATH_BAD_ENCODING),
    REFUSED("/%2g", PATH_BAD_ENCODING),
    REFUSED("/%%32e", PATH_BAD_ENCODING),
    REFUSED("/%u002e", PATH_BAD_ENCODING),
    REFUSED("/% 2e", PATH_BAD_ENCODING),
    REFUSED("/%+2", PATH_BAD_ENCODING),
    REFUSED("/%c0%ae", PATH_BAD_ENCODING),
    REFUSED("/%c0%ae%c0%ae/x", PATH_BAD_ENCODING),
    REFUSED("/a%c0%afb", PATH_BAD_ENCODING),
    REFUSED("/a%C1%9Cb", PATH_BAD_ENCODING),
    REFUSED("/a%c0%80", PATH_BAD_ENCODING),
    REFUSED("/a%c0%bbb", PATH_BAD_ENCODING),
    REFUSED("/a%e0%80%afb", PATH_BAD_ENCODING),
    REFUSED("/a%f0%80%80%af", PATH_BAD_ENCODING),
    SAME("/%C0%A0x"),
    SAME("/%C0"),
    OK("/%C0%41x", "/%C0Ax"),
    SAME("/%C0%C0"),
    SAME("/%E0%A0%80"),
    SAME("/%F0%9F%98%80"),

    REFUSED("/a b", BAD_TARGET),
    REFUSED("/a\xc3\xa9", BAD_TARGET),
    REFUSED("/a?b", BAD_TARGET),
    REFUSED("/a#b", BAD_TARGET),
    REFUSED("/a<b", BAD_TARGET),
};

static void test_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        const struct row *row = &ROWS[i];
        char *path = test_copy(row->path, row->len);
        char *out = test_copy(row->path, row->len);
        struct span judged;
        struct http_fault fault = {HTTP_FAULT_NONE, 0};
        enum http_parse parse =
            http_path_judge((struct span){path, row->len}, out, &judged, &fault);
        if (fault.id != row->fault)
            fail_msg("%s: %s", http_fault_name(fault.id), row->path);
        assert_int_equal(parse, row->judged != NULL ? HTTP_PARSE_OK : HTTP_PARSE_BAD);
        if (row->judged != NULL)
            test_span_is(judged, row->judged);
        else
            assert_true(fault.offset <= row->len);
        if (row->judged != NULL && span_eq(judged, (struct span){path, row->len}))
            assert_ptr_equal(judged.ptr, path);
        assert_memory_equal(path, row->path, row->len);
        free(path);
        free(out);
    }
}

/* What was judged once is judged as itself, and never grows. */
static void test_judging_twice(void **state)
{
    (void)state;
    static const char alphabet[] = "/.%2eEfF3b;a\\~C0";
    char path[7], once[7], twice[7];
    path[0] = '/';
    unsigned total = 1;
    for (unsigned i = 0; i < 5; i++)
        total *= sizeof(alphabet) - 1;
    for (unsigned n = 0; n < total; n++) {
        for (unsigned i = 1, rest = n; i <= 5; i++, rest /= sizeof(alphabet) - 1)
            path[i] = alphabet[rest % (sizeof(alphabet) - 1)];
        struct span first, second;
        struct http_fault fault;
        if (http_path_judge((struct span){path, 6}, once, &first, &fault) != HTTP_PARSE_OK)
            continue;
        assert_true(first.len <= 6 && first.len > 0 && first.ptr[0] == '/');
        assert_int_equal(http_path_judge(first, twice, &second, &fault), HTTP_PARSE_OK);
        assert_true(span_eq(first, second));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_judging_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
