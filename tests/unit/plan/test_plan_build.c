/* SPDX-License-Identifier: Apache-2.0 */
/* test_plan_build - what a good configuration becomes: every value where workers read it, defaults where
 * nothing is written, the shipped examples without a word, and no key that a typo hides. */
#include "plan_bench.h"

#include "base/base_log.h"
#include "plan/plan_draft.h"

#define assert_span(span, text) assert_true(span_eq((span), span_of(text)))

static const struct plan_route *route_named(const struct plan *plan, const char *name)
{
    for (unsigned i = 0; i < plan->route_count; i++) {
        if (span_eq(plan->routes[i].rule->name, span_of(name)))
            return &plan->routes[i];
    }
    fail_msg("no route %s", name);
    return NULL;
}

static void test_listeners_and_upstreams(void **state)
{
    (void)state;
    struct plan *plan = bench_plan(bench_text(bench_good));
    assert_int_equal(plan->generation, 7);
    assert_int_equal(plan->listener_count, 2);
    assert_span(plan->listeners[0].name, "public");
    assert_span(plan->listeners[0].address_text, "127.0.0.1:8080");
    assert_int_equal(plan->listeners[0].address.port, 8080);
    assert_span(plan->listeners[1].name, "unix:/tmp/s.sock");
    assert_true(plan->listeners[1].address.is_unix);

    assert_int_equal(plan->upstream_count, 2);
    const struct upstream_conf *app = &plan->upstreams[0];
    assert_span(app->name, "app");
    assert_int_equal(app->server_count, 2);
    assert_span(app->servers[0].address_text, "127.0.0.1:9000");
    assert_int_not_equal(app->servers[0].address.len, 0);
    assert_int_equal(app->servers[1].address.len, 0);
    assert_span(app->servers[1].host, "app.internal");
    assert_int_equal(app->servers[1].address.port, 9001);
    assert_int_equal(app->connect_timeout_us, 2000000);
    assert_int_equal(app->first_byte_timeout_us, 10000000);
    assert_int_equal(app->read_idle_timeout_us, 60000000);
    assert_int_equal(app->pool_idle_us, 4000000);
    assert_int_equal(app->pool_max, 8);
    assert_int_equal(plan->upstreams[1].connect_timeout_us, 1000000);
    plan_unref(&plan);
    assert_null(plan);
}

static void test_identities_and_quotas(void **state)
{
    (void)state;
    uint8_t id[IDENTITY_KEY_BYTES];
    struct plan *plan = bench_plan(bench_text(bench_good));
    assert_true(plan->trust.trusts_unix);
    assert_int_equal(plan->trust.net_count, 1);
    assert_int_equal(plan->trust.hops, IDENTITY_HOPS_XFF);

    /* user, project, and the sources that keys name directly: ip, route. */
    assert_int_equal(plan->identity_count, 4);
    assert_span(plan->identities[0].name, "user");
    assert_int_equal(plan->identities[0].from_count, 2);
    assert_int_equal(plan->identities[0].from[0].kind, IDENTITY_HEADER);
    assert_span(plan->identities[0].from[0].name, "x-auth-token");
    assert_int_equal(plan->identities[0].from[0].field_id, HTTP_FIELD_X_AUTH_TOKEN);
    assert_int_equal(plan->identities[0].missing, IDENTITY_MISSING_SKIP);
    assert_span(plan->identities[2].name, "ip");
    assert_int_equal(plan->identities[2].from[0].kind, IDENTITY_IP);
    assert_int_equal(plan->identities[2].ipv4_prefix, 32);
    assert_int_equal(plan->identities[2].ipv6_prefix, 64);
    assert_span(plan->identities[3].name, "route");

    assert_int_equal(plan->quota_count, 3);
    const struct quota *ip = &plan->quotas[1];
    assert_span(ip->name, "ip");
    assert_int_equal(ip->limit_count, 2);
    assert_int_equal(ip->limits[0].limit, 100);
    assert_int_equal(ip->limits[0].period_s, 60);
    assert_int_equal(ip->limits[1].limit, 300);
    assert_int_equal(ip->limits[1].period_s, 300);
    assert_int_equal(ip->limits[1].count, 5);
    assert_int_equal(ip->on_failure, QUOTA_FAIL_DENY);
    assert_int_equal(ip->key_count, 1);
    assert_int_equal(ip->key[0], 2);
    identity_quota_id(ip->name, id);
    assert_memory_equal(id, ip->id, sizeof(id));
    assert_int_equal(plan->quotas[2].key_count, 2);
    assert_int_equal(plan->quotas[2].key[0], 1);
    assert_int_equal(plan->quotas[2].key[1], 3);
    assert_non_null(plan->secret);
    assert_int_equal(plan->redis.secret_fingerprint.len, IDENTITY_TEXT_LEN);
    plan_unref(&plan);
}

static void test_routes(void **state)
{
    (void)state;
    struct plan *plan = bench_plan(bench_text(bench_good));
    assert_int_equal(plan->route_count, 4);
    const struct plan_route *search = route_named(plan, "search"), *api = route_named(plan, "api");
    assert_int_equal(search->cost.estimate, 5);
    assert_int_equal(search->quota_count, 3);
    assert_ptr_equal(search->quotas[0], &plan->quotas[0]);
    assert_ptr_equal(search->quotas[2], &plan->quotas[2]);
    assert_int_equal(search->upstream, 0);
    assert_null(search->respond);
    assert_false(search->headers.used_is_consumed);
    assert_int_equal(search->headers.dialects, REPLY_X_RATELIMIT);

    assert_int_equal(api->upstream, 1);
    assert_span(api->rule->host, "api.example.com");
    assert_int_equal(api->rule->method_count, 2);
    assert_int_equal(api->cost.estimate, 1);
    assert_true(api->headers.used_is_consumed);
    assert_int_equal(api->headers.dialects, REPLY_X_RATELIMIT);

    const struct plan_route *ping = route_named(plan, "/ping"), *rest = route_named(plan, "/*");
    assert_int_equal(ping->upstream, -1);
    assert_int_equal(ping->respond->status, 201);
    assert_span(ping->respond->body, "{\"ok\":true,\"n\":1.50}");
    assert_span(ping->respond->content_type, "application/json; charset=UTF-8");
    assert_span(rest->respond->body, "nothing here");
    assert_span(rest->respond->content_type, "text/plain; charset=UTF-8");

    struct route_query query = {SPAN("public"), SPAN("api.example.com"), SPAN("/v1/x"),
                                SPAN("POST")};
    struct route_match match;
    assert_true(route_table_find(plan->route_table, &query, &match));
    assert_ptr_equal(&plan->routes[match.index], api);
    plan_unref(&plan);
}

/* Without path and prefix a route takes every path; without names two routes are told apart anyway. */
static void test_bare_routes(void **state)
{
    (void)state;
    struct plan *plan = bench_plan(
        bench_replace("    { 'prefix': '/', 'respond'",
                      "    { 'prefix': '/', 'methods': ['PUT'], 'respond': {} },\n"
                      "    { 'prefix': '/', 'host': 'x.org', 'respond': {} },\n"
                      "    { 'respond': { 'status': 418 } },\n    { 'prefix': '/', 'respond'"));
    assert_int_equal(plan->route_count, 7);
    assert_span(plan->routes[3].rule->name, "PUT /*");
    assert_span(plan->routes[4].rule->name, "x.org/*");
    assert_span(plan->routes[5].rule->name, "/*");
    assert_span(plan->routes[6].rule->name, "/* #6");
    struct route_query query = {SPAN("public"), SPAN("y.org"), SPAN("/a/b"), SPAN("GET")};
    struct route_match match;
    assert_true(route_table_find(plan->route_table, &query, &match));
    assert_int_equal(plan->routes[match.index].respond->status, 418);
    plan_unref(&plan);
}

static void test_the_rest(void **state)
{
    (void)state;
    struct plan *plan = bench_plan(bench_text(bench_good));
    assert_int_equal(plan->workers, 2);
    assert_true(plan->store_is_memory);
    assert_int_equal(plan->store_subjects, 1000);
    assert_string_equal(plan->store_state_file.ptr, "/tmp/state");
    assert_int_equal(plan->store_state_interval_us, 10000000);
    assert_true(plan->request_id_short);
    assert_span(plan->request_id_host, "edge-1");
    assert_int_equal(plan->limits.head.line_max_bytes, 8192);
    assert_int_equal(plan->limits.head.field_max_bytes, 32768);
    assert_int_equal(plan->limits.head.head_max_bytes, 131072);
    assert_int_equal(plan->limits.head.field_max, 100);
    assert_int_equal(plan->limits.body_max_bytes, 12 << 20);
    assert_int_equal(plan->limits.connections_max, 500);
    assert_int_equal(plan->limits.header_timeout_us, 5000000);
    assert_int_equal(plan->limits.body_min_rate_per_s, 2048);
    assert_int_equal(plan->limits.body_grace_us, 5000000);
    assert_int_equal(plan->limits.write_stall_us, 30000000);
    assert_int_equal(plan->limits.keepalive_us, 60000000);
    assert_int_equal(plan->limits.drain_us, 30000000);
    assert_int_equal(plan->limits.head_budget_bytes, 64 << 20);
    assert_span(plan->log.access, "off");
    assert_span(plan->log.error, "stderr");
    assert_int_equal(plan->log_level, LOG_LEVEL_WARN);
    assert_span(plan->admin_address, "unix:/tmp/admin.sock");
    assert_span(plan->metrics_address, "127.0.0.1:9180");
    plan_unref(&plan);
}

static const char minimal[] = "{ 'listen': [{'address': '127.0.0.1:8080'}], 'upstreams': {'app': "
                              "{'servers': ['127.0.0.1:9000']}},"
                              " 'quotas': {'ip': {'key': ['ip'], 'limits': {'minute': 100}}},"
                              " 'routes': [{'prefix': '/', 'quotas': ['ip'], 'upstream': 'app'}] }";

static void test_minimal(void **state)
{
    (void)state;
    struct plan_report report;
    struct span text = bench_text(minimal);
    struct plan *plan = bench_build(text, &report);
    assert_non_null(plan);
    assert_string_equal(report.text, "");
    assert_int_equal(report.warnings, 0);
    plan_report_fini(&report);
    free((char *)(uintptr_t)text.ptr);
    assert_int_equal(plan->workers, 0);
    assert_true(plan->store_is_memory);
    assert_int_equal(plan->store_subjects, 1000000);
    assert_int_equal(plan->store_state_file.len, 0);
    assert_true(plan->limits.body_max_bytes == UINT64_MAX);
    assert_int_equal(plan->limits.connections_max, 10000);
    assert_span(plan->log.access, "stdout");
    assert_int_equal(plan->admin_address.len, 0);
    assert_int_equal(plan->metrics_address.len, 0);
    assert_int_not_equal(plan->request_id_host.len, 0);
    assert_false(plan->request_id_short);
    assert_non_null(plan->secret);
    plan_unref(&plan);
}

static void test_redis(void **state)
{
    static const char redis[] =
        "'type': 'redis', 'servers': ['[::1]:6379'], 'password': { 'file': 'newline' }, "
        "'username': 'u',"
        " 'database': 3, 'prefix': 'edge', 'fleet_size': 4, 'on_failure': 'allow'";
    (void)state;
    struct plan *plan = bench_plan(
        bench_replace("'type': 'memory', 'state_file': '/tmp/state', 'subjects': 1000", redis));
    assert_false(plan->store_is_memory);
    assert_span(plan->redis.servers[0].text, "[::1]:6379");
    assert_int_equal(plan->redis.servers[0].address.port, 6379);
    assert_span(plan->redis.username, "u");
    assert_span(plan->redis.password, "s3cret");
    assert_span(plan->redis.prefix, "edge");
    assert_int_equal(plan->redis.database, 3);
    assert_int_equal(plan->redis.decision_timeout_us, 50000);
    assert_int_equal(plan->redis.command_timeout_us, 250000);
    assert_int_equal(plan->redis.connect_timeout_us, 1000000);
    assert_int_equal(plan->redis.fleet_size, 4);
    assert_int_equal(plan->redis.on_failure, QUOTA_FAIL_ALLOW);
    /* A quota without its own word follows the store. */
    assert_int_equal(plan->quotas[0].on_failure, QUOTA_FAIL_ALLOW);
    assert_int_equal(plan->quotas[1].on_failure, QUOTA_FAIL_DENY);
    plan_unref(&plan);
}

/* One newline at the end of a secret's file is an editor's, two are not. */
static void test_secret_files(void **state)
{
    (void)state;
    static const char redis[] = "'type': 'redis', 'servers': ['a:1'], 'password': { 'file': '%s' }";
    static const struct {
        const char *file, *password;
    } rows[] = {{"good", "s3cret"}, {"newline", "s3cret"}, {"two", "s3cret\n"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char with[256];
        snprintf(with, sizeof(with), redis, rows[i].file);
        struct plan *plan = bench_plan(
            bench_replace("'type': 'memory', 'state_file': '/tmp/state', 'subjects': 1000", with));
        assert_span(plan->redis.password, rows[i].password);
        plan_unref(&plan);
    }
}

/* A secret that is not given is the same for all proxies of one prefix, and another for another. */
static void test_derived_secret(void **state)
{
    static const char with[] = "{ 'listen': [{'address': '127.0.0.1:8080'}],"
                               "  'store': {'type': 'redis', 'servers': ['a:1'], 'prefix': '%s'},"
                               "  'routes': [{'prefix': '/', 'respond': {}}] }";
    static const char *const prefixes[] = {"sluice", "sluice", "other"};
    struct span prints[3];
    struct plan *plans[3];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char text[512];
        snprintf(text, sizeof(text), with, prefixes[i]);
        plans[i] = bench_plan(bench_text(text));
        prints[i] = plans[i]->redis.secret_fingerprint;
    }
    assert_true(span_eq(prints[0], prints[1]));
    assert_false(span_eq(prints[0], prints[2]));
    for (size_t i = 0; i < 3; i++)
        plan_unref(&plans[i]);
}

static void test_slots(void **state)
{
    (void)state;
    struct metrics_registry *registry = metrics_registry_new();
    struct span text = bench_text(bench_good);
    struct plan_file file = {SPAN("t.json"), text};
    struct plan_report report;
    struct plan *first = plan_build(&file, bench_read, NULL, registry, 1, &report);
    plan_report_fini(&report);
    struct plan *second = plan_build(&file, bench_read, NULL, registry, 2, &report);
    plan_report_fini(&report);
    assert_non_null(first);
    assert_non_null(second);
    assert_int_not_equal(first->routes[0].slot_requests, METRICS_SLOT_LOST);
    assert_int_not_equal(first->routes[0].slot_class[2], first->routes[0].slot_class[5]);
    assert_int_not_equal(first->quotas[0].slot_allow, first->quotas[1].slot_allow);
    assert_int_not_equal(first->upstreams[0].servers[0].slot_ok, METRICS_SLOT_LOST);
    /* A reload keeps its numbers. */
    assert_int_equal(first->routes[0].slot_requests, second->routes[0].slot_requests);
    assert_int_equal(first->quotas[2].slot_refuse, second->quotas[2].slot_refuse);
    plan_unref(&first);
    plan_unref(&second);
    metrics_registry_free(registry);
    free((char *)(uintptr_t)text.ptr);
}

static struct span read_file(const char *path)
{
    char *text = malloc(BENCH_TEXT_MAX);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        fail_msg("%s cannot be read", path);
    size_t len = fread(text, 1, BENCH_TEXT_MAX, file);
    fclose(file);
    return (struct span){text, len};
}

/* What is shipped works as it is, and says nothing. */
static void test_examples(void **state)
{
    static const char *const paths[] = {"conf/sluice.json", "conf/quickstart.json"};
    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char path[512];
        snprintf(path, sizeof(path), TESTS_ROOT "/%s", paths[i]);
        struct span text = read_file(path);
        struct plan_report report;
        struct plan *plan = bench_build(text, &report);
        if (plan == NULL || report.warnings != 0)
            fail_msg("%s:\n%s", paths[i], report.text);
        plan_report_fini(&report);
        plan_unref(&plan);
        free((char *)(uintptr_t)text.ptr);
    }
}

/* Typos: of every key of every table, with each letter left out, doubled, replaced, swapped. */
struct typos {
    unsigned made, right, silent;
};

static void suggest(struct typos *typos, const struct config_table *table, const char *typo,
                    const char *key)
{
    struct config_near near = config_near_to(span_of(typo));
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        if (span_eq(span_of(row->key), span_of(typo)))
            return; /* not a typo but another key */
        if (row->type != CONFIG_LATER)
            config_near_try(&near, span_of(row->key), false);
    }
    typos->made++;
    typos->right += span_eq(near.best, span_of(key));
    typos->silent += near.best.ptr == NULL;
}

static void mistype(struct typos *typos, const struct config_table *table, const char *key)
{
    size_t len = strlen(key);
    char typo[128];
    for (size_t i = 0; i < len; i++) {
        snprintf(typo, sizeof(typo), "%.*s%s", (int)i, key, key + i + 1);
        suggest(typos, table, typo, key);
        snprintf(typo, sizeof(typo), "%.*s%c%s", (int)i, key, key[i], key + i);
        suggest(typos, table, typo, key);
        snprintf(typo, sizeof(typo), "%.*sq%s", (int)i, key, key + i + 1);
        suggest(typos, table, typo, key);
        if (i + 1 < len && key[i] != key[i + 1]) {
            snprintf(typo, sizeof(typo), "%.*s%c%c%s", (int)i, key, key[i + 1], key[i],
                     key + i + 2);
            suggest(typos, table, typo, key);
        }
    }
}

static void mistype_table(struct typos *typos, const struct config_table *table)
{
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        if (row->type != CONFIG_LATER)
            mistype(typos, table, row->key);
        if (row->nested != NULL)
            mistype_table(typos, row->nested);
    }
}

static void test_typos(void **state)
{
    struct typos typos = {0};
    (void)state;
    mistype_table(&typos, &PLAN_TABLE);
    assert_true(typos.made > 1500);
    if (typos.silent != 0 || typos.right * 100 < typos.made * 99)
        fail_msg("%u typos: %u right, %u without suggestion", typos.made, typos.right,
                 typos.silent);
}

/* Every row says what a reader needs, and every default is one that the loader takes. */
static void check_table(const struct config_table *table)
{
    struct config_rows rows = config_rows_of(table);
    for (const struct config_directive *row; (row = config_rows_next(&rows)) != NULL;) {
        if (row->type == CONFIG_LATER)
            continue;
        if (row->doc == NULL || row->doc[strlen(row->doc) - 1] != '.')
            fail_msg("%s: %s has no sentence", table->title, row->key);
        bool has_default = row->fallback != NULL || row->absent != NULL ||
                           (row->flags & CONFIG_REQUIRED) != 0 || row->type == CONFIG_OBJECT;
        if (!has_default)
            fail_msg("%s: nothing says what it means to leave %s out", table->title, row->key);
        if (row->nested != NULL)
            check_table(row->nested);
    }
}

static void test_tables(void **state)
{
    (void)state;
    check_table(&PLAN_TABLE);
}

/* Large files are read in reasonable time, and too large ones refused. */
static void test_large(void **state)
{
    (void)state;
    size_t room = 4 << 20, len = 0;
    char *text = malloc(room);
    assert_non_null(text);
    len += (size_t)snprintf(text, room, "{\"listen\":[{\"address\":\"127.0.0.1:1\"}],\"routes\":[");
    for (unsigned i = 0; i < 10000; i++)
        len += (size_t)snprintf(text + len, room - len,
                                "%s{\"name\":\"r%u\",\"path\":\"/p/%u\",\"respond\":{}}",
                                i == 0 ? "" : ",", i, i);
    len += (size_t)snprintf(text + len, room - len, "]}");
    struct plan_report report;
    struct plan *plan = bench_build((struct span){text, len}, &report);
    assert_non_null(plan);
    assert_int_equal(plan->route_count, 10000);
    plan_report_fini(&report);
    plan_unref(&plan);
    free(text);

    room = (16 << 20) + 1;
    text = malloc(room);
    assert_non_null(text);
    memset(text, ' ', room);
    assert_null(bench_build((struct span){text, room}, &report));
    assert_non_null(strstr(report.text, "t.json:1:1: error: /: the file is larger than 16 MiB"));
    plan_report_fini(&report);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listeners_and_upstreams),
        cmocka_unit_test(test_identities_and_quotas),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_bare_routes),
        cmocka_unit_test(test_the_rest),
        cmocka_unit_test(test_minimal),
        cmocka_unit_test(test_redis),
        cmocka_unit_test(test_secret_files),
        cmocka_unit_test(test_derived_secret),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_typos),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
