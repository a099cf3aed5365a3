/* SPDX-License-Identifier: Apache-2.0 */
/* test_config_report - what people see: the caret under the right column with tabs, wide files and bytes
 * that a terminal must not get; the order; the cap. */
#include "config_bench.h"

static char *render(const char *text, size_t off, size_t len)
{
    struct config_report report;
    config_report_init(&report);
    config_report_add(&report, CONFIG_ERROR, off, len, SPAN("/a"), SPAN("wrong"));
    char *rendered = config_report_text(&report, SPAN("dir/f.json"), span_of(text));
    assert_non_null(rendered);
    config_report_fini(&report);
    return rendered;
}

struct row {
    const char *text;
    size_t off, len;
    const char *wanted;
};

static const struct row rows[] = {
    {"{ \"a\": 5 }\n", 7, 1,
     "dir/f.json:1:8: error: /a: wrong\n    1 | { \"a\": 5 }\n      |        ^\n1 error, 0 "
     "warnings.\n"},
    {"{\n  \"abc\": 5 }", 4, 5,
     "dir/f.json:2:3: error: /a: wrong\n    2 |   \"abc\": 5 }\n      |   ^~~~~\n1 error, 0 "
     "warnings.\n"},
    /* A tab is one column here and in the editor's count. */
    {"{\n\t\t\"a\": 5 }", 9, 1,
     "dir/f.json:2:8: error: /a: wrong\n    2 |   \"a\": 5 }\n      |        ^\n1 error, 0 "
     "warnings.\n"},
    /* Characters count, not bytes. */
    {"{ \"\xc3\xa4\": 5 }", 8, 1,
     "dir/f.json:1:8: error: /a: wrong\n    1 | { \"\xc3\xa4\": 5 }\n      |        ^\n1 error, 0 "
     "warnings.\n"},
    /* Neither escape sequences nor C1 controls nor bytes that are no text reach a terminal. */
    {"\x1b[31m\xc2\x9b\xff\x7f", 0, 1,
     "dir/f.json:1:1: error: /a: wrong\n    1 | ?[31m???\n      | ^\n1 error, 0 warnings.\n"},
    /* The end of the file, with and without a last newline. */
    {"{\n", 2, 0, "dir/f.json:2:1: error: /a: wrong\n    2 | \n      | ^\n1 error, 0 warnings.\n"},
    {"{", 1, 5, "dir/f.json:1:2: error: /a: wrong\n    1 | {\n      |  ^\n1 error, 0 warnings.\n"},
    {"", 0, 0, "dir/f.json:1:1: error: /a: wrong\n    1 | \n      | ^\n1 error, 0 warnings.\n"},
    {"{\r\n\"a\"\r\n", 3, 3,
     "dir/f.json:2:1: error: /a: wrong\n    2 | \"a\"\n      | ^~~\n1 error, 0 warnings.\n"},
    /* Marks end with their line. */
    {"[1,\n2]", 0, 6,
     "dir/f.json:1:1: error: /a: wrong\n    1 | [1,\n      | ^~~\n1 error, 0 warnings.\n"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *rendered = render(rows[i].text, rows[i].off, rows[i].len);
        assert_string_equal(rendered, rows[i].wanted);
        free(rendered);
    }
}

/* Wherever the fault lies in a long line, it is shown, marked, and the line is cut. */
static void test_long_line(void **state)
{
    (void)state;
    char text[1001];
    for (size_t i = 0; i < 1000; i++)
        text[i] = (char)('a' + i % 26);
    text[1000] = '\0';
    for (size_t off = 0; off < 1000; off += 7) {
        char *rendered = render(text, off, 3);
        char *source = strchr(rendered, '\n') + 1, *caret = strchr(source, '\n') + 1;
        size_t column = strcspn(caret, "^");
        assert_true((size_t)(caret - source) < 140);
        assert_true(column < 140);
        assert_int_equal(source[column], text[off]);
        free(rendered);
    }
}

static void test_order(void **state)
{
    (void)state;
    struct config_report report;
    config_report_init(&report);
    config_report_add(&report, CONFIG_WARNING, 4, 1, SPAN("/c"), SPAN("third"));
    config_report_add(&report, CONFIG_ERROR, 0, 1, SPAN("/a"), SPAN("first"));
    config_report_add(&report, CONFIG_ERROR, 2, 1, SPAN("/b"), SPAN("second"));
    config_report_add(&report, CONFIG_ERROR, 4, 1, SPAN("/d"), SPAN("fourth"));
    char *text = config_report_text(&report, SPAN("f"), SPAN("a\nb\nc"));
    const char *at = text;
    static const char *const wanted[] = {"f:1:1: error: /a: first", "f:2:1: error: /b: second",
                                         "f:3:1: warning: /c: third", "f:3:1: error: /d: fourth",
                                         "\n3 errors, 1 warning.\n"};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        assert_non_null(at = strstr(at, wanted[i]));
    free(text);
    config_report_fini(&report);
}

static void test_cap(void **state)
{
    (void)state;
    struct config_report report;
    config_report_init(&report);
    for (unsigned i = 0; i < CONFIG_NOTES_MAX + 5; i++)
        config_report_add(&report, CONFIG_ERROR, 0, 1, SPAN("/a"), SPAN("wrong"));
    char *text = config_report_text(&report, SPAN("f"), SPAN("x"));
    assert_non_null(strstr(text, "\n... and 5 more.\n1005 errors, 0 warnings.\n"));
    free(text);
    config_report_fini(&report);
}

static void test_json(void **state)
{
    (void)state;
    struct config_report report;
    config_report_init(&report);
    config_report_add(&report, CONFIG_WARNING, 2, 1, SPAN("/a\"b"), SPAN("say \"x\"\n\xc3\xa4"));
    char *text = config_report_json(&report, SPAN("f"), SPAN("a\nb"));
    assert_string_equal(text,
                        "{\"file\":\"f\",\"errors\":0,\"warnings\":1,\"messages\":[\n"
                        "{\"severity\":\"warning\",\"line\":2,\"column\":1,\"pointer\":\"/a\\\"b\","
                        "\"message\":\"say \\\"x\\\"\\n\xc3\xa4\"}]}\n");
    free(text);
    config_report_fini(&report);
}

static void test_quote(void **state)
{
    (void)state;
    assert_string_equal(config_quote(SPAN("abc")).text, "\"abc\"");
    assert_string_equal(config_quote(SPAN("")).text, "\"\"");
    assert_string_equal(config_quote(SPAN("a\x1b\n\xff\xc2\x9b")).text, "\"a????\"");
    assert_string_equal(config_quote(SPAN("\xc3\xa4")).text, "\"\xc3\xa4\"");
    char text[300];
    memset(text, 'x', sizeof(text));
    struct config_quoted quoted = config_quote((struct span){text, sizeof(text)});
    assert_true(strlen(quoted.text) < sizeof(quoted.text));
    assert_non_null(strstr(quoted.text, "x...\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows), cmocka_unit_test(test_long_line), cmocka_unit_test(test_order),
        cmocka_unit_test(test_cap),  cmocka_unit_test(test_json),      cmocka_unit_test(test_quote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
