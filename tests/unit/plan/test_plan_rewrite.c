/* SPDX-License-Identifier: Apache-2.0 */
/* What a route changes: rules that are refused and why, what becomes of the others, and lines that no value can break. */
#include "plan_bench.h"

/* Into the route "api": prefix "/v1/", counted by address, by the header X-Auth-Token, or by an access key. */
#define ROUTE_END "'headers': { 'used': 'consumed' } }"

static struct span with_rules(const char *rules)
{
    char text[4096];
    snprintf(text, sizeof(text), "'headers': { 'used': 'consumed' }, %s }", rules);
    return bench_replace(ROUTE_END, text);
}

struct row {
    const char *rules, *message; /* NULL: there is nothing to say */
};

#define SET(member)      "'request_headers': { 'set': { " member " } }"
#define RESPONSE(member) "'response_headers': { " member " }"

static const struct row ROWS[] = {
    /* prefixes */
    {"'strip_prefix': '/v1'", NULL},
    {"'strip_prefix': '/v1/'", NULL},
    {"'strip_prefix': '/v1/x/y'", NULL},
    {"'strip_prefix': '/{version}'", NULL},
    {"'strip_prefix': '/v1', 'add_prefix': '/a%2Fb'", "/add_prefix: not a path that begins"},
    {"'add_prefix': '/a/b-c.d~e'", NULL},
    {"'strip_prefix': '/v2'", "/strip_prefix: no path of this route can begin so"},
    {"'strip_prefix': '/v1x'", "/strip_prefix: no path of this route can begin so"},
    {"'strip_prefix': 'v1'", "/strip_prefix: it does not begin with '/'"},
    {"'strip_prefix': '/'", "/strip_prefix: '/' is how every path begins"},
    {"'strip_prefix': '//v1'", "/strip_prefix: it would never match"},
    {"'strip_prefix': '/v%31'", "/strip_prefix: it would never match"},
    {"'strip_prefix': '/v1/%2F'", "/strip_prefix: the path has an encoded slash"},
    {"'strip_prefix': '/v1/%2F', 'allow_path': ['encoded_slash']", NULL},
    {"'strip_prefix': '/v1', 'allow_path': ['dot_segments']",
     "/strip_prefix: not with 'dot_segments' in 'allow_path'"},
    {"'add_prefix': '/v1', 'allow_path': ['dot_segments']", NULL},
    {"'add_prefix': '/'", "/add_prefix: '/' is how every path begins"},
    {"'add_prefix': 'x'", "/add_prefix: not a path that begins with '/'"},
    {"'add_prefix': '/a//b'", "/add_prefix: not a path that begins with '/'"},
    {"'add_prefix': '/a/../b'", "/add_prefix: not a path that begins with '/'"},
    {"'add_prefix': '/a?b'", "/add_prefix: not a path that begins with '/'"},
    {"'add_prefix': '/a b'", "/add_prefix: not a path that begins with '/'"},
    {"'add_prefix': '/a\\r\\nX: y'", "/add_prefix: not a path that begins with '/'"},
    {"'add_prefix': 5", "/add_prefix: expected a string"},
    {"'strip_prefix': 5", "/strip_prefix: expected a string"},
    {"'add_prefix': '/{x}'", "/add_prefix: a {name} is not filled in here"},

    /* names that frame, and that are ours */
    {SET("'Content-Length': '5'"), "'Content-Length' may not be changed: it says where"},
    {SET("'content_length': '5'"), "'content_length' may not be changed: it says where"},
    {SET("'TRANSFER-ENCODING': 'x'"), "may not be changed: it says where a message ends"},
    {SET("'Connection': 'X-Foo'"), "'Connection' may not be changed: it says where"},
    {SET("'Sec-WebSocket-Key': 'x'"), "may not be changed: Sluice checks by it"},
    {SET("'Host': 'x'"), "'Host' may not be changed: servers choose a site by it"},
    {SET("'X-Forwarded-For': 'x'"), "may not be changed: Sluice writes it itself"},
    {SET("'X-Forwarded-Port': 'x'"), NULL},
    {SET("'X-Real-IP': '${client_ip}'"), NULL},
    {"'request_headers': { 'add': { 'Via': 'x' } }", "/add/Via: 'Via' may not be changed"},
    {"'request_headers': { 'remove': ['Accept', 'expect'] }", "/remove/1: 'expect' may not be"},
    {RESPONSE("'set': { 'Host': 'x', 'X-Forwarded-For': 'y' }"), NULL},
    {RESPONSE("'remove': ['Server', 'X-Powered-By']"), NULL},
    {RESPONSE("'remove': ['X-RateLimit-Anything']"), "may not be changed: Sluice writes it"},
    {RESPONSE("'remove': ['x-ratelimit']"), "'x-ratelimit' may not be changed: Sluice writes it"},
    {RESPONSE("'remove': ['X-Ratelimited']"), NULL},
    {RESPONSE("'remove': ['Date']"), "'Date' may not be changed: a response without it"},
    {RESPONSE("'set': { 'Content-Length': '0' }"), "may not be changed: it says where a message"},

    /* who is counted is not hidden from the server */
    {SET("'X-Auth-Token': ''"), "may not be changed: a quota of this route counts by it"},
    {SET("'x_auth_token': ''"), "may not be changed: a quota of this route counts by it"},
    {"'request_headers': { 'remove': ['Authorization'] }", "a quota of this route counts by it"},
    {"'request_headers': { 'remove': ['Cookie'] }", NULL},
    {RESPONSE("'remove': ['X-Auth-Token']"), NULL},

    /* shape */
    {SET("'X-A': 'b', 'x_a': 'c'"), "/set/x_a: 'x_a' is set or removed twice"},
    {"'request_headers': { 'set': { 'X-A': 'b' }, 'remove': ['x-a'] }", "is set or removed twice"},
    {"'request_headers': { 'remove': ['X-A', 'x-a'] }", "/remove/1: 'x-a': listed twice"},
    {"'request_headers': { 'add': { 'X-A': 'b' }, 'remove': ['x-a'] }", NULL},
    {"'request_headers': { 'remove': ['X A'] }", "/remove/0: 'X A': not a header"},
    {SET("'X A': 'b'"), "/set/X A: a name has 1 to 64 letters"},
    {SET("'X-A': 5"), "/set/X-A: expected a string"},
    {"'request_headers': {}", NULL},
    {"'request_headers': { 'always': true }", "/always: unknown key 'always'"},
    {"'request_headers': ['X-A']", "/request_headers: expected an object"},

    /* values */
    {SET("'X-A': '${cleint_ip}'"), "no value has the name 'cleint_ip' (did you mean 'client_ip'?)"},
    {SET("'X-A': '${Client_IP}'"), "no value has the name 'Client_IP' (did you mean 'client_ip'?)"},
    {SET("'X-A': '${}'"), "no value has the name ''"},
    {SET("'X-A': '${server}'"), "no value has the name 'server' in a request"},
    {RESPONSE("'set': { 'X-A': '${server}' }"), NULL},
    {SET("'X-A': 'a${host'"), "'a${host': a '${' without '}'"},
    {SET("'X-A': '$host $ {host} $${host}$'"), NULL},
    {SET("'X-A': '${identity:user}${identity:ip}'"), NULL},
    {SET("'X-A': '${identity:project}'"), "'project': no quota of this route counts by"},
    {SET("'X-A': '${identity:usr}'"), "'usr': no quota of this route counts by an identity"},
    {SET("'X-A': 'a\\r\\nX-B: c'"), "s value has no control bytes"},
    {SET("'X-A': 'a\\u007f'"), "s value has no control bytes"},
    {SET("'X-A': ' a'"), "no white space at either end"},
    {SET("'X-A': '${host}${host}${host}${host}${host}${host}${host}${host}${host}${host}${host}"
         "${host}${host}${host}${host}${host}${host}'"),
     "at most 16 values can be named"},
    {SET("'X-A': '${path}${path}${path}${path}', 'X-B': '${path}${path}${path}${path}'"),
     "/request_headers: the headers of one message could become longer than 16384 bytes"},
};

static void quotes(char *out, const char *text)
{
    do
        *out++ = *text == '\'' ? '"' : *text;
    while (*text++ != '\0');
}

static void test_rows(void **state)
{
    unsigned failed = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        char wanted[256] = "";
        struct plan_report report;
        struct span text = with_rules(ROWS[i].rules);
        struct plan *plan = bench_build(text, &report);
        if (ROWS[i].message != NULL)
            quotes(wanted, ROWS[i].message);
        if ((plan != NULL) != (ROWS[i].message == NULL) || strstr(report.text, wanted) == NULL ||
            report.errors != (ROWS[i].message == NULL ? 0 : 1) || report.warnings != 0) {
            print_error("%s: \"%s\" is not all that is said:\n%s", ROWS[i].rules, wanted,
                        report.text);
            failed++;
        }
        plan_report_fini(&report);
        plan_unref(&plan);
        free((char *)(uintptr_t)text.ptr);
    }
    assert_int_equal(failed, 0);
}

/* ---- what is written ---- */

static const struct plan_route *api_of(const struct plan *plan)
{
    return &plan->routes[1];
}

struct line {
    const char *rules, *lines;
};

static const struct line LINES[] = {
    {"'X-A': 'b'", "X-A: b\r\n"},
    {"'X-A': ''", ""},
    {"'X-A': '${host}'", "X-A: h.example\r\n"},
    {"'X-A': '<${host}>', 'x-b': '${method}${method} ${host}'",
     "X-A: <h.example>\r\nx-b: PURGEPURGE h.example\r\n"},
    {"'X-A': '$${host}$'", "X-A: $h.example$\r\n"},
    {"'X-A': '${listener}', 'X-B': 'c'", "X-B: c\r\n"},
    {"'X-A': 'a=${listener};b=${host}'", "X-A: a=;b=h.example\r\n"},
    {"'X-A': 'a=${listener};b=${certificate}'", ""},
    {"'X-A': '${route}'", ""},
    {"'X-A': '${path}'", ""},
    {"'X-A': '${upstream}'", ""},
    {"'X-A': '${scheme}'", ""},
    {"'X-A': '${peer_ip}'", ""},
    {"'X-A': '${request_id}'", "X-A: \xc3\xa9\t\xff\r\n"},
    {"'X-A': '${identity:user}', 'X-B': '${identity:ip}-${identity:user}'",
     "X-A: first\r\nX-B: second-first\r\n"},
};

/* To be looked at: what stands in the file is hidden where it may be a credential, never longer than it was. */
static const struct line SHOWN[] = {
    {"'X-A': 'Bearer hush'", "X-A: ***\r\n"},
    {"'X-A': '7', 'X-B': 'ab'", "X-A: *\r\nX-B: **\r\n"},
    {"'X-A': '-', 'X-B': '<${host}>; ${method}'", "X-A: -\r\nX-B: <h.example>; PURGE\r\n"},
    {"'X-A': 'by=${host}; key=hush ${method}!'", "X-A: ***h.example***PURGE!\r\n"},
    {"'X-A': 'key=hush ${certificate}'", ""},
};

static void assert_lines(const struct line *line,
                         char *(*write)(char *out, const struct plan_rewrite_rules *rules,
                                        const struct span values[PLAN_REWRITE_VALUES]))
{
    const struct span values[PLAN_REWRITE_VALUES] = {
        [PLAN_REWRITE_HOST] = {"h.example", 9},  [PLAN_REWRITE_METHOD] = {"PURGE", 5},
        [PLAN_REWRITE_CERTIFICATE] = {"", 0},    [PLAN_REWRITE_ROUTE] = {"a\r\nX-Evil: b", 12},
        [PLAN_REWRITE_PATH] = {"/a\0b", 4},      [PLAN_REWRITE_UPSTREAM] = {" a", 2},
        [PLAN_REWRITE_SCHEME] = {"https5", 6}, /* longer than it can be */
        [PLAN_REWRITE_PEER_IP] = {"a\t", 2},     [PLAN_REWRITE_REQUEST_ID] = {"\xc3\xa9\t\xff", 4},
        [PLAN_REWRITE_VARIABLES] = {"first", 5}, [PLAN_REWRITE_VARIABLES + 1] = {"second", 6},
    };
    char rules[1024];
    snprintf(rules, sizeof(rules), "'request_headers': { 'set': { %s } }", line->rules);
    struct plan *plan = bench_plan(with_rules(rules));
    const struct plan_rewrite *rewrite = api_of(plan)->rewrite;
    assert_non_null(rewrite);
    char *out = malloc(rewrite->headers.max_bytes + 1);
    assert_non_null(out);
    char *end = write(out, &rewrite->headers, values);
    assert_true((size_t)(end - out) <= rewrite->headers.max_bytes);
    *end = '\0';
    assert_string_equal(out, line->lines);
    free(out);
    plan_unref(&plan);
}

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++)
        assert_lines(&LINES[i], plan_rewrite_write);
    for (size_t i = 0; i < sizeof(SHOWN) / sizeof(SHOWN[0]); i++)
        assert_lines(&SHOWN[i], plan_rewrite_show);
}

static void test_what_is_linked(void **state)
{
    (void)state;
    struct plan *plan = bench_plan(bench_text(bench_good));
    for (unsigned i = 0; i < plan->route_count; i++)
        assert_true(plan->routes[i].rewrite == NULL && plan->routes[i].response_rules == NULL);
    plan_unref(&plan);
    plan = bench_plan(with_rules("'request_headers': {}, 'response_headers': { 'always': true }"));
    assert_true(api_of(plan)->rewrite == NULL && api_of(plan)->response_rules == NULL);
    plan_unref(&plan);

    plan = bench_plan(with_rules(
        "'strip_prefix': '/v1/', 'add_prefix': '/w', 'request_headers': { 'set': { 'X-A': '1', "
        "'X-B': '' }, 'add': { 'X-C': '${client_ip}' }, 'remove': ['X-D'] }, "
        "'response_headers': { 'add': { 'X-E': '2' }, 'always': true }"));
    const struct plan_rewrite *rewrite = api_of(plan)->rewrite;
    assert_true(span_eq(rewrite->prefix.strip, SPAN("/v1")));
    assert_true(span_eq(rewrite->prefix.add, SPAN("/w")));
    const struct plan_rewrite_rules *rules = &rewrite->headers;
    assert_int_equal(rules->gone.count, 3);
    assert_int_equal(rules->removed_count, 1);
    assert_true(span_eq(rules->gone.names[0], SPAN("X-D")));
    assert_true(span_eq(rules->gone.names[2], SPAN("X-B")));
    assert_int_equal(rules->line_count, 2);
    assert_true(plan_rewrite_needs(rules, PLAN_REWRITE_CLIENT_IP));
    assert_false(plan_rewrite_needs(rules, PLAN_REWRITE_PEER_IP));
    assert_int_equal(rules->max_bytes, strlen("X-A: 1\r\nX-C: \r\n") + 46);
    rules = api_of(plan)->response_rules;
    assert_true(rules->is_always && rules->gone.count == 0 && rules->line_count == 1);
    plan_unref(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_what_is_linked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
