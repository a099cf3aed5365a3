/* SPDX-License-Identifier: Apache-2.0 */
/* test_route_pattern.c - what a rule may say, and which rule hides another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/http_path.h"
#include "route/route.h"

#define A16   "aaaaaaaaaaaaaaaa"
#define A256  A16 A16 A16 A16 A16 A16 A16 A16 A16 A16 A16 A16 A16 A16 A16 A16
#define A2048 A256 A256 A256 A256 A256 A256 A256 A256
#define S8    "/a/a/a/a/a/a/a/a"
#define S64   S8 S8 S8 S8 S8 S8 S8 S8

static const struct span get[] = {SPAN("GET")};
static const struct span get_head[] = {SPAN("GET"), SPAN("HEAD")};
static const struct span not_token[] = {SPAN("GET"), SPAN("G T")};

static struct route_rule rule_of(const char *host, const char *path, const char *prefix)
{
    return (struct route_rule){
        .name = SPAN("r"),
        .host = span_of(host),
        .path = span_of(path),
        .prefix = span_of(prefix),
    };
}

static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *host, *path, *prefix;
        bool is_good;
    } rows[] = {
        {NULL, NULL, NULL, true},
        {NULL, "/", NULL, true},
        {NULL, "/v1", NULL, true},
        {NULL, "/v1/", NULL, true},
        {NULL, "/v1/{project}/search", NULL, true},
        {NULL, "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}", NULL, true},
        {NULL, "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", NULL, false},
        {NULL, "/{a}/{a}", NULL, false},
        {NULL, "/{}", NULL, false},
        {NULL, "/{", NULL, false},
        {NULL, "/}", NULL, false},
        {NULL, "/{a}}", NULL, false},
        {NULL, "/{{a}", NULL, false},
        {NULL, "/v{a}", NULL, false},
        {NULL, "/{a}v", NULL, false},
        {NULL, "/}a{", NULL, false},
        {NULL, "/{a b}", NULL, false},
        {NULL, "/{a/b}", NULL, false},
        {NULL, "/{project_id}/{a-b}", NULL, true},
        {NULL, NULL, "/v1/{project}/", true},
        {NULL, NULL, "/v1/{project}", true},
        {NULL, NULL, "/", true},
        {NULL, "/v1", "/v1", false},
        {NULL, "v1", NULL, false},
        {NULL, NULL, "v1", false},
        {NULL, "*", NULL, false},
        {NULL, "/a//b", NULL, false},
        {NULL, "//", NULL, false},
        {NULL, "/a/../b", NULL, false},
        {NULL, "/a/.", NULL, false},
        {NULL, "/a/%2e%2e/b", NULL, false},
        {NULL, "/a%2Fb", NULL, false},
        {NULL, "/a;b", NULL, false},
        {NULL, "/a\\b", NULL, false},
        {NULL, "/a%41", NULL, false},    /* unreserved bytes are compared plain */
        {NULL, "/a%c3%a9", NULL, false}, /* digits are compared in upper case */
        {NULL, "/a%C3%A9", NULL, true},
        {NULL, "/a\xc3\xa9", NULL, false},
        {NULL, "/a%", NULL, false},
        {NULL, "/a%zz", NULL, false},
        {NULL, "/a?b", NULL, false},
        {NULL, "/a#b", NULL, false},
        {NULL, "/a b", NULL, false},
        {NULL, "/a\nb", NULL, false},
        {NULL, S64, NULL, true},
        {NULL, S64 "/", NULL, false},
        {NULL, NULL, S64 "/a", false},
        {NULL, "/" A2048, NULL, false},
        {"example.com", "/", NULL, true},
        {"example.com.", "/", NULL, true},
        {"*.example.com", "/", NULL, true},
        {"*.com", "/", NULL, true},
        {"localhost", "/", NULL, true},
        {"10.0.0.1", "/", NULL, true},
        {"[2001:db8::1]", "/", NULL, true},
        {"a_b.example.com", "/", NULL, true},
        {"Example.com", "/", NULL, false},
        {"example.com:80", "/", NULL, false},
        {"*", "/", NULL, false},
        {"*.", "/", NULL, false},
        {"*.*.com", "/", NULL, false},
        {"a.*.com", "/", NULL, false},
        {"*example.com", "/", NULL, false},
        {".", "/", NULL, false},
        {"..", "/", NULL, false},
        {".example.com", "/", NULL, false},
        {"a..b", "/", NULL, false},
        {"a b", "/", NULL, false},
        {"[]", "/", NULL, false},
        {"[::1", "/", NULL, false},
        {A256, "/", NULL, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct route_rule rule = rule_of(rows[i].host, rows[i].path, rows[i].prefix);
        const char *fault = route_rule_fault(&rule);
        if ((fault == NULL) != rows[i].is_good)
            print_error("row %zu: %s\n", i, fault == NULL ? "no fault" : fault);
        assert_true((fault == NULL) == rows[i].is_good);
    }
}

/* What a route allows may stand in its pattern, spelled as it is judged; what judging removes may not. */
static void test_allowed_paths(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        uint32_t needed; /* 0: a fault whatever is allowed */
    } rows[] = {
        {"/a%2Fb", HTTP_PATH_BIT(HTTP_PATH_ENCODED_SLASH)},
        {"/a\\b", HTTP_PATH_BIT(HTTP_PATH_BACKSLASH)},
        {"/{x}/a%252fb", HTTP_PATH_BIT(HTTP_PATH_DOUBLE_ENCODING)},
        {"/a%2fb", 0},
        {"/a%5Cb", 0},
        {"/a;b", 0},
        {"/a/./b", 0},
        {"/a%2F..", 0},
        {"/%00", 0},
    };
    const uint32_t all = HTTP_PATH_BIT(HTTP_PATH_DOUBTS) - 1;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct route_rule rule = rule_of(NULL, rows[i].path, NULL);
        rule.allow_path = all & ~rows[i].needed;
        assert_non_null(route_rule_fault(&rule));
        rule.allow_path = rows[i].needed;
        assert_true((route_rule_fault(&rule) == NULL) == (rows[i].needed != 0));
    }
}

static void test_method_faults(void **state)
{
    (void)state;
    struct route_rule rule = rule_of(NULL, "/", NULL);
    rule.methods = get;
    assert_non_null(route_rule_fault(&rule)); /* a list, but empty */
    rule.method_count = 1;
    assert_null(route_rule_fault(&rule));
    rule.methods = not_token;
    rule.method_count = 2;
    assert_non_null(route_rule_fault(&rule));
}

static void test_covers_paths(void **state)
{
    (void)state;
    static const struct {
        const char *path, *prefix, *later_path, *later_prefix;
        bool covers;
    } rows[] = {
        {NULL, NULL, NULL, NULL, true},        {NULL, NULL, "/a", NULL, true},
        {NULL, NULL, NULL, "/", true},         {NULL, "/", NULL, NULL, false}, /* "*" is left */
        {NULL, "/", "/a", NULL, true},         {NULL, "/", "/", NULL, true},
        {NULL, "/", NULL, "/a", true},         {NULL, "/v1", "/v1", NULL, true},
        {NULL, "/v1", "/v1/", NULL, true},     {NULL, "/v1", "/v1x", NULL, false},
        {NULL, "/v1", NULL, "/v1/", true},     {NULL, "/v1", NULL, "/v1", true},
        {NULL, "/v1", NULL, "/v1/a", true},    {NULL, "/v1", NULL, "/", false},
        {NULL, "/v1/", "/v1", NULL, false},    {NULL, "/v1/", "/v1/", NULL, true},
        {NULL, "/v1/", NULL, "/v1", false},    {NULL, "/v1/", NULL, "/v1/", true},
        {NULL, "/v1/", NULL, "/v1/a", true},   {NULL, "/v1/", NULL, "/v1/a/", true},
        {"/a", NULL, "/a", NULL, true},        {"/a", NULL, "/a/", NULL, false},
        {"/a/", NULL, "/a", NULL, false},      {"/a", NULL, NULL, "/a", false},
        {"/a", NULL, NULL, NULL, false},       {"/{x}", NULL, "/a", NULL, true},
        {"/{x}", NULL, "/{y}", NULL, true},    {"/{x}", NULL, "/", NULL, false},
        {"/a/{x}", NULL, "/a/", NULL, false},  {"/a", NULL, "/{x}", NULL, false},
        {"/{x}/b", NULL, "/a/b", NULL, true},  {"/{x}/b", NULL, "/a/c", NULL, false},
        {NULL, "/{x}/", "/a/b/c", NULL, true}, {NULL, "/{x}/", NULL, "/a/{y}", true},
        {NULL, "/{x}", NULL, "/", false},      {NULL, "/a/{x}", NULL, "/a/b/", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct route_rule earlier = rule_of(NULL, rows[i].path, rows[i].prefix);
        struct route_rule later = rule_of(NULL, rows[i].later_path, rows[i].later_prefix);
        if (route_rule_covers(&earlier, &later) != rows[i].covers)
            print_error("row %zu\n", i);
        assert_true(route_rule_covers(&earlier, &later) == rows[i].covers);
    }
}

static void test_covers_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *host, *later;
        bool covers;
    } rows[] = {
        {NULL, "a.com", true},           {"a.com", NULL, false},
        {"a.com", "a.com", true},        {"a.com.", "a.com", true},
        {"a.com", "a.com.", true},       {"a.com", "b.com", false},
        {"*.a.com", "x.a.com", true},    {"*.a.com", "x.y.a.com.", true},
        {"*.a.com", "a.com", false},     {"*.a.com", "xa.com", false},
        {"*.a.com", "*.a.com", true},    {"*.a.com", "*.b.a.com", true},
        {"*.b.a.com", "*.a.com", false}, {"*.a.com", NULL, false},
        {"x.a.com", "*.a.com", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct route_rule earlier = rule_of(rows[i].host, NULL, "/");
        struct route_rule later = rule_of(rows[i].later, NULL, "/");
        if (route_rule_covers(&earlier, &later) != rows[i].covers)
            print_error("row %zu\n", i);
        assert_true(route_rule_covers(&earlier, &later) == rows[i].covers);
    }
}

static void test_covers_methods_and_listeners(void **state)
{
    (void)state;
    struct route_rule any = rule_of(NULL, NULL, "/"), one = any, two = any, listener = any;
    one.methods = get;
    one.method_count = 1;
    two.methods = get_head;
    two.method_count = 2;
    listener.listener = SPAN("public");
    assert_true(route_rule_covers(&any, &one));
    assert_false(route_rule_covers(&one, &any));
    assert_true(route_rule_covers(&two, &one));
    assert_false(route_rule_covers(&one, &two));
    assert_true(route_rule_covers(&any, &listener));
    assert_false(route_rule_covers(&listener, &any));
    assert_true(route_rule_covers(&listener, &listener));
    one.listener = SPAN("other");
    assert_false(route_rule_covers(&listener, &one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),        cmocka_unit_test(test_allowed_paths),
        cmocka_unit_test(test_method_faults), cmocka_unit_test(test_covers_paths),
        cmocka_unit_test(test_covers_hosts),  cmocka_unit_test(test_covers_methods_and_listeners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
