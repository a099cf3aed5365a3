/* SPDX-License-Identifier: Apache-2.0 */
/* test_metrics.c - slots, sums, histograms and the page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/metrics.h"
#include "metrics/metrics_table.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct bench {
    struct metrics_registry *registry;
    struct metrics_block *a, *b;
    char *page;
};

static int set_up(void **state)
{
    static struct bench bench;
    bench.registry = metrics_registry_new();
    bench.a = metrics_registry_add_block(bench.registry);
    bench.b = metrics_registry_add_block(bench.registry);
    bench.page = NULL;
    *state = &bench;
    return bench.registry == NULL || bench.a == NULL || bench.b == NULL;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    free(bench->page);
    metrics_registry_free(bench->registry);
    return 0;
}

static const char *render(struct bench *bench)
{
    size_t len = 0;
    free(bench->page);
    bench->page = metrics_registry_render(bench->registry, &len);
    assert_non_null(bench->page);
    bench->page = realloc(bench->page, len + 1);
    bench->page[len] = '\0';
    assert_int_equal(strlen(bench->page), len);
    return bench->page;
}

static void assert_line(const char *page, const char *line)
{
    const char *at = strstr(page, line);
    while (at != NULL && !((at == page || at[-1] == '\n') && at[strlen(line)] == '\n'))
        at = strstr(at + 1, line);
    if (at == NULL)
        fail_msg("no line \"%s\" in\n%s", line, page);
}

static unsigned occurrences(const char *page, const char *text)
{
    unsigned count = 0;
    for (const char *at = page; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

static metrics_slot slot(struct bench *bench, const char *family, const char *value)
{
    return metrics_registry_slot(bench->registry, family, "counter", "Help.", "name",
                                 span_of(value), NULL, SPAN_NONE);
}

static void test_fixed_rows(void **state)
{
    struct bench *bench = *state;
    metrics_add(bench->a, METRICS_CONNECTIONS_ACCEPTED, 3);
    metrics_add(bench->b, METRICS_CONNECTIONS_ACCEPTED, 4);
    metrics_add(bench->a, METRICS_DECISION_REFUSE, 5);
    assert_int_equal(metrics_registry_sum(bench->registry, METRICS_CONNECTIONS_ACCEPTED), 7);
    const char *page = render(bench);
    assert_line(page, "# HELP sluice_connections_accepted_total Client connections accepted.");
    assert_line(page, "# TYPE sluice_connections_accepted_total counter");
    assert_line(page, "sluice_connections_accepted_total 7");
    assert_line(page, "sluice_decisions_total{decision=\"refuse\"} 5");
    assert_line(page, "sluice_metrics_lost_total 0");
    assert_int_equal(occurrences(page, "# TYPE sluice_decisions_total "), 1);
}

static void test_gauges_may_go_down_elsewhere(void **state)
{
    struct bench *bench = *state;
    metrics_add(bench->a, METRICS_CONNECTIONS_OPEN, 2);
    metrics_sub(bench->b, METRICS_CONNECTIONS_OPEN, 1);
    assert_line(render(bench), "sluice_connections_open 1");
    metrics_sub(bench->b, METRICS_CONNECTIONS_OPEN, 4);
    assert_line(render(bench), "sluice_connections_open -3");
    metrics_set(bench->a, METRICS_CONFIG_GENERATION, 12);
    metrics_set(bench->a, METRICS_CONFIG_GENERATION, 13);
    assert_line(render(bench), "sluice_config_generation 13");
}

static void test_slots_are_kept_and_grouped(void **state)
{
    struct bench *bench = *state;
    metrics_slot r1 = slot(bench, "routes_total", "a"), s1 = slot(bench, "servers_total", "a");
    metrics_slot r2 = slot(bench, "routes_total", "b"), s2 = slot(bench, "servers_total", "b");
    assert_true(r1 >= METRICS_FIXED && r1 != r2 && r1 != s1 && s1 != s2);
    assert_int_equal(slot(bench, "routes_total", "a"), r1);
    metrics_add(bench->b, r2, 9);
    assert_int_equal(metrics_registry_sum(bench->registry, slot(bench, "routes_total", "b")), 9);
    assert_non_null(strstr(render(bench), "# HELP sluice_routes_total Help.\n"
                                          "# TYPE sluice_routes_total counter\n"
                                          "sluice_routes_total{name=\"a\"} 0\n"
                                          "sluice_routes_total{name=\"b\"} 9\n"
                                          "# HELP sluice_servers_total Help.\n"));
}

static void test_a_slot_may_join_a_fixed_family(void **state)
{
    struct bench *bench = *state;
    metrics_registry_slot(bench->registry, "reloads_total", "counter", "Other.", "result",
                          SPAN("odd"), NULL, SPAN_NONE);
    const char *page = render(bench);
    assert_line(page, "sluice_reloads_total{result=\"odd\"} 0");
    assert_int_equal(occurrences(page, "# HELP sluice_reloads_total "), 1);
}

static void test_labels_are_escaped(void **state)
{
    struct bench *bench = *state;
    static const struct {
        struct span value;
        const char *want;
    } rows[] = {
        {{"plain", 5}, "sluice_x_total{l=\"plain\",m=\"v\"} 0"},
        {{"a\"b\\c\nd", 7}, "sluice_x_total{l=\"a\\\"b\\\\c\\nd\",m=\"v\"} 0"},
        {{"\xc3\xa9", 2}, "sluice_x_total{l=\"\xc3\xa9\",m=\"v\"} 0"},
        {{"\xff", 1}, "sluice_x_total{l=\"?\",m=\"v\"} 0"},
        {{"", 0}, "sluice_x_total{l=\"\",m=\"v\"} 0"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        metrics_registry_slot(bench->registry, "x_total", "counter", "X.", "l", rows[i].value, "m",
                              SPAN("v"));
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_line(render(bench), rows[i].want);
}

static void test_long_labels_are_cut(void **state)
{
    struct bench *bench = *state;
    char value[5000];
    memset(value, '"', sizeof(value));
    struct span text = {value, sizeof(value)};
    metrics_slot made =
        metrics_registry_slot(bench->registry, "x_total", "counter", "X.", "l", text, "m", text);
    assert_int_not_equal(made, METRICS_SLOT_LOST);
    assert_non_null(strstr(render(bench), "\\\"\"} 0\n"));
}

static void test_full_table(void **state)
{
    struct bench *bench = *state;
    char value[16];
    unsigned made = 0;
    for (unsigned i = 0; i < METRICS_SLOTS_MAX; i++) {
        snprintf(value, sizeof(value), "%u", i);
        made += slot(bench, "many_total", value) != METRICS_SLOT_LOST;
    }
    assert_int_equal(made, METRICS_SLOTS_MAX - METRICS_FIXED);
    assert_int_not_equal(slot(bench, "many_total", "0"), METRICS_SLOT_LOST);
    assert_int_equal(slot(bench, "other_total", "0"), METRICS_SLOT_LOST);
    metrics_slot histogram =
        metrics_registry_histogram(bench->registry, "h_seconds", "H.", NULL, SPAN_NONE);
    assert_int_equal(histogram, METRICS_SLOT_LOST);
    metrics_observe_us(bench->a, histogram, 5);
    metrics_add(bench->a, METRICS_SLOT_LOST, 2);
    const char *page = render(bench);
    assert_line(page, "sluice_metrics_lost_total 3");
    assert_line(page, "sluice_connections_accepted_total 0"); /* slot 1 is not a bucket */
    assert_null(strstr(page, "other_total"));
}

static void test_histogram(void **state)
{
    struct bench *bench = *state;
    metrics_slot slot = metrics_registry_histogram(bench->registry, "wait_seconds", "Waiting.",
                                                   "upstream", SPAN("images"));
    metrics_slot next = metrics_registry_slot(bench->registry, "after_total", "counter", "A.", NULL,
                                              SPAN_NONE, NULL, SPAN_NONE);
    assert_int_equal(next, slot + METRICS_HISTOGRAM_SLOTS);
    assert_int_equal(metrics_registry_histogram(bench->registry, "wait_seconds", "Waiting.",
                                                "upstream", SPAN("images")),
                     slot);
    static const uint64_t observed_us[] = {0, 100, 101, 250, 9999999, 10000000, 10000001, 90000000};
    for (size_t i = 0; i < COUNT(observed_us); i++)
        metrics_observe_us(i % 2 == 0 ? bench->a : bench->b, slot, observed_us[i]);
    const char *page = render(bench);
    assert_line(page, "# TYPE sluice_wait_seconds histogram");
    assert_line(page, "sluice_wait_seconds_bucket{upstream=\"images\",le=\"0.0001\"} 2");
    assert_line(page, "sluice_wait_seconds_bucket{upstream=\"images\",le=\"0.00025\"} 4");
    assert_line(page, "sluice_wait_seconds_bucket{upstream=\"images\",le=\"5\"} 4");
    assert_line(page, "sluice_wait_seconds_bucket{upstream=\"images\",le=\"10\"} 6");
    assert_line(page, "sluice_wait_seconds_bucket{upstream=\"images\",le=\"+Inf\"} 8");
    assert_line(page, "sluice_wait_seconds_sum{upstream=\"images\"} 120.000451");
    assert_line(page, "sluice_wait_seconds_count{upstream=\"images\"} 8");
    assert_line(page, "sluice_after_total 0");
}

static void test_histogram_without_label(void **state)
{
    struct bench *bench = *state;
    metrics_slot slot =
        metrics_registry_histogram(bench->registry, "plain_seconds", "P.", NULL, SPAN_NONE);
    metrics_observe_us(bench->a, slot, 42);
    const char *page = render(bench);
    assert_line(page, "sluice_plain_seconds_bucket{le=\"0.0001\"} 1");
    assert_line(page, "sluice_plain_seconds_sum 0.000042");
    assert_line(page, "sluice_plain_seconds_count 1");
}

static void test_every_bound(void **state)
{
    struct bench *bench = *state;
    metrics_slot slot =
        metrics_registry_histogram(bench->registry, "plain_seconds", "P.", NULL, SPAN_NONE);
    for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
        metrics_observe_us(bench->a, slot, metrics_bucket_us[i]);
        metrics_observe_us(bench->a, slot, metrics_bucket_us[i] + 1);
    }
    assert_int_equal(metrics_registry_sum(bench->registry, slot), 1);
    for (unsigned i = 1; i < METRICS_BUCKETS; i++)
        assert_int_equal(metrics_registry_sum(bench->registry, slot + i), 2);
    assert_int_equal(metrics_registry_sum(bench->registry, slot + METRICS_BUCKETS), 1);
    metrics_observe_us(bench->a, slot, UINT64_MAX);
    assert_int_equal(metrics_registry_sum(bench->registry, slot + METRICS_BUCKETS), 2);
}

static void *make_slots(void *arg)
{
    struct bench *bench = arg;
    for (unsigned i = 0; i < 200; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%u", i);
        slot(bench, "shared_total", value);
        metrics_registry_sum(bench->registry, METRICS_LOST);
    }
    return NULL;
}

static void test_threads_agree(void **state)
{
    struct bench *bench = *state;
    pthread_t threads[2];
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_slots, bench), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(occurrences(render(bench), "\nsluice_shared_total{"), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fixed_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gauges_may_go_down_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slots_are_kept_and_grouped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_slot_may_join_a_fixed_family, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_labels_are_escaped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_labels_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_histogram, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_histogram_without_label, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_bound, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads_agree, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
