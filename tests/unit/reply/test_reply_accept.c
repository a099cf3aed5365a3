/* SPDX-License-Identifier: Apache-2.0 */
/* test_reply_accept.c - who gets XML. */
#include "reply_bench.h"

static const struct {
    const char *accept; /* lines, each a field of its own; NULL: no field */
    bool prefers_xml;
} rows[] = {
    {NULL, false},
    {"", false},
    {"application/xml", true},
    {"APPLICATION/Xml", true},
    {"application/json", false},
    {"*/*", false},
    {"application/*", false},
    {"application/xml, application/json", false},
    {"application/json, application/xml", false},
    {"application/xml, application/json;q=0.9", true},
    {"application/xml;q=0.9, application/json", false},
    {"application/xml;q=0.001", true},
    {"application/xml;q=0", false},
    {"application/xml;q=0.000, */*;q=0", false},
    {"application/xml;q=1.000,application/json;q=0.999", true},
    /* a browser */
    {"text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", true},
    /* the closest range counts, whatever the order */
    {"*/*;q=0.1, application/xml;q=0.05", false},
    {"application/*;q=0.2, application/json;q=0.1", true},
    {"application/json;q=0.1, application/*;q=0.2", true},
    {"*/*, application/json;q=0", true},
    {"application/xml;q=0.1, application/xml;q=0.9, application/json;q=0.5", true},
    /* several fields are one list */
    {"application/json;q=0.5\napplication/xml", true},
    {"application/xml;q=0.1\ntext/html", true},
    /* ranges that ask for more than a type are others' */
    {"application/xml;version=2", false},
    {"application/xml;charset=utf-8", true},
    {"application/xml;charset=\"utf-8\"", true},
    {"application/xml ; q=0.7 , application/json ; q=0.6", true},
    {"application/xml;;q=1;", true},
    {",, application/xml ,", true},
    {"application/xml;q=0.5;ext;more=\"a,b\\\"\", application/json;q=0.4", true},
    {"text/plain;a=\"x, application/json\", application/xml", true},
    /* malformed: nothing was said */
    {"application/xml;q=1.001", false},
    {"application/xml;q=2", false},
    {"application/xml;q=0.1234", false},
    {"application/xml;q=.5", false},
    {"application/xml;q=-1", false},
    {"application/xml;q=", false},
    {"application/xml;q", false},
    {"application/xml;q=1;q=0.5", false},
    {"application/xml;q=\"1\"", false},
    {"application/xml;q=0,5", false},
    {"application/xml;q=1x", false},
    {"application/xml;a", false},
    {"application/xml;=1", false},
    {"application/xml;a=\"b", false},
    {"application/xml;a=\"b\\", false},
    {"application/xml text/html", false},
    {"application/xml, text", false},
    {"application/xml, text/", false},
    {"application/xml, /html", false},
    {"*/xml", false},
    {"application/xml\n(", false},
};

static bool ask(const char *accept, const char *type)
{
    char head[1024];
    struct http_field fields[8];
    struct http_head parsed = {.fields = fields, .field_max = 8};
    struct http_fault fault;
    const struct http_head_limits limits = {1000, 1000, 1000, 8};
    size_t len = (size_t)snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: a\r\n"), scanned = 0;
    while (accept != NULL) {
        size_t line = strcspn(accept, "\n");
        len +=
            (size_t)snprintf(head + len, sizeof(head) - len, "aCCEPT: %.*s\r\n", (int)line, accept);
        accept = accept[line] == '\0' ? NULL : accept + line + 1;
    }
    len += (size_t)snprintf(head + len, sizeof(head) - len, "\r\n");
    assert_int_equal(http_head_parse_request(&parsed, head, len, &scanned, &limits, &fault),
                     HTTP_PARSE_OK);
    return reply_prefers_xml(&parsed, span_of(type));
}

static void test_accept(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (ask(rows[i].accept, "application/json; charset=UTF-8\r\nVary: Accept") !=
            rows[i].prefers_xml)
            fail_msg("Accept: %s", rows[i].accept);
    }
}

/* It is weighed against what the dialect would send. */
static void test_other_types(void **state)
{
    (void)state;
    const char *problem = "application/problem+json\r\nVary: Accept";
    assert_true(ask("application/xml, application/json", problem));
    assert_false(ask("application/xml, application/problem+json", problem));
    assert_false(ask("application/xml;q=0.5, application/*", problem));
    assert_true(ask("application/xml, text/*;q=0.9", "text/html"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_other_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
