/* SPDX-License-Identifier: Apache-2.0 */
/* test_logtool_scan.c - JSON is accepted by its grammar and nothing else; escapes are undone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "logtool/logtool_scan.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* The members of a text as "name=kind:text;"; "bad" when it is no object. */
static void walk(const char *text, char *out, size_t room)
{
    struct logtool_scan scan;
    struct logtool_value value;
    struct span name;
    size_t len = 0;
    out[0] = '\0';
    logtool_scan_open(&scan, span_of(text));
    while (logtool_scan_member(&scan, &name, &value))
        len += (size_t)snprintf(out + len, room - len, "%.*s=%d:%.*s;", (int)name.len, name.ptr,
                                value.kind, (int)value.text.len, value.text.ptr);
    if (!logtool_scan_is_done(&scan))
        strcpy(out, "bad");
}

static void test_objects(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"{}", ""},
        {" { } ", ""},
        {"{\"a\":1}", "a=1:1;"},
        {"{\"a\" : -1.5e+3 ,\t\"b\":\"x\"}", "a=1:-1.5e+3;b=0:x;"},
        {"{\"a\":[1,{\"b\":[]}],\"c\":true}", "a=6:[1,{\"b\":[]}];c=2:true;"},
        {"{\"a\":null,\"b\":false}", "a=4:null;b=3:false;"},
        {"{\"a\":\"\\\"\\\\\\u00e9\"}", "a=0:\\\"\\\\\\u00e9;"},
        {"", "bad"},
        {"{", "bad"},
        {"{\"a\"}", "bad"},
        {"{\"a\":}", "bad"},
        {"{\"a\":1", "bad"},
        {"{\"a\":1,}", "bad"},
        {"{,}", "bad"},
        {"{\"a\":1}x", "bad"},
        {"{\"a\":1 \"b\":2}", "bad"},
        {"{a:1}", "bad"},
        {"[1]", "bad"},
        {"{\"a\":01}", "bad"},
        {"{\"a\":1.}", "bad"},
        {"{\"a\":-}", "bad"},
        {"{\"a\":1e}", "bad"},
        {"{\"a\":+1}", "bad"},
        {"{\"a\":tru}", "bad"},
        {"{\"a\":\"\\x\"}", "bad"},
        {"{\"a\":\"\\u12g4\"}", "bad"},
        {"{\"a\":\"\\u12", "bad"},
        {"{\"a\":\"\n\"}", "bad"},
        {"{\"a\":[1,]}", "bad"},
        {"{\"a\":[1}", "bad"},
        {"{\"a\":{\"b\":[}]}}", "bad"},
    };
    char out[256];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        walk(rows[i].text, out, sizeof(out));
        if (strcmp(out, rows[i].want) != 0)
            fail_msg("%s gave %s", rows[i].text, out);
    }
}

static void test_depth(void **state)
{
    char text[64], out[64];
    (void)state;
    for (unsigned depth = 1; depth <= LOGTOOL_DEPTH_MAX + 1; depth++) {
        snprintf(text, sizeof(text), "{\"a\":%.*s%.*s}", (int)depth, "[[[[[[[[[[[[[[[[[[",
                 (int)depth, "]]]]]]]]]]]]]]]]]]");
        walk(text, out, sizeof(out));
        assert_int_equal(strcmp(out, "bad") == 0, depth > LOGTOOL_DEPTH_MAX);
    }
}

static void test_escapes(void **state)
{
    static const struct {
        const char *text;
        bool is_bytes;
        const char *want;
    } rows[] = {
        {"plain", false, "plain"},
        {"a\\\"b\\\\c\\/", false, "a\"b\\c/"},
        {"\\b\\f\\n\\r\\t", false, "\b\f\n\r\t"},
        {"\\u0041\\u00e9\\u20ac", false, "A\xc3\xa9\xe2\x82\xac"},
        {"\\u00e9\\u00FF", true, "\xe9\xff"},
        {"\\ud83d\\ude00", false, "\xf0\x9f\x98\x80"},
        {"\\ud83dx", false, "\xef\xbf\xbdx"},
        {"\\ud83d", false, "\xef\xbf\xbd"},
        {"\\ude00", false, "\xef\xbf\xbd"},
        {"\\ud83d\\u0041", false,
         "\xef\xbf\xbd"
         "A"},
    };
    char out[64];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct logtool_value value = {.kind = LOGTOOL_STRING, .text = span_of(rows[i].text)};
        size_t len = logtool_scan_unescape(&value, rows[i].is_bytes, out);
        assert_true(len <= value.text.len);
        assert_int_equal(len, strlen(rows[i].want));
        assert_memory_equal(out, rows[i].want, len);
    }
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t want;
    } rows[] = {
        {"0", true, 0},
        {"9007199254740992", true, UINT64_C(9007199254740992)},
        {"9007199254740993", false, 7},
        {"18446744073709551616", false, 7},
        {"-1", false, 7},
        {"1.0", false, 7},
        {"1e3", false, 7},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct logtool_value value = {.kind = LOGTOOL_NUMBER, .text = span_of(rows[i].text)};
        uint64_t number = 7;
        assert_int_equal(logtool_scan_number(&value, &number), rows[i].ok);
        assert_true(number == rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
