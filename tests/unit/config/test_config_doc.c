/* SPDX-License-Identifier: Apache-2.0 */
/* test_config_doc - reading JSON strictly: where each fault lies, that comments and trailing commas are
 * all that is forgiven, and that jansson agrees on everything else. */
#include "config_bench.h"

#include <jansson.h>

#include "base/base_rng.h"

struct fault {
    const char *text;
    const char *message; /* beginning of the first line of the report; NULL: no fault */
};

static const struct fault faults[] = {
    {"", "f:1:1: error: /: the file is empty"},
    {" \n\t ", "f:1:1: error: /: the file is empty"},
    {"// nothing else", "f:1:1: error: /: the file is empty"},
    {"[]", "f:1:1: error: /: the configuration is an object: { ... }"},
    {"5", "f:1:1: error: /: the configuration is an object"},
    {"{", "f:1:2: error: /: the file ends inside the object that begins at line 1"},
    {"{ 'a'", "f:1:6: error: /: the file ends inside the object that begins at line 1"},
    {"{ 'a':", "f:1:7: error: /: the file ends inside the object"},
    {"{ 'a': 1", "f:1:9: error: /: the file ends inside the object"},
    {"{ 'a': 1,", "f:1:10: error: /: the file ends inside the object"},
    {"{\n\n'a': [1,\n", "f:4:1: error: /a: the file ends inside the array that begins at line 3"},
    {"{ 'a': 't", "f:1:8: error: /: the file ends inside this string"},
    {"{ 'a': 't\n' }", "f:1:8: error: /: the string is not closed on its line"},
    {"{ 'a': 't\\", "f:1:10: error: /: no such escape"},
    {"{ 'a': tru", "f:1:8: error: /: strings are written in double quotation marks"},
    {"{ 'a': True }", "f:1:8: error: /: true, false and null are written in lower case"},
    {"{ 'a': 30s }", "f:1:8: error: /: a value with a unit is written in double quotation marks"},
    {"{ 'a': 01 }", "f:1:8: error: /: not a number as JSON writes it"},
    {"{ 'a': +1 }", "f:1:8: error: /: a value cannot begin with this character"},
    {"{ 'a': .5 }", "f:1:8: error: /: a value cannot begin with this character"},
    {"{ 'a': 1. }", "f:1:8: error: /: not a number"},
    {"{ 'a': 1e }", "f:1:8: error: /: not a number"},
    {"{ 'a': - }", "f:1:8: error: /: not a number"},
    {"{ 'a': 0x10 }", "f:1:8: error: /: a value with a unit"},
    {"{ 'a': NaN }", "f:1:8: error: /: strings are written"},
    {"{ a: 1 }", "f:1:3: error: /: keys are written in double quotation marks"},
    {"{ 1: 1 }", "f:1:3: error: /: a key is missing here"},
    {"{ , }", "f:1:3: error: /: a key is missing here"},
    {"{ 'a' }", "f:1:3: error: /: a key without a value"},
    {"{ 'a': }", "f:1:8: error: /: a value is missing here"},
    {"{ 'a': 1,, 'b': 2 }", "f:1:10: error: /: a key is missing here"},
    {"{ 'a': [,] }", "f:1:9: error: /a: a value is missing here"},
    {"{ 'a': [1,,] }", "f:1:11: error: /a: a value is missing here"},
    {"{ 'a': [1 2] }", "f:1:10: error: /a: a comma is missing here"},
    {"{ 'a': 1 'b': 2 }", "f:1:9: error: /: a comma is missing here"},
    {"{ 'a' 1 }", "f:1:6: error: /: a colon is missing behind the key"},
    {"{ 'a': [1} }", "f:1:10: error: /a: expected ',' or ']' (the array begins at line 1)"},
    {"{ 'a': {] }", "f:1:9: error: /a: a key is missing here"},
    {"{ 'a': 1 ]", "f:1:10: error: /: expected ',' or '}' (the object begins at line 1)"},
    {"{} x", "f:1:4: error: /: text behind the end of the configuration"},
    {"{}}", "f:1:3: error: /: text behind the end"},
    {"{} {}", "f:1:4: error: /: text behind the end"},
    {"{ # c\n }", "f:1:3: error: /: a key is missing here"},
    {"{ 'a': # c\n 1 }", "f:1:8: error: /: comments are written // ... or /* ... */"},
    {"{ 'a': / 1 }", "f:1:8: error: /: this is neither a comment nor a value"},
    {"{ /* 'a': 1 }", "f:1:3: error: /: this comment has no end (*/)"},
    {"{ /*/ }", "f:1:3: error: /: this comment has no end"},
    {"{ 'a': '\\x' }", "f:1:9: error: /: no such escape"},
    {"{ 'a': '\\u00g0' }", "f:1:9: error: /: \\u is followed by four hexadecimal digits"},
    {"{ 'a': '\\u12' }", "f:1:9: error: /: \\u is followed by four"},
    {"{ 'a': '\\u0000' }", "f:1:9: error: /: NUL is not allowed"},
    {"{ 'a': '\\ud800' }", "f:1:9: error: /: half of a surrogate pair"},
    {"{ 'a': '\\ud800\\u0041' }", "f:1:9: error: /: half of a surrogate pair"},
    {"{ 'a': '\\udc00' }", "f:1:9: error: /: half of a surrogate pair"},
    {"{ 'a': '\t' }",
     "f:1:9: error: /: a control character in a string must be written as \\u00XX"},
    {"{ 'a': '\xff' }", "f:1:9: error: /: the byte 0xff is not UTF-8"},
    {"{ 'a': '\xc3' }", "f:1:9: error: /: the byte 0xc3 is not UTF-8"},
    {"{ 'a': '\xc0\xaf' }", "f:1:9: error: /: the byte 0xc0 is not UTF-8"},
    {"{ 'a': '\xed\xa0\x80' }", "f:1:9: error: /: the byte 0xed is not UTF-8"},
    {"{ 'a': '\xf4\x90\x80\x80' }", "f:1:9: error: /: the byte 0xf4 is not UTF-8"},
    {"\xef\xbb\xbf{}", "f:1:1: error: /: the file begins with a byte order mark"},
    {"{ '\xc3\xa4\xc3\xb6': 1, '\xc3\xbc': x }", "f:1:17: error: /: strings are written"},
    {"{ 'a': 1, 'a': 2 }", "f:1:11: error: /a: the key 'a' is given twice, first in line 1"},
    {"{ 'a': { 'b': 1,\n'b': 2 } }",
     "f:2:1: error: /a/b: the key 'b' is given twice, first in line 1"},
    {"{ 'a\\u0062': 1, 'ab': 2 }", "f:1:17: error: /ab: the key 'ab' is given twice"},
    {"{ '': 1, '': 2 }", "f:1:10: error: /: the key '' is given twice"},
    {"{ 'a/~': { 'x': [1, {'y': tru}] } }", "f:1:27: error: /a~1~0/x/1: strings are written"},

    {"{}", NULL},
    {"{ 'a': 1, }", NULL},
    {"{ 'a': [1, 2, /* c */ // d\n ], // e\n }", NULL},
    {"{ 'a': '// no comment', 'b': '/* nor this */', 'c': ',]' }", NULL},
    {"// a 'string in a comment\n{ /* 'another */ 'a': '\\\\' /**/, 'b': '\\'//' }", NULL},
    {"{ 'a': -0, 'b': 1.5e-3, 'c': 1E+2, 'd': 0.0 }", NULL},
    {"{ 'a': '\\ud83d\\ude00 \xf0\x9f\x98\x80 \\n\\t\\/\\b\\f\\r' }", NULL},
    {"\r\n{\r\n'a':\r\n1 // x\r\n}\r\n", NULL},
    {"{ 'a': {}, 'b': [], 'c': null, 'd': [[]] } // end", NULL},
};

static void test_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct bench bench;
        char wanted[256] = "";
        bench_open(&bench, faults[i].text);
        char *text = bench_text(&bench);
        for (size_t j = 0; faults[i].message != NULL && faults[i].message[j] != '\0'; j++)
            wanted[j] = faults[i].message[j] == '\'' ? '"' : faults[i].message[j];
        if (strncmp(text, wanted, strlen(wanted)) != 0 ||
            (faults[i].message == NULL) != (text[0] == '\0'))
            fail_msg("%s\nwanted %s\ngot %s", faults[i].text, wanted, text);
        free(text);
        bench_close(&bench);
    }
}

/* A missing comma does not hide what is wrong behind it. */
static void test_goes_on(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, "{ 'a': 1 'b' 2, 'c': [1 2], 'a': 3 }");
    assert_int_equal(bench.report.errors, 4);
    assert_non_null(bench.doc.root);
    assert_int_equal(bench.doc.root->child_count, 4);
    bench_close(&bench);
}

static void test_depth(void **state)
{
    (void)state;
    for (unsigned depth = 30; depth <= 3000; depth = depth < 34 ? depth + 1 : depth * 10) {
        char text[8192] = "{'a':";
        size_t len = 5;
        memset(text + len, '[', depth);
        memset(text + len + depth, ']', depth);
        len += 2 * (size_t)depth;
        text[len] = '}';
        text[len + 1] = '\0';
        struct bench bench;
        bench_open(&bench, text);
        char *report = bench_text(&bench);
        assert_int_equal(bench.report.errors, depth < 32 ? 0 : 1);
        assert_true(depth < 32 || strstr(report, ": nested deeper than 32 levels\n") != NULL);
        free(report);
        bench_close(&bench);
    }
}

static void test_nul(void **state)
{
    (void)state;
    struct bench bench;
    bench_open_bytes(&bench, "{}\n\0 ", 5);
    char *text = bench_text(&bench);
    assert_non_null(strstr(text, "f:2:1: error: /: a NUL byte\n"));
    free(text);
    bench_close(&bench);
}

static void test_nodes(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, "{ // c\n 'a': [1, 'x\\u00e4', {'b': false}],\n 'k\\u0065y': null }");
    const struct config_node *a = config_find(bench.doc.root, "a");
    const struct config_node *key = config_find(bench.doc.root, "key");
    assert_non_null(a);
    assert_non_null(key);
    assert_null(config_find(bench.doc.root, "b"));
    assert_null(config_find(a, "a"));
    assert_null(config_find(NULL, "a"));
    assert_int_equal(a->kind, CONFIG_KIND_ARRAY);
    assert_int_equal(a->child_count, 3);
    assert_int_equal(a->last->index, 2);
    assert_true(span_eq(a->first->token, SPAN("1")));
    assert_int_equal(config_line_of(&bench.doc, key->key_token.ptr), 3);
    assert_true(span_eq(key->key, SPAN("key")));
    assert_int_equal(config_find(a->last, "b")->kind, CONFIG_KIND_FALSE);
    bench_close(&bench);
}

/* The same verdict as jansson's on text without comments and trailing commas. */
static void check_agreement(const char *text, size_t len)
{
    json_error_t error;
    struct bench bench;
    bench_open_bytes(&bench, text, len);
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    bool is_good = bench.report.errors == 0;
    if (is_good != json_is_object(json) && strstr(error.text, "too big") == NULL &&
        strstr(error.text, "overflow") == NULL)
        fail_msg("%.*s\nwe: %u errors, jansson: %s", (int)len, text, bench.report.errors,
                 error.text);
    json_decref(json);
    bench_close(&bench);
}

static void test_agrees_with_jansson(void **state)
{
    static const char seed[] =
        "{\"a\": [1, -2.5e3, true, null, \"x\\u00e4\\n\"], \"b\": {\"c\": {}, "
        "\"d\": [[], \"\xc3\xa4\"]}, \"e\": \"\\ud83d\\ude00\"}";
    static const char bytes[] = "{}[]:,\"\\ue0123456789-+.truefalsn \n\t\x80\xff\xc3\xa4";
    (void)state;
    struct rng rng = {{1, 2, 3, 4}};
    for (unsigned round = 0; round < 20000; round++) {
        char text[sizeof(seed) + 8];
        size_t len = sizeof(seed) - 1;
        memcpy(text, seed, len);
        for (uint64_t n = rng_below(&rng, 4); n > 0; n--) {
            size_t at = rng_below(&rng, len);
            char byte = bytes[rng_below(&rng, sizeof(bytes) - 1)];
            switch (rng_below(&rng, 3)) {
            case 0:
                text[at] = byte;
                break;
            case 1:
                memmove(text + at, text + at + 1, --len - at);
                break;
            default:
                memmove(text + at + 1, text + at, len++ - at);
                text[at] = byte;
            }
        }
        /* What only we forgive: a comma before a bracket, a comment. */
        bool is_forgiven = memmem(text, len, "//", 2) != NULL || memmem(text, len, "/*", 2) != NULL;
        for (size_t i = 0; i + 1 < len && !is_forgiven; i++) {
            size_t next = i + 1;
            while (next < len && memchr(" \n\t", text[next], 3) != NULL)
                next++;
            is_forgiven = text[i] == ',' && next < len && (text[next] == '}' || text[next] == ']');
        }
        if (!is_forgiven)
            check_agreement(text, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults), cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_depth),  cmocka_unit_test(test_nul),
        cmocka_unit_test(test_nodes),  cmocka_unit_test(test_agrees_with_jansson),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
