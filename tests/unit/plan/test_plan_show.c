/* SPDX-License-Identifier: Apache-2.0 */
/* test_plan_show - the dump that loads as it is and hides secrets, what a reload changes or may not
 * change, the schema, and the reference page that docs/ holds. */
#include "plan_bench.h"

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
    const char *line;    /* of plan_diff; NULL: none */
    const char *restart; /* beginning of plan_change_fault; NULL: may change */
};

static const struct change changes[] = {
    {"'workers': 2", "'workers': 2 /* the same */", NULL, NULL},
    {"'workers': 2", "'workers': 3", "workers: 2 -> 3", "the number of workers cannot change"},
    {"'workers': 2", "'workers': 'auto'", "workers: 2 -> auto", "the number of workers"},
    {"'subjects': 1000", "'subjects': 2000", "store: subjects 1000 -> 2000",
     "the store cannot change"},
    {"'type': 'memory', 'state_file': '/tmp/state', 'subjects': 1000",
     "'type': 'redis', 'servers': ['a:1']", "store: type memory -> redis",
     "the store cannot change"},
    {"'BENCH_SECRET'", "'HOME'", "subject_secret: changed", "the subject secret cannot change"},
    {"{ 'env': 'BENCH_SECRET' }", "'0123456789abcdef'", NULL, NULL},
    {"'unix:/tmp/admin.sock'", "'unix:/tmp/other.sock'",
     "admin: address unix:/tmp/admin.sock -> unix:/tmp/other.sock",
     "the address of the admin socket"},
    {", 'metrics': '127.0.0.1:9180'", "", "admin: metrics 127.0.0.1:9180 -> (unset)",
     "the address of the metrics page"},
    {"'minute': 60", "'minute': 90", "quota user: limits minute 60 -> 90", NULL},
    {"'minute': 60, ", "", "quota user: limits minute 60 -> (unset)", NULL},
    {"'second': 10", "'second': 10, 'hour': 5000", "quota project: limits hour (unset) -> 5000",
     NULL},
    {"'on_failure': 'deny'", "'on_failure': 'allow'", "quota ip: on_failure deny -> allow", NULL},
    {"'cost': 5", "'cost': 6", "route search: cost estimate 5 -> 6", NULL},
    {"'quotas': ['ip', 'user']", "'quotas': ['user', 'ip']",
     "route api: quotas [\"ip\",\"user\"] -> [\"user\",\"ip\"]", NULL},
    {"{ 'used': 'consumed' }", "{ 'used': 'consumed', 'dialects': [] }",
     "route api: headers dialects (unset) -> []", NULL},
    {"'text': 'nothing here'", "'text': 'nothing'",
     "route /*: respond text nothing here -> nothing", NULL},
    {"    { 'path': '/ping'", "    { 'path': '/pong', 'respond': {} },\n    { 'path': '/ping'",
     "route /pong: added", NULL},
    {"    { 'path': '/ping', 'respond': { 'status': 201, 'json': { 'ok' : true, 'n': 1.50 } } },\n",
     "", "route /ping: removed", NULL},
    {"'name': 'search'", "'name': 'find'", "route find: added", NULL},
    {"'127.0.0.1:9000', {", "{", "upstream app: server 127.0.0.1:9000 removed", NULL},
    {"'connect': '2s'", "'connect': '3s'", "upstream app: timeouts connect 2s -> 3s", NULL},
    {"'missing': 'skip'", "'missing': 'refuse'", "identity user: missing skip -> refuse", NULL},
    {"'body': '12MiB', ", "", "limits: body 12MiB -> unlimited", NULL},
    {"'level': 'warn'", "'level': 'debug'", "log: level warn -> debug", NULL},
    {",\n             { 'address': 'unix:/tmp/s.sock' }", "", "listener unix:/tmp/s.sock: removed",
     NULL},
    {"'10.0.0.0/8', ", "", "trusted_proxies: [\"10.0.0.0/8\",\"unix\"] -> [\"unix\"]", NULL},
};

static void check_change(const struct change *change)
{
    char line[512];
    struct plan *old = bench_plan(bench_text(bench_good));
    struct plan *next = bench_plan(bench_replace(change->part, change->with));
    char *diff = plan_diff(old, next);
    const char *fault = plan_change_fault(old, next);
    snprintf(line, sizeof(line), "%s\n", change->line == NULL ? "" : change->line);
    if (diff == NULL || (change->line == NULL ? diff[0] != '\0' : strstr(diff, line) == NULL))
        fail_msg("%s -> %s: wanted %s, got %s", change->part, change->with, line, diff);
    assert_null(strstr(diff, "0123456789abcdef"));
    if ((fault == NULL) != (change->restart == NULL) ||
        (fault != NULL && strncmp(fault, change->restart, strlen(change->restart)) != 0))
        fail_msg("%s -> %s: wanted %s, got %s", change->part, change->with,
                 change->restart == NULL ? "nothing" : change->restart, fault);
    free(diff);
    plan_unref(&old);
    plan_unref(&next);
}

static void test_changes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        check_change(&changes[i]);
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
    char *diff = plan_diff(old, next);
    assert_string_equal(diff, "subject_secret: changed\n");
    assert_non_null(plan_change_fault(old, next));
    free(diff);
    plan_unref(&old);
    plan_unref(&next);
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
    struct plan *next = bench_plan(bench_text(text));
    char *diff = plan_diff(old, next);
    assert_string_equal(diff, "routes: in another order\n");
    free(diff);
    plan_unref(&old);
    plan_unref(&next);
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
        cmocka_unit_test(test_order),      cmocka_unit_test(test_schema),
        cmocka_unit_test(test_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
