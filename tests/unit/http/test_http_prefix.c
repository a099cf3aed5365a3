/* SPDX-License-Identifier: Apache-2.0 */
/* A path with another beginning: cut in the client's bytes where the judged path says, in every spelling. */
#include "http/http_helpers.h"
#include "http/http_path.h"
#include "http/http_prefix.h"

struct row {
    const char *strip, *add, *path;
    const char *forwarded;
};

static const struct row ROWS[] = {
    {"/api", "", "/api/v1", "/v1"},
    {"/api", "", "/api", "/"},
    {"/api", "", "/api/", "/"},
    {"/api", "", "/api/api/x", "/api/x"},
    {"/api", "", "/apix", "/apix"},
    {"/api", "", "/apix/api", "/apix/api"},
    {"/api", "", "/API/v1", "/API/v1"},
    {"/api", "", "/ap", "/ap"},
    {"/api", "", "/", "/"},
    {"/api", "", "*", "*"},
    {"/a/b", "", "/a/b/c", "/c"},
    {"/a/b", "", "/a/b", "/"},
    {"/a/b", "", "/a/c", "/a/c"},
    {"/a/b", "", "/a", "/a"},

    /* put before, and in place of what was taken */
    {"", "/v2", "/x", "/v2/x"},
    {"", "/v2", "/", "/v2/"},
    {"", "/v2", "//x", "/v2//x"},
    {"", "/v2", "*", "*"},
    {"/api", "/v2", "/api/x", "/v2/x"},
    {"/api", "/v2", "/api", "/v2"},
    {"/api", "/v2", "/api/", "/v2/"},
    {"/api", "/v2", "/other", "/v2/other"},
    {"/api", "/v2/api", "/%61pi/x%2d", "/v2/api/x%2d"},

    /* encoded, and with empty segments */
    {"/api", "", "/%61p%69/x%2Dy", "/x%2Dy"},
    {"/api", "", "/%61pi", "/"},
    {"/api", "", "//api/x", "/x"},
    {"/api", "", "///%61pi///x", "/x"},
    {"/api", "", "/api//evil.example/..x", "/evil.example/..x"},
    {"/api", "", "/api//", "/"},
    {"/api", "", "/api///", "/"},
    {"/api", "", "/api//x//y", "/x//y"},
    {"/a/b", "", "//a////b//c", "/c"},
    {"/a/b", "", "/a//%62", "/"},
    {"/caf%C3%A9", "", "/caf%c3%a9/x%c3", "/x%c3"},

    /* doubts that are no dot segments: one segment stays one segment */
    {"/api", "", "/api%2Fx", "/api%2Fx"},
    {"/api", "", "/api/%2Fx", "/%2Fx"},
    {"/a%2Fb", "", "/a%2fb/c", "/c"},
    {"/api", "", "/api\\x", "/api\\x"},
    {"/api", "", "/api/\\x", "/\\x"},
    {"/api", "", "/api;v=1/x", "/x"},
    {"/api", "", "/api;v=1", "/"},
    {"/api", "", "/;x/api/y", "/y"},
    {"/api", "", "/;x//;y/api;z/y;t", "/y;t"},
    {"/api", "", "/api/;x/y", "/y"},
    {"/api", "", "/api/;x", "/;x"},
    {"/api", "", "/api//;x", "/;x"},
    {"/api", "", "/%3Bx/api/y", "/%3Bx/api/y"},
    {"/api", "", "/%2561pi/x", "/%2561pi/x"},

    /* names */
    {"/t/{id}", "", "/t/42/x", "/x"},
    {"/t/{id}", "", "/t/%34%32", "/"},
    {"/t/{id}", "", "/t//42//x", "/x"},
    {"/t/{id}", "", "/t/", "/t/"},
    {"/t/{id}", "", "/t", "/t"},
    {"/{a}/{b}", "/z", "/1/2/3", "/z/3"},
    {"/{a}", "", "/a%2fb/c", "/c"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        const struct row *row = &ROWS[i];
        const struct http_prefix prefix = {span_of(row->strip), span_of(row->add)};
        const struct span path = span_of(row->path);
        char room[256], out[256];
        struct http_path judged;
        struct http_fault fault;
        assert_int_equal(http_path_judge(path, room, &judged, &fault), HTTP_PARSE_OK);
        memset(out, '#', sizeof(out));
        char *end = http_prefix_write(out, &prefix, path, judged.judged);
        if ((size_t)(end - out) != strlen(row->forwarded) ||
            memcmp(out, row->forwarded, strlen(row->forwarded)) != 0)
            fail_msg("\"%s\" less \"%s\": \"%.*s\" instead of \"%s\"", row->path, row->strip,
                     (int)(end - out), out, row->forwarded);
        assert_true((size_t)(end - out) <= path.len + prefix.add.len);
        assert_int_equal(*end, '#');
    }
}

static void test_behind(void **state)
{
    (void)state;
    struct span behind;
    assert_true(http_prefix_matches(SPAN("/a"), SPAN("/a"), &behind));
    assert_int_equal(behind.len, 0);
    assert_true(http_prefix_matches(SPAN("/a/{x}"), SPAN("/a/b/c/"), &behind));
    test_span_is(behind, "/c/");
    assert_false(http_prefix_matches(SPAN("/a/{x}"), SPAN("/a/"), &behind));
    assert_false(http_prefix_matches(SPAN("/a"), SPAN("*"), &behind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
