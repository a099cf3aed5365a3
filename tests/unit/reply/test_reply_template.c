/* SPDX-License-Identifier: Apache-2.0 */
/* test_reply_template.c - bodies of one's own: what stands where, in JSON, XML and plain text. */
#include "reply_bench.h"
#include "reply/reply_template.h"

/* template, Content-Type of a text (NULL: default) -> the body of a refusal, of a 404, and as XML */
static const struct {
    const char *json, *content_type;
    const char *throttled, *not_found, *xml;
} rows[] = {
    {"{\"status\":\"${status}\",\"limit\":\"${limit}\",\"left\":\"${remaining}\",\"wait\":\"${"
     "retry_"
     "after}\"}",
     NULL, "{\"status\":429,\"limit\":100,\"left\":0,\"wait\":20}",
     "{\"status\":404,\"limit\":null,\"left\":null,\"wait\":null}",
     "<error><status>429</status><limit>100</limit><left>0</left><wait>20</wait></error>"},
    /* within a text a number is text, and one that is not known is nothing */
    {"[\"${status}s\",\" "
     "${limit}\",[\"${quota}/${window}\",{\"a\":\"${policies}\"}],\"${policies}!\"]",
     NULL, "[\"429s\",\" 100\",[\"user/minute\",{\"a\":[\"user/minute\"]}],\"user/minute!\"]",
     "[\"404s\",\" \",[\"/\",{\"a\":[]}],\"!\"]",
     "<error><item>429s</item><item> 100</item><item><item>user/minute</item><item><a><item>"
     "user/minute</item></a></item></item><item>user/minute!</item></error>"},
    /* texts stay texts, keys too, and what is no reference stays as it is */
    {"{\"${status}\":\"${message}\",\"b\":\"$ {code} ${\",\"c\":[true,false,null,-1.5e3,{},[]]}",
     NULL,
     "{\"429\":\"\\u00ff<&>\\\"'\",\"b\":\"$ {code} ${\",\"c\":[true,false,null,-1.5e3,{},[]]}",
     "{\"404\":\"\\u00ff<&>\\\"'\",\"b\":\"$ {code} ${\",\"c\":[true,false,null,-1.5e3,{},[]]}",
     "<error><member name=\"429\">?&lt;&amp;&gt;&quot;&apos;</member><b>$ {code} "
     "${</b><c><item>true"
     "</item><item>false</item><item></item><item>-1.5e3</item><item></item><item></item></c></"
     "error>"},
    /* escapes of the file mean the same in both forms */
    {"{\"a\\u0062 <\":\"\\\"\\\\\\n\\u20ac\\ud83d\\ude00&\"}", NULL,
     "{\"a\\u0062 <\":\"\\\"\\\\\\n\\u20ac\\ud83d\\ude00&\"}",
     "{\"a\\u0062 <\":\"\\\"\\\\\\n\\u20ac\\ud83d\\ude00&\"}",
     "<error><member name=\"ab "
     "&lt;\">&quot;\\\n\xe2\x82\xac\xf0\x9f\x98\x80&amp;</member></error>"},
    /* one member that is an object is the root; a second member, or another kind, makes "error" the root */
    {"{\"fault\":{\"code\":\"${code}\",\"b\":\"}\\\"{\"}}", NULL,
     "{\"fault\":{\"code\":\"X.0308\",\"b\":\"}\\\"{\"}}",
     "{\"fault\":{\"code\":\"X.0101\",\"b\":\"}\\\"{\"}}",
     "<fault><code>X.0308</code><b>}&quot;{</b></fault>"},
    {"{\"a\":{\"b\":1},\"c\":2}", NULL, "{\"a\":{\"b\":1},\"c\":2}", "{\"a\":{\"b\":1},\"c\":2}",
     "<error><a><b>1</b></a><c>2</c></error>"},
    {"{}", NULL, "{}", "{}", "<error></error>"},
    {"\"\"", NULL, "", "", NULL},
    {"17", NULL, "17", "17", "<error>17</error>"},
    /* a bare string is plain text, and its values stand as its type wants them */
    {"\"${code}: ${message}\\n${title} ${request_id} ${policies}\"", NULL,
     "X.0308: \xff<&>\"'\nToo Many Requests " ID " user/minute",
     "X.0101: \xff<&>\"'\nNot Found " ID " ", NULL},
    {"\"{\\\"m\\\": \\\"${message}\\\"}\"", "application/vnd.x+JSON; v=1",
     "{\"m\": \"\\u00ff<&>\\\"'\"}", "{\"m\": \"\\u00ff<&>\\\"'\"}", NULL},
    {"\"<p>${message}</p>\"", "text/html", "<p>?&lt;&amp;&gt;&quot;&apos;</p>",
     "<p>?&lt;&amp;&gt;&quot;&apos;</p>", NULL},
};

static void test_bodies(void **state)
{
    (void)state;
    struct reply_error throttled = bench_throttled(), not_found = {.id = REPLY_ERROR_NO_ROUTE};
    throttled.message = not_found.message = SPAN("\xff<&>\"'");
    not_found.request_id = throttled.request_id;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct arena arena;
        struct reply_body_dialect dialect;
        struct span type;
        const struct reply_dialect_conf conf = {
            .prefix = SPAN("X"),
            .with_request_id = true,
            .template_json = span_of(rows[i].json),
            .content_type = span_of(rows[i].content_type),
        };
        arena_init(&arena, NULL, 0, 65536);
        assert_null(reply_dialect_compile(&dialect, &conf, true, &arena));
        assert_string_equal(bench_body(&dialect, false, &throttled, &type), rows[i].throttled);
        if (rows[i].content_type != NULL)
            assert_true(span_eq(type, span_of(rows[i].content_type)));
        assert_string_equal(bench_body(&dialect, false, &not_found, &type), rows[i].not_found);
        assert_int_equal(dialect.has_xml, rows[i].xml != NULL);
        if (rows[i].xml != NULL)
            assert_string_equal(strstr(bench_body(&dialect, true, &throttled, &type), "?>") + 2,
                                rows[i].xml);
        arena_fini(&arena);
    }
}

/* What could not be written into the room for a body is refused when it is compiled. */
static void test_size(void **state)
{
    (void)state;
    static const struct {
        const char *piece;
        unsigned count;
        const char *fault;
    } sizes[] = {
        {"${message}", 8, NULL},
        {"${message}", 9, "the body could become longer than 8192 bytes"},
        {"0123456789", 819, NULL},
        {"0123456789", 820, "the body could become longer than 8192 bytes"},
        {"${status}", 63, NULL},
        {"${status}", 64, "it names more than 63 values"},
    };
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct arena arena;
        struct reply_template template;
        char text[9000];
        size_t len = 0;
        for (unsigned n = 0; n < sizes[i].count; n++)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", sizes[i].piece);
        arena_init(&arena, NULL, 0, 65536);
        const char *fault = reply_template_text(&template, (struct span){text, len}, SPAN_NONE,
                                                SPAN("A"), REPLY_ESCAPE_NONE, &arena);
        if (sizes[i].fault == NULL)
            assert_null(fault);
        else
            assert_string_equal(fault, sizes[i].fault);
        arena_fini(&arena);
    }
}

static void test_without_memory(void **state)
{
    (void)state;
    for (size_t room = 0; room < 2000; room += 40) {
        struct arena arena;
        struct reply_body_dialect dialect;
        const struct reply_dialect_conf conf = {.like = REPLY_DIALECT_APIG};
        arena_init(&arena, NULL, 0, room);
        const char *fault = reply_dialect_compile(&dialect, &conf, true, &arena);
        assert_true(fault == NULL || strcmp(fault, "out of memory") == 0);
        arena_fini(&arena);
    }
}

static void test_references(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t off, len;
        enum reply_variable variable;
    } references[] = {
        {"a${code}b", 1, 7, REPLY_VARIABLE_CODE},
        {"${retry_after}", 0, 14, REPLY_VARIABLE_RETRY_AFTER},
        {"$${limit}", 1, 8, REPLY_VARIABLE_LIMIT},
        {"${Code}", 0, 7, REPLY_VARIABLES},
        {"${}", 0, 3, REPLY_VARIABLES},
        {"x ${code", 2, 2, REPLY_VARIABLES},
    };
    struct reply_reference found;
    for (size_t i = 0; i < COUNT(references); i++) {
        assert_true(reply_template_next(span_of(references[i].text), 0, &found));
        assert_int_equal(found.off, references[i].off);
        assert_int_equal(found.len, references[i].len);
        assert_int_equal(found.variable, references[i].variable);
    }
    assert_false(reply_template_next(SPAN("$ {code} $"), 0, &found));
    assert_false(reply_template_next(SPAN("${code}"), 1, &found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
