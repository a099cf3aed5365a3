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

/* Families of the program's own words; one whose names are folded; one whose names are dropped. */
#define OWN(name, type, label1, label2)                                                            \
    {                                                                                              \
        name, type, METRICS_FOLD_OWN, METRICS_SLOTS_MAX, label1, 1, label2, "Help."                \
    }
static const struct metrics_family_row
    ROUTES = OWN("routes_total", "counter", "name", NULL),
    SERVERS = OWN("servers_total", "counter", "name", NULL),
    MANY = OWN("many_total", "counter", "name", NULL),
    NONE = OWN("other_total", "counter", "name", NULL), X = OWN("x_total", "counter", "l", "m"),
    AFTER = OWN("after_total", "counter", NULL, NULL),
    WAIT = OWN("wait_seconds", "histogram", "upstream", NULL),
    PLAIN = OWN("plain_seconds", "histogram", NULL, NULL),
    FOLDED = {"folded_total", "counter", METRICS_FOLD_SUM, 2, "route", 2, "class", "F."},
    PAIRS = {"pairs", "gauge", METRICS_FOLD_SUM, 2, "upstream", 1, "server", "P."},
    LONG = {"long_seconds", "histogram", METRICS_FOLD_SUM, 1, "route", 1, NULL, "L."},
    DROPPED = {"dropped", "gauge", METRICS_FOLD_DROP, 1, "server", 1, NULL, "D."};

static metrics_slot slot(struct bench *bench, const struct metrics_family_row *row,
                         const char *value)
{
    return metrics_registry_slot_of(bench->registry, row, span_of(value), SPAN_NONE);
}

static metrics_slot slot2(struct bench *bench, const struct metrics_family_row *row,
                          const char *value1, const char *value2)
{
    return metrics_registry_slot_of(bench->registry, row, span_of(value1), span_of(value2));
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
    metrics_slot r1 = slot(bench, &ROUTES, "a"), s1 = slot(bench, &SERVERS, "a");
    metrics_slot r2 = slot(bench, &ROUTES, "b"), s2 = slot(bench, &SERVERS, "b");
    assert_true(r1 >= METRICS_FIXED && r1 != r2 && r1 != s1 && s1 != s2);
    assert_int_equal(slot(bench, &ROUTES, "a"), r1);
    metrics_add(bench->b, r2, 9);
    assert_int_equal(metrics_registry_sum(bench->registry, slot(bench, &ROUTES, "b")), 9);
    assert_non_null(strstr(render(bench), "# HELP sluice_routes_total Help.\n"
                                          "# TYPE sluice_routes_total counter\n"
                                          "sluice_routes_total{name=\"a\"} 0\n"
                                          "sluice_routes_total{name=\"b\"} 9\n"
                                          "# HELP sluice_servers_total Help.\n"));
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
        metrics_registry_slot_of(bench->registry, &X, rows[i].value, SPAN("v"));
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_line(render(bench), rows[i].want);
}

static void test_long_labels_are_cut(void **state)
{
    struct bench *bench = *state;
    char value[5000];
    memset(value, '"', sizeof(value));
    struct span text = {value, sizeof(value)};
    metrics_slot made = metrics_registry_slot_of(bench->registry, &X, text, text);
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
        made += slot(bench, &MANY, value) != METRICS_SLOT_LOST;
    }
    assert_int_equal(made, METRICS_SLOTS_MAX - METRICS_FIXED - 1);
    assert_int_not_equal(slot(bench, &MANY, "0"), METRICS_SLOT_LOST);
    assert_int_equal(slot(bench, &NONE, "0"), METRICS_SLOT_LOST);
    metrics_slot histogram = slot(bench, &PLAIN, "");
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
    metrics_slot made = slot(bench, &WAIT, "images"), next = slot(bench, &AFTER, "");
    assert_int_equal(next, made + METRICS_HISTOGRAM_SLOTS);
    assert_int_equal(slot(bench, &WAIT, "images"), made);
    static const uint64_t observed_us[] = {0, 100, 101, 250, 9999999, 10000000, 10000001, 90000000};
    for (size_t i = 0; i < COUNT(observed_us); i++)
        metrics_observe_us(i % 2 == 0 ? bench->a : bench->b, made, observed_us[i]);
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
    metrics_observe_us(bench->a, slot(bench, &PLAIN, ""), 42);
    const char *page = render(bench);
    assert_line(page, "sluice_plain_seconds_bucket{le=\"0.0001\"} 1");
    assert_line(page, "sluice_plain_seconds_sum 0.000042");
    assert_line(page, "sluice_plain_seconds_count 1");
}

static void test_every_bound(void **state)
{
    struct bench *bench = *state;
    metrics_slot made = slot(bench, &PLAIN, "");
    for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
        metrics_observe_us(bench->a, made, metrics_bucket_us[i]);
        metrics_observe_us(bench->a, made, metrics_bucket_us[i] + 1);
    }
    assert_int_equal(metrics_registry_sum(bench->registry, made), 1);
    for (unsigned i = 1; i < METRICS_BUCKETS; i++)
        assert_int_equal(metrics_registry_sum(bench->registry, made + i), 2);
    assert_int_equal(metrics_registry_sum(bench->registry, made + METRICS_BUCKETS), 1);
    metrics_observe_us(bench->a, made, UINT64_MAX);
    assert_int_equal(metrics_registry_sum(bench->registry, made + METRICS_BUCKETS), 2);
}

static void test_a_fixed_histogram_and_units(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(METRICS_LOOP_LAG_END, METRICS_LOOP_LAG + METRICS_HISTOGRAM_SLOTS - 1);
    metrics_observe_us(bench->a, METRICS_LOOP_LAG, 250);
    metrics_observe_us(bench->b, METRICS_LOOP_LAG, 20000000);
    metrics_set(bench->a, METRICS_START_TIME, UINT64_C(1795338480000001));
    metrics_set(bench->a, METRICS_CPU, 1500000);
    const char *page = render(bench);
    assert_line(page, "# TYPE sluice_loop_lag_seconds histogram");
    assert_line(page, "sluice_loop_lag_seconds_bucket{le=\"0.00025\"} 1");
    assert_line(page, "sluice_loop_lag_seconds_bucket{le=\"+Inf\"} 2");
    assert_line(page, "sluice_loop_lag_seconds_sum 20.000250");
    assert_line(page, "# TYPE sluice_process_start_time_seconds gauge");
    assert_line(page, "sluice_process_start_time_seconds 1795338480.000001");
    assert_line(page, "# TYPE sluice_process_cpu_seconds_total counter");
    assert_line(page, "sluice_process_cpu_seconds_total 1.500000");
    metrics_set(bench->a, METRICS_STORE_CLOCK, UINT64_C(0) - 1);
    assert_line(render(bench), "sluice_store_clock_ahead_seconds -0.000001");
    metrics_set(bench->a, METRICS_STORE_CLOCK, UINT64_C(0) - 90000000);
    assert_line(render(bench), "sluice_store_clock_ahead_seconds -90.000000");
}

static void test_names_beyond_are_folded(void **state)
{
    struct bench *bench = *state;
    metrics_registry_begin(bench->registry);
    metrics_slot a = slot2(bench, &FOLDED, "a", "2xx"), b = slot2(bench, &FOLDED, "b", "2xx");
    metrics_slot c = slot2(bench, &FOLDED, "c", "2xx"), d = slot2(bench, &FOLDED, "d", "2xx");
    assert_true(a != b && c == d && c != a && c != b);
    assert_int_equal(slot2(bench, &FOLDED, "a", "5xx"), slot2(bench, &FOLDED, "a", "5xx"));
    assert_int_not_equal(slot2(bench, &FOLDED, "d", "5xx"), d);
    assert_false(metrics_registry_is_folded(bench->registry, a));
    assert_true(metrics_registry_is_folded(bench->registry, c));
    assert_int_equal(metrics_registry_settle(bench->registry), 3);
    metrics_add(bench->a, c, 1);
    metrics_add(bench->b, d, 2);
    assert_non_null(strstr(render(bench),
                           "# TYPE sluice_folded_total counter\n"
                           "sluice_folded_total{route=\"a\",class=\"2xx\"} 0\n"
                           "sluice_folded_total{route=\"b\",class=\"2xx\"} 0\n"
                           "sluice_folded_total{route=\"_other\",class=\"2xx\"} 3\n"
                           "sluice_folded_total{route=\"a\",class=\"5xx\"} 0\n"
                           "sluice_folded_total{route=\"_other\",class=\"5xx\"} 0\n"));
}

static void test_pairs_histograms_and_what_does_not_add_up(void **state)
{
    struct bench *bench = *state;
    metrics_registry_begin(bench->registry);
    assert_int_not_equal(slot2(bench, &PAIRS, "u", "1"), slot2(bench, &PAIRS, "u", "2"));
    metrics_slot other = slot2(bench, &PAIRS, "u", "3");
    assert_int_equal(slot2(bench, &PAIRS, "v", "1"), other);
    metrics_slot first = slot(bench, &LONG, "a"), second = slot(bench, &LONG, "b");
    assert_int_not_equal(first, second);
    assert_int_equal(slot(bench, &LONG, "c"), second);
    assert_int_not_equal(slot(bench, &DROPPED, "a"), METRICS_SLOT_NONE);
    assert_int_equal(slot(bench, &DROPPED, "b"), METRICS_SLOT_NONE);
    assert_true(metrics_registry_is_folded(bench->registry, METRICS_SLOT_NONE));
    metrics_set(bench->a, METRICS_SLOT_NONE, 77);
    assert_int_equal(metrics_registry_settle(bench->registry), 2 + 2 + 1);
    const char *page = render(bench);
    assert_line(page, "sluice_pairs{upstream=\"_other\",server=\"_other\"} 0");
    assert_line(page, "sluice_long_seconds_count{route=\"_other\"} 0");
    assert_line(page, "sluice_dropped{server=\"a\"} 0");
    assert_int_equal(occurrences(page, "\nsluice_dropped{"), 1);
    assert_null(strstr(page, " 77\n"));
    assert_line(page, "sluice_metrics_lost_total 0");
}

static void test_names_that_are_gone_are_not_shown(void **state)
{
    struct bench *bench = *state;
    metrics_registry_begin(bench->registry);
    metrics_slot a = slot2(bench, &FOLDED, "a", "2xx");
    assert_null(strstr(render(bench), "sluice_folded_total")); /* not in force yet */
    metrics_registry_settle(bench->registry);
    metrics_add(bench->a, a, 5);
    assert_line(render(bench), "sluice_folded_total{route=\"a\",class=\"2xx\"} 5");

    metrics_registry_begin(bench->registry); /* refused: nothing changes */
    slot2(bench, &FOLDED, "b", "2xx");
    assert_line(render(bench), "sluice_folded_total{route=\"a\",class=\"2xx\"} 5");
    assert_int_equal(occurrences(bench->page, "\nsluice_folded_total{"), 1);

    metrics_registry_begin(bench->registry);
    slot2(bench, &FOLDED, "c", "2xx"); /* a and b keep their places */
    assert_int_equal(metrics_registry_settle(bench->registry), 1);
    assert_line(render(bench), "sluice_folded_total{route=\"_other\",class=\"2xx\"} 0");
    assert_int_equal(occurrences(bench->page, "\nsluice_folded_total{"), 1);

    metrics_registry_begin(bench->registry);
    assert_int_equal(slot2(bench, &FOLDED, "a", "2xx"), a);
    assert_int_equal(metrics_registry_settle(bench->registry), 0);
    assert_line(render(bench), "sluice_folded_total{route=\"a\",class=\"2xx\"} 5");
    assert_int_equal(occurrences(bench->page, "\nsluice_folded_total{"), 1);
}

/* Every family filled with more names than it has room for, and each of all its values of label2. */
static void test_the_page_is_never_larger(void **state)
{
    struct bench *bench = *state;
    char name[16], value[16];
    metrics_registry_begin(bench->registry);
    for (unsigned family = 0; family < METRICS_FAMILIES; family++) {
        const struct metrics_family_row *row = &metrics_family_rows[family];
        unsigned count = row->fold == METRICS_FOLD_OWN ? row->names : 10000;
        for (unsigned i = 0; i < count; i++) {
            snprintf(name, sizeof(name), "n%u", i);
            for (unsigned k = 0; k < row->values; k++) {
                snprintf(value, sizeof(value), "v%u", k);
                slot2(bench, row, name, value);
            }
        }
    }
    assert_true(metrics_registry_settle(bench->registry) > 100000);
    const char *page = render(bench);
    unsigned lines =
        occurrences(page, "\n") - occurrences(page, "# HELP ") - occurrences(page, "# TYPE ");
    assert_in_range(lines, METRICS_SERIES_MAX / 2, METRICS_SERIES_MAX);
    assert_line(page, "sluice_metrics_lost_total 0");
    assert_int_equal(slot2(bench, &metrics_family_rows[METRICS_FAMILY_EXCHANGES], "one more", ""),
                     METRICS_SLOT_LOST);
}

static void assert_named(const char *name, const char *type, const char *help)
{
    size_t len = strlen(name);
    bool is_total = len > 6 && strcmp(name + len - 6, "_total") == 0;
    bool is_counter = strncmp(type, "counter", 7) == 0;
    assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), len);
    if (is_total != is_counter)
        fail_msg("%s is a %s", name, type);
    if (strcmp(type, "histogram") == 0 && strcmp(name + len - 8, "_seconds") != 0)
        fail_msg("%s has no unit", name);
    if (help[strlen(help) - 1] != '.' || strpbrk(help, "\\\n") != NULL)
        fail_msg("%s: the help is no sentence", name);
}

static void test_every_row_is_named_well(void **state)
{
    (void)state;
    for (unsigned i = 0; i < METRICS_FIXED; i++) {
        const struct metrics_row *row = &metrics_rows[i];
        if (row->name != NULL)
            assert_named(row->name, row->type, row->help);
        for (unsigned k = i + 1; row->name != NULL && k < METRICS_FIXED; k++) {
            const struct metrics_row *other = &metrics_rows[k];
            if (other->name == NULL || strcmp(row->name, other->name) != 0)
                continue;
            assert_string_equal(row->type, other->type);
            assert_string_equal(row->help, other->help);
            assert_string_equal(row->label, other->label);
            assert_string_not_equal(row->value, other->value);
        }
    }
    for (unsigned i = 0; i < METRICS_FAMILIES; i++) {
        const struct metrics_family_row *row = &metrics_family_rows[i];
        assert_named(row->name, row->type, row->help);
        assert_true(row->names > 0 && row->values > 0);
        assert_true(row->label2 == NULL ? row->values == 1 : row->label1 != NULL);
    }
}

static void *make_slots(void *arg)
{
    struct bench *bench = arg;
    for (unsigned i = 0; i < 200; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%u", i);
        slot(bench, &MANY, value);
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
    assert_int_equal(occurrences(render(bench), "\nsluice_many_total{"), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fixed_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gauges_may_go_down_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slots_are_kept_and_grouped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_labels_are_escaped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_labels_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_histogram, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_histogram_without_label, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_bound, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_fixed_histogram_and_units, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names_beyond_are_folded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pairs_histograms_and_what_does_not_add_up, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_names_that_are_gone_are_not_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_page_is_never_larger, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_row_is_named_well, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads_agree, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
