/* SPDX-License-Identifier: Apache-2.0 */
/* test_upstream_health.c - outcomes in, words and changes out: ejection with its cap, checks, panic, plans that come and
 * go, several threads; and the small pure parts beside it: addresses of a name, the status of a check's answer. */
#include "upstream/upstream_health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "upstream/upstream_check.h"
#include "upstream/upstream_names.h"
#include "upstream/upstream_standing.h"

#define S       1000000u
#define SERVERS 4

struct world {
    struct upstream_health *health;
    struct metrics_registry *registry;
    struct metrics_block *metrics;
    struct upstream_server_conf servers[SERVERS];
    struct upstream_conf conf;
    struct upstream_vital *vitals[SERVERS];
    char told[2048];
    unsigned ejected, capped, stirred;
};

static const struct upstream_check_conf CHECK = {.path = {"/", 1}, .rise = 2, .fall = 2};

static bool on_stir(void *arg)
{
    struct world *w = arg;
    w->stirred++;
    return true;
}

static int setup(void **state)
{
    static struct world w;
    static const char *const names[SERVERS] = {"a:1", "b:1", "c:1", "d:1"};
    memset(&w, 0, sizeof(w));
    w.health = upstream_health_new(NULL);
    upstream_health_on_stir(w.health, on_stir, &w);
    w.registry = metrics_registry_new();
    w.metrics = metrics_registry_add_block(w.registry);
    for (unsigned i = 0; i < SERVERS; i++)
        w.servers[i].address_text = span_of(names[i]);
    w.conf = (struct upstream_conf){
        .name = SPAN("app"),
        .servers = w.servers,
        .server_count = SERVERS,
        .check = CHECK,
        .health = {.failures = 3,
                   .eject_base_us = 10 * S,
                   .eject_max_us = 60 * S,
                   .eject_percent = 50,
                   .panic_percent = 50},
    };
    (void)statuses_add(&w.conf.health.eject_on, SPAN("503"));
    for (unsigned i = 0; i < SERVERS; i++)
        w.vitals[i] = upstream_vital_ref(w.health, &w.conf, &w.servers[i]);
    assert_int_equal(upstream_health_serve(w.health, &w.conf, 1), ERR_OK);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < SERVERS; i++)
        upstream_vital_unref(w->vitals[i]);
    assert_int_equal(upstream_health_serve(w->health, NULL, 0), ERR_OK);
    upstream_health_free(w->health);
    metrics_registry_free(w->registry);
    return 0;
}

static void on_change(void *arg, const struct upstream_change *change)
{
    static const char kinds[] = "-+!~0^";
    struct world *w = arg;
    size_t len = strlen(w->told);
    snprintf(w->told + len, sizeof(w->told) - len, "%c%.*s(%s) ", kinds[change->kind],
             (int)change->server.len, change->server.ptr == NULL ? "" : change->server.ptr,
             change->reason);
}

static const char *tick(struct world *w, uint64_t now_us)
{
    w->told[0] = '\0';
    upstream_health_tick(w->health, now_us, w->metrics, on_change, w);
    return w->told;
}

/* Who is left alone, as letters. */
static const char *out(const struct world *w)
{
    static char text[SERVERS + 1];
    unsigned len = 0;
    for (unsigned i = 0; i < SERVERS; i++) {
        if ((upstream_vital_state(w->vitals[i]) & UPSTREAM_VITAL_OUT) != 0)
            text[len++] = w->servers[i].address_text.ptr[0];
    }
    text[len] = '\0';
    return text;
}

static void note(struct world *w, enum upstream_outcome outcome)
{
    w->ejected += outcome == UPSTREAM_OUTCOME_EJECTED;
    w->capped += outcome == UPSTREAM_OUTCOME_CAPPED;
}

static void lose(struct world *w, unsigned server, unsigned times, uint64_t now_us)
{
    while (times-- > 0)
        note(w, upstream_vital_failed(w->vitals[server], &w->conf.health, UPSTREAM_FAILURE_RESET,
                                      now_us));
}

static void test_failures_in_a_row(void **state)
{
    struct world *w = *state;
    lose(w, 0, 2, S);
    upstream_vital_answered(w->vitals[0], &w->conf.health, 200, S);
    lose(w, 0, 2, S);
    assert_string_equal(out(w), "");
    note(w, upstream_vital_answered(w->vitals[0], &w->conf.health, 503, S));
    assert_string_equal(out(w), "a");
    assert_string_equal(tick(w, S), "-a:1(3 failures in a row: it answers with errors) ");
    assert_string_equal(tick(w, 11 * S - 1), "");
    assert_string_equal(tick(w, 11 * S), "+a:1(its time of ejection is over) ");
    assert_string_equal(out(w), "");
    lose(w, 0, 1, 12 * S); /* it has not answered since */
    assert_string_equal(out(w), "a");
    assert_string_equal(tick(w, 31 * S),
                        "-a:1(3 failures in a row: connections end without an answer) ");
    (void)tick(w, 32 * S);
    upstream_vital_answered(w->vitals[0], &w->conf.health, 404, 32 * S);
    lose(w, 0, 2, 33 * S);
    assert_string_equal(out(w), "");
    assert_int_equal(w->ejected, 2);
}

static void test_the_main_thread_is_called_once_and_told_when_to_look(void **state)
{
    struct world *w = *state;
    (void)tick(w, S);
    w->stirred = 0;
    lose(w, 0, 2, S);
    assert_int_equal(w->stirred, 0);
    lose(w, 0, 1, S);
    lose(w, 1, 3, 2 * S);
    assert_int_equal(w->stirred, 1);
    assert_int_equal(upstream_health_tick(w->health, 3 * S, w->metrics, on_change, w), 11 * S);
    assert_int_equal(upstream_health_tick(w->health, 11 * S, w->metrics, on_change, w), 12 * S);
    assert_int_equal(upstream_health_tick(w->health, 12 * S, w->metrics, on_change, w), 0);
    assert_int_equal(w->stirred, 1);
    lose(w, 2, 3, 13 * S);
    assert_int_equal(w->stirred, 2);
}

static void test_at_most_half(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < SERVERS; i++)
        lose(w, i, 3, S);
    assert_string_equal(out(w), "ab");
    (void)tick(w, S);
    assert_int_equal(w->ejected, 2);
    assert_int_equal(w->capped, 2);
    (void)tick(w, 12 * S);
    lose(w, 3, 3, 13 * S);
    assert_string_equal(out(w), "d");
}

static void check(struct world *w, unsigned server, bool is_good, unsigned times)
{
    while (times-- > 0)
        upstream_vital_checked(w->vitals[server], &CHECK, is_good, "no answer in time", 0, S);
}

static bool is_panic(const struct world *w)
{
    struct upstream_group_standing standing;
    assert_true(upstream_standing_of_group(w->health, SPAN("app"), &standing));
    return standing.is_panic;
}

static void test_checks_and_panic(void **state)
{
    struct world *w = *state;
    check(w, 0, false, 1);
    assert_string_equal(out(w), "a");
    assert_string_equal(tick(w, S), "-a:1(check: no answer in time) ");
    assert_false(is_panic(w));
    check(w, 1, false, 1);
    assert_string_equal(out(w), "ab");
    assert_false(is_panic(w));
    lose(w, 2, 3, S);
    assert_string_equal(out(w), ""); /* one of four is left: all are used */
    assert_true(is_panic(w));
    assert_non_null(strstr(tick(w, S), "!(1 of 4 servers are usable)"));
    assert_int_equal(metrics_registry_sum(w->registry, METRICS_UPSTREAM_PANICS), 1);
    check(w, 0, true, 2);
    assert_string_equal(out(w), "bc");
    assert_string_equal(tick(w, S), "+a:1(checks are good) ~(2 of 4 servers are usable) ");
}

static void test_good_checks_end_an_ejection(void **state)
{
    struct world *w = *state;
    lose(w, 0, 3, S);
    check(w, 0, true, 5); /* it was never bad: what requests say counts */
    assert_string_equal(out(w), "a");
    check(w, 0, false, 2);
    check(w, 0, true, 2);
    assert_string_equal(out(w), "");
}

static void test_plans_come_and_go(void **state)
{
    struct world *w = *state;
    check(w, 0, false, 1);
    (void)tick(w, S);
    struct upstream_conf without = w->conf;
    without.check.path = SPAN_NONE;
    assert_int_equal(upstream_health_serve(w->health, &without, 1), ERR_OK);
    assert_string_equal(out(w), "");
    assert_string_equal(tick(w, S), "+a:1(checks are good) ");
    lose(w, 1, 3, S);
    assert_string_equal(out(w), "b");
    /* Two of the four are left: it is one of two now, and one that is not named does not count. */
    struct upstream_conf two = without;
    two.server_count = 2;
    assert_int_equal(upstream_health_serve(w->health, &two, 1), ERR_OK);
    assert_string_equal(out(w), "b");
    lose(w, 0, 9, S);
    lose(w, 3, 9, S);
    assert_string_equal(out(w), "b");
    assert_int_equal(upstream_health_serve(w->health, NULL, 0), ERR_OK);
    assert_string_equal(out(w), "");
}

static void *hammer(void *arg)
{
    struct world *w = arg;
    static const struct upstream_retry_conf retries = {20, 3};
    for (unsigned i = 0; i < 20000; i++) {
        struct upstream_vital *vital =
            upstream_vital_ref(w->health, &w->conf, &w->servers[i % SERVERS]);
        upstream_vital_failed(vital, &w->conf.health, UPSTREAM_FAILURE_CONNECT, i);
        upstream_vital_answered(vital, &w->conf.health, i % 7 == 0 ? 503 : 200, i);
        if (upstream_vital_may_retry(vital, &retries, 5, i, i))
            upstream_vital_retried(vital, i % 2 == 0);
        upstream_vital_unref(vital);
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    struct world *w = *state;
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, w), 0);
    for (unsigned i = 0; i < 200; i++) {
        (void)tick(w, i);
        assert_int_equal(upstream_health_serve(w->health, &w->conf, i % 2), ERR_OK);
    }
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

static void test_status_of_an_answer(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"", 0},
        {"HTT", 0},
        {"HTTP/1.1 20", 0},
        {"HTTP/1.1 200", 0},
        {"HTTP/1.1 200 ", 200},
        {"HTTP/1.0 404 Not", 404},
        {"HTTP/1.1 204\r\n", 204},
        {"HTTP/1.1 099 x", -1},
        {"x", -1},
        {"HTTX", -1},
        {"HTTP/2.0 200 OK", -1},
        {"HTTP/1.2 200 OK", -1},
        {"HTTP/1.1  200 OK", -1},
        {"HTTP/1.1 2000 OK", -1},
        {"HTTP/1.1 +20 OK", -1},
        {"http/1.1 200 OK", -1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(upstream_check_status(span_of(rows[i].text)), rows[i].status);
}

static struct net_address address(const char *text)
{
    struct net_address address = {0};
    assert_null(net_address_parse(&address, span_of(text), NULL));
    return address;
}

static void test_addresses_of_a_name(void **state)
{
    (void)state;
    const struct net_address one = address("127.0.0.1:1"), two = address("127.0.0.2:1"),
                             three = address("127.0.0.3:1");
    static struct upstream_names names;
    memset(&names, 0, sizeof(names));
    assert_int_equal(upstream_names_next(&names, S), -1);
    assert_true(upstream_names_set(&names, &one, 1));
    const uint32_t first = names.ids[0];
    assert_int_equal(upstream_names_next(&names, S), 0);
    assert_true(upstream_names_failed(&names, first, S, 2 * S)); /* the only one */
    assert_int_equal(upstream_names_next(&names, S), 0);
    assert_true(upstream_names_set(&names, (struct net_address[]){two, one, two}, 3));
    assert_int_equal(names.count, 2);
    assert_true(upstream_names_has(&names, first));
    assert_false(
        upstream_names_set(&names, (struct net_address[]){one, two}, 2)); /* only rotated */
    assert_int_equal(names.ids[0], first);
    for (unsigned i = 0; i < 4; i++) /* what has just failed is passed over */
        assert_int_equal(upstream_names_next(&names, S), 1);
    assert_true(upstream_names_failed(&names, names.ids[1], S, 2 * S));
    assert_false(upstream_names_failed(&names, names.ids[1], 3 * S, 4 * S));
    assert_true(upstream_names_set(&names, &three, 1));
    assert_false(upstream_names_has(&names, first));
    /* One that comes back is another one: connections from before have had their end. */
    assert_true(upstream_names_set(&names, &one, 1));
    assert_int_not_equal(names.ids[0], first);
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_failures_in_a_row),
        WITH_WORLD(test_the_main_thread_is_called_once_and_told_when_to_look),
        WITH_WORLD(test_at_most_half),
        WITH_WORLD(test_checks_and_panic),
        WITH_WORLD(test_good_checks_end_an_ejection),
        WITH_WORLD(test_plans_come_and_go),
        WITH_WORLD(test_many_threads),
        cmocka_unit_test(test_status_of_an_answer),
        cmocka_unit_test(test_addresses_of_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
