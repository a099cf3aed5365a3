/* SPDX-License-Identifier: Apache-2.0 */
/* test_plan_show - the dump that loads as it is and hides secrets, what a reload changes or may not
 * change, the schema, and the reference page that docs/ holds. */
#include "plan_bench.h"

#include "plan/plan_difference.h"
#include "plan/plan_draft.h"

/* The effective file is a file: it loads, and its own dump is the same. */
static void test_dump_loads(void **state)
{
    (void)state;
    struct plan *plan = bench_plan(bench_text(bench_good));
    char *dump = plan_dump(plan);
    assert_non_null(dump);
    char *copy = strdup(dump);
    assert_non_null(copy);
    struct plan *again = bench_plan((struct span){copy, strlen(copy)});
    char *second = plan_dump(again);
    assert_string_equal(dump, second);
    free(dump);
    free(second);
    plan_unref(&plan);
    plan_unref(&again);
}

static void test_dump_says(void **state)
{
    static const char *const wanted[] = {
        "\"subject_secret\": \"***\"",
        "\"client_address\": \"x-forwarded-for\"",
        "\"read_idle\": \"60s\"",
        "\"pool_max\": 1024",
        "\"name\": \"unix:/tmp/s.sock\"",
        "\"name\": \"/ping\"",
        "\"estimate\": 1",
        "\"ipv6_prefix\": 64",
        "\"write_stall\": \"30s\"",
    };
    (void)state;
    struct plan *plan = bench_plan(bench_text(bench_good));
    char *dump = plan_dump(plan);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (strstr(dump, wanted[i]) == NULL)
            fail_msg("%s is not in\n%s", wanted[i], dump);
    }
    assert_null(strstr(dump, "0123456789abcdef"));
    assert_null(strstr(dump, "BENCH_SECRET"));
    /* What a route inherits is not said twice. */
    assert_null(strstr(dump, "\"used\": \"consumed\",\n"));
    free(dump);
    plan_unref(&plan);
}

struct change {
    const char *part, *with;
    const char *line;  /* of the difference; NULL: none */
    const char *fault; /* of plan_change_fault; NULL: may change */
};

#define FIXED      " cannot change in a running process: "
#define BY_UPGRADE FIXED "`sluice upgrade` or a restart takes it over"
#define BY_RESTART FIXED "only a restart takes it over"

static const struct change changes[] = {
    {"'workers': 2", "'workers': 2 /* the same */", NULL, NULL},
    {"'workers': 2", "'workers': 3", "workers: 2 -> 3", "workers" BY_UPGRADE},
    {"'workers': 2", "'workers': 'auto'", "workers: 2 -> auto", "workers" BY_UPGRADE},
    {"'subjects': 1000", "'subjects': 2000", "store: subjects 1000 -> 2000",
     "store.subjects" BY_RESTART},
    {"'state_file': '/tmp/state', 'subjects': 1000", "'state_file': '/tmp/other', 'subjects': 99",
     "store: state_file /tmp/state -> /tmp/other",
     "store.state_file" BY_UPGRADE "; store.subjects" BY_RESTART},
    {"'subjects': 1000", "'subjects': 1000, 'state_interval': '5s'",
     "store: state_interval 10s -> 5s", NULL},
    {"'type': 'memory', 'state_file': '/tmp/state', 'subjects': 1000",
     "'type': 'redis', 'servers': ['a:1']", "store: type memory -> redis", "store.type" BY_UPGRADE},
    {"'BENCH_SECRET'", "'HOME'", "subject_secret is changed", "subject_secret" BY_UPGRADE},
    {"{ 'env': 'BENCH_SECRET' }", "'0123456789abcdef'", NULL, NULL},
    {"'unix:/tmp/admin.sock'", "'unix:/tmp/other.sock'",
     "admin: address unix:/tmp/admin.sock -> unix:/tmp/other.sock", "admin.address" BY_UPGRADE},
    {", 'metrics': '127.0.0.1:9180'", "", "admin: metrics 127.0.0.1:9180 -> (unset)",
     "admin.metrics" BY_UPGRADE},
    {"'minute': 60", "'minute': 90", "quota user gives more: limits minute 60 -> 90", NULL},
    {"'minute': 60", "'minute': 6", "quota user gives less: limits minute 60 -> 6", NULL},
    {"'minute': 60, ", "", "quota user gives more: limits minute 60 -> no limit", NULL},
    {"'second': 10", "'second': 10, 'hour': 5000",
     "quota project gives less: limits hour no limit -> 5000", NULL},
    {"{ 'second': 10 }", "{ 'second': 10 }, 'in_flight': 3",
     "quota project gives less: in_flight no limit -> 3", NULL},
    {"{ 'second': 10 }", "{ 'second': 10 }, 'mode': 'shadow'",
     "quota project gives more: mode enforce -> shadow", NULL},
    {"{ 'second': 10 }", "{ 'second': 10 }, 'exempt': { 'preflight': true }",
     "quota project gives more: exempt (unset) -> {\"preflight\":true}", NULL},
    {"{ 'second': 10 }", "{ 'second': 10 }, 'algorithm': 'sliding'",
     "quota project: algorithm fixed -> sliding", NULL},
    {"'on_failure': 'deny'", "'on_failure': 'allow'", "quota ip: on_failure deny -> allow", NULL},
    {"'cost': 5", "'cost': 6", "route search gives less: cost estimate 5 -> 6", NULL},
    {"'cost': 5", "'cost': 1", "route search gives more: cost estimate 5 -> 1", NULL},
    {"'quotas': ['ip', 'user']", "'quotas': ['user', 'ip']",
     "route api: quotas [\"ip\",\"user\"] -> [\"user\",\"ip\"]", NULL},
    {"'quotas': ['ip', 'user']", "'quotas': ['ip']",
     "route api gives more: quotas [\"ip\",\"user\"] -> [\"ip\"]", NULL},
    {"{ 'used': 'consumed' }", "{ 'used': 'consumed', 'dialects': [] }",
     "route api: headers dialects (unset) -> []", NULL},
    {"'text': 'nothing here'", "'text': 'nothing'",
     "route /*: respond text nothing here -> nothing", NULL},
    {"    { 'path': '/ping'", "    { 'path': '/pong', 'respond': {} },\n    { 'path': '/ping'",
     "route /pong is added", NULL},
    {"    { 'path': '/ping', 'respond': { 'status': 201, 'json': { 'ok' : true, 'n': 1.50 } } },\n",
     "", "route /ping is removed", NULL},
    {"'name': 'search'", "'name': 'find'", "route find is added", NULL},
    {"'127.0.0.1:9000', {", "{", "upstream app: server 127.0.0.1:9000 is removed", NULL},
    {"'[::1]:9000'", "'[::1]:9000', '[::1]:9001'", "upstream other: server [::1]:9001 is added",
     NULL},
    {"'connect': '2s'", "'connect': '3s'", "upstream app: timeouts connect 2s -> 3s", NULL},
    {"'missing': 'skip'", "'missing': 'refuse'", "identity user: missing skip -> refuse", NULL},
    {"'body': '12MiB', ", "", "limits: body 12MiB -> unlimited", NULL},
    {"'level': 'warn'", "'level': 'debug'", "log: level warn -> debug", NULL},
    {",\n             { 'address': 'unix:/tmp/s.sock' }", "", "listener unix:/tmp/s.sock is closed",
     NULL},
    {"'unix:/tmp/s.sock' }", "'unix:/tmp/s.sock' }, { 'address': '127.0.0.1:1' }",
     "listener 127.0.0.1:1 is opened", NULL},
    {"'10.0.0.0/8', ", "'10.0.0.0/8', '10.0.0.0/8', ",
     "trusted_proxies: [\"10.0.0.0/8\",\"unix\"] -> [\"10.0.0.0/8\",\"10.0.0.0/8\",\"unix\"]",
     NULL},
    {"'10.0.0.0/8', ", "", "trusted_proxies: [\"10.0.0.0/8\",\"unix\"] -> [\"unix\"]", NULL},
};

static void check_change(const struct change *change)
{
    char line[512], why[PLAN_CHANGE_FAULT_MAX];
    struct plan_difference difference;
    struct plan *old = bench_plan(bench_text(bench_good));
    struct plan *next = bench_plan(bench_replace(change->part, change->with));
    assert_true(plan_difference_make(&difference, old, next));
    const char *fault = plan_change_fault(old, next, why);
    snprintf(line, sizeof(line), "%s\n", change->line == NULL ? "" : change->line);
    if (change->line == NULL ? difference.count != 0 : strstr(difference.text, line) == NULL)
        fail_msg("%s -> %s: wanted %s, got %s", change->part, change->with, line, difference.text);
    assert_int_equal(difference.text[0] == '\0', difference.count == 0);
    assert_null(strstr(difference.text, "0123456789abcdef"));
    assert_null(strstr(difference.json, "0123456789abcdef"));
    if (fault == NULL ? change->fault != NULL
                      : change->fault == NULL || strcmp(fault, change->fault) != 0)
        fail_msg("%s -> %s: wanted %s, got %s", change->part, change->with,
                 change->fault == NULL ? "nothing" : change->fault, fault);
    plan_difference_fini(&difference);
    plan_unref(&old);
    plan_unref(&next);
}

static void test_changes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        check_change(&changes[i]);
}

static void check_difference(struct plan *old, struct plan *next, const char *text,
                             const char *json)
{
    struct plan_difference difference;
    assert_true(plan_difference_make(&difference, old, next));
    assert_string_equal(difference.text, text);
    assert_string_equal(difference.json, json);
    assert_int_equal(difference.left_off, 0);
    plan_difference_fini(&difference);
    plan_unref(&old);
    plan_unref(&next);
}

/* Who gets more comes first, then who gets less, what is there at all, and the rest. */
static void test_groups(void **state)
{
    static const char *const old =
        "{ 'listen': [{ 'address': '127.0.0.1:1' }], 'upstreams': { 'a': { 'servers': "
        "['127.0.0.1:2'] } },\n"
        "'tiers': { 'gold': { 'minute': 5 }, 'free': { 'minute': 9 } },\n"
        "'quotas': { 'q': { 'key': ['ip'], 'limits': 'tier', 'default_tier': 'free', 'members': { "
        "'gold': ['10.0.0.1'] } } },\n"
        "'routes': [{ 'name': 'r', 'prefix': '/', 'quotas': ['q'], 'upstream': 'a' }] }";
    static const char *const next =
        "{ 'listen': [{ 'address': '127.0.0.1:3' }], 'upstreams': { 'a': { 'servers': "
        "['127.0.0.1:4'] } },\n"
        "'tiers': { 'gold': 'unlimited', 'free': { 'minute': 8, 'in_flight': 1 } },\n"
        "'quotas': { 'q': { 'key': ['ip'], 'limits': 'tier', 'default_tier': 'free', 'members': { "
        "'gold': ['10.0.0.1', '10.0.0.2'] } } },\n"
        "'log': { 'level': 'warn' },\n"
        "'routes': [{ 'name': 's', 'prefix': '/', 'quotas': ['q'], 'upstream': 'a' }] }";
    (void)state;
    check_difference(
        bench_plan(bench_text(old)), bench_plan(bench_text(next)),
        "tier gold gives more: {\"minute\":5} -> unlimited\n"
        "tier free gives less: minute 9 -> 8\n"
        "tier free gives less: in_flight no limit -> 1\n"
        "route r is removed\nroute s is added\n"
        "listener 127.0.0.1:1 is closed\nlistener 127.0.0.1:3 is opened\n"
        "upstream a: server 127.0.0.1:2 is removed\nupstream a: server 127.0.0.1:4 is added\n"
        "quota q: members gold 1 added, 0 removed\n"
        "log: level info -> warn\n",
        "[{\"effect\":\"more\",\"item\":\"tier gold\",\"was\":{\"minute\":5},\"is\":\"unlimited\"},"
        "{\"effect\":\"less\",\"item\":\"tier free\",\"key\":\"minute\",\"was\":9,\"is\":8},"
        "{\"effect\":\"less\",\"item\":\"tier free\",\"key\":\"in_flight\",\"was\":null,\"is\":1},"
        "{\"effect\":\"removed\",\"item\":\"route r\"},{\"effect\":\"added\",\"item\":\"route s\"},"
        "{\"effect\":\"closed\",\"item\":\"listener 127.0.0.1:1\"},"
        "{\"effect\":\"opened\",\"item\":\"listener 127.0.0.1:3\"},"
        "{\"effect\":\"removed\",\"item\":\"upstream a\",\"key\":\"server 127.0.0.1:2\"},"
        "{\"effect\":\"added\",\"item\":\"upstream a\",\"key\":\"server 127.0.0.1:4\"},"
        "{\"effect\":\"changed\",\"item\":\"quota q\",\"key\":\"members gold\",\"added\":1,"
        "\"removed\":0},"
        "{\"effect\":\"changed\",\"item\":\"log\",\"key\":\"level\",\"was\":\"info\",\"is\":"
        "\"warn\"}]");
}

/* However many and however long changes are, what is told of them has an end. */
static void test_many(void **state)
{
    static char routes[2][60000], text[2][131072];
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        char *at = routes[i];
        for (unsigned k = 0; k < 400; k++)
            at += sprintf(at, "{ 'name': '%c%u\\u00e4%060u', 'path': '/%u', 'respond': {} },",
                          'a' + i, k, k, k);
        snprintf(text[i], sizeof(text[i]),
                 "{ 'listen': [{ 'address': '127.0.0.1:1' }], 'routes': [%s { 'path': '/x', "
                 "'respond': { 'text': "
                 "'%0*d' } }] }",
                 routes[i], 300 + (int)i, 0);
    }
    struct plan *old = bench_plan(bench_text(text[0])), *next = bench_plan(bench_text(text[1]));
    struct plan_difference difference;
    assert_true(plan_difference_make(&difference, old, next));
    assert_int_equal(difference.count, 801);
    assert_in_range(difference.left_off, 400, 800);
    assert_in_range(strlen(difference.text), PLAN_DIFFERENCE_TEXT_MAX - 300,
                    PLAN_DIFFERENCE_TEXT_MAX);
    assert_in_range(strlen(difference.json), PLAN_DIFFERENCE_JSON_MAX - 300,
                    PLAN_DIFFERENCE_JSON_MAX);
    assert_non_null(strstr(difference.text, " changes are too many or too long to be shown)\n"));
    plan_difference_fini(&difference);
    plan_unref(&old);
    plan_unref(&next);
}

/* A secret's file may change though the configuration's text does not. */
static bool read_other(void *arg, struct span name, struct span *text, char why[256])
{
    (void)name;
    (void)why;
    *text = span_of(arg);
    return true;
}

static void test_secret_behind_same_text(void **state)
{
    static char one[] = "one", two[] = "two";
    char why[PLAN_CHANGE_FAULT_MAX];
    (void)state;
    struct span text = bench_replace("{ 'env': 'BENCH_SECRET' }", "{ 'file': 'key' }");
    struct plan_file file = {SPAN("t.json"), text};
    struct plan_report report;
    struct plan *old = plan_build(&file, read_other, one, NULL, 1, &report);
    plan_report_fini(&report);
    struct plan *next = plan_build(&file, read_other, two, NULL, 2, &report);
    plan_report_fini(&report);
    assert_non_null(old);
    assert_non_null(next);
    assert_non_null(plan_change_fault(old, next, why));
    check_difference(old, next, "subject_secret is changed\n",
                     "[{\"effect\":\"changed\",\"item\":\"subject_secret\"}]");
    free((char *)(uintptr_t)text.ptr);
}

static void test_order(void **state)
{
    (void)state;
    static const char first[] =
        "{ 'path': '/ping', 'respond': { 'status': 201, 'json': { 'ok' : true, "
        "'n': 1.50 } } },\n    ";
    struct plan *old = bench_plan(bench_text(bench_good));
    struct span moved = bench_replace(first, "");
    char text[BENCH_TEXT_MAX];
    const char *at = memmem(moved.ptr, moved.len, "{ \"name\": \"search\"", 18);
    assert_non_null(at);
    snprintf(text, sizeof(text), "%.*s%s%.*s", (int)(at - moved.ptr), moved.ptr, first,
             (int)(moved.ptr + moved.len - at), at);
    free((char *)(uintptr_t)moved.ptr);
    check_difference(old, bench_plan(bench_text(text)), "routes are in another order\n",
                     "[{\"effect\":\"reordered\",\"item\":\"routes\"}]");
}

/* Keys of one table that are for a later version in another. */
static bool is_elsewhere(const char *key)
{
    static const char *const keys[] = {"errors", "tls", "durable"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(key, keys[i]) == 0)
            return true;
    }
    return false;
}

/* The schema is JSON, knows every key of every table, and none of later versions. */
static void find_keys(const char *schema, const struct config_table *table)
{
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        char key[128];
        snprintf(key, sizeof(key), "\"%s\": {", row->key);
        bool is_known = strstr(schema, key) != NULL;
        if (is_known != (row->type != CONFIG_LATER) && !is_elsewhere(row->key))
            fail_msg("%s: %s", table->title, row->key);
        if (row->nested != NULL)
            find_keys(schema, row->nested);
    }
}

static void test_schema(void **state)
{
    (void)state;
    char *schema = plan_schema();
    assert_non_null(schema);
    assert_non_null(strstr(schema, "https://json-schema.org/draft/2020-12/schema"));
    assert_non_null(strstr(schema, "\"additionalProperties\": false"));
    find_keys(schema, &PLAN_TABLE);

    struct config_report report;
    struct config_doc doc;
    config_report_init(&report);
    config_doc_init(&doc, &report, span_of(schema));
    assert_non_null(doc.root);
    assert_int_equal(report.errors, 0);
    assert_non_null(config_find(doc.root, "properties"));
    config_doc_fini(&doc);
    config_report_fini(&report);
    free(schema);
}

#define BEGIN "<!-- reference: written by sluice, from the tables that the loader reads -->\n"
#define END   "<!-- end of reference -->\n"

/* docs/configuration.md holds the reference; SLUICE_UPDATE_DOCS=1 writes it there. */
static void test_reference(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof(path), TESTS_ROOT "/docs/configuration.md");
    char *reference = plan_reference(), *page = calloc(1, 1 << 20);
    assert_non_null(reference);
    assert_non_null(page);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(page, 1, (1 << 20) - 1, file) > 0);
    fclose(file);

    char *begin = strstr(page, BEGIN), *end = strstr(page, END);
    assert_non_null(begin);
    assert_non_null(end);
    begin += strlen(BEGIN);
    bool is_same = (size_t)(end - begin) == strlen(reference) &&
                   memcmp(begin, reference, strlen(reference)) == 0;
    if (!is_same && getenv("SLUICE_UPDATE_DOCS") != NULL) {
        file = fopen(path, "w");
        assert_non_null(file);
        fprintf(file, "%.*s%s%s", (int)(begin - page), page, reference, end);
        fclose(file);
    } else if (!is_same) {
        fail_msg(
            "docs/configuration.md is behind the tables: run this test with SLUICE_UPDATE_DOCS=1");
    }
    free(reference);
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dump_loads), cmocka_unit_test(test_dump_says),
        cmocka_unit_test(test_changes),    cmocka_unit_test(test_secret_behind_same_text),
        cmocka_unit_test(test_groups),     cmocka_unit_test(test_many),
        cmocka_unit_test(test_order),      cmocka_unit_test(test_schema),
        cmocka_unit_test(test_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
