/* SPDX-License-Identifier: Apache-2.0 */
/* test_upstream_standing.c - what checks, failures, panic and orders make of a server together: what workers see, what
 * operators are told, and when the last server stays. */
#include "upstream/upstream_standing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define S       1000000u
#define SERVERS 4
#define OUT     UPSTREAM_VITAL_OUT
#define ILL     UPSTREAM_VITAL_ILL
#define AWAY    UPSTREAM_VITAL_AWAY
#define DOWN    UPSTREAM_VITAL_DOWN

static const struct upstream_check_conf CHECK = {.path = {"/", 1}, .rise = 1, .fall = 1};
static const char *const NAMES[SERVERS] = {"a:1", "b:1", "c:1", "d:1"};

struct world {
    struct upstream_orders *orders;
    struct upstream_health *health;
    struct metrics_registry *registry;
    struct metrics_block *metrics;
    struct upstream_server_conf servers[SERVERS];
    struct upstream_conf conf;
    struct upstream_vital *vitals[SERVERS];
    char told[2048];
};

/* As after a start of the serving process. */
static void begin(struct world *w)
{
    w->health = upstream_health_new(w->orders);
    assert_int_equal(upstream_health_serve(w->health, &w->conf, 1), ERR_OK);
    for (unsigned i = 0; i < SERVERS; i++)
        w->vitals[i] = upstream_vital_ref(w->health, &w->conf, &w->servers[i]);
}

static void end(struct world *w)
{
    for (unsigned i = 0; i < SERVERS; i++)
        upstream_vital_unref(w->vitals[i]);
    upstream_health_free(w->health);
}

static int setup(void **state)
{
    static struct world w;
    memset(&w, 0, sizeof(w));
    w.registry = metrics_registry_new();
    w.metrics = metrics_registry_add_block(w.registry);
    for (unsigned i = 0; i < SERVERS; i++)
        w.servers[i] =
            (struct upstream_server_conf){.address_text = span_of(NAMES[i]), .weight = 1};
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
    w.orders = upstream_orders_new();
    begin(&w);
    *state = &w;
    return w.orders == NULL;
}

static int teardown(void **state)
{
    struct world *w = *state;
    end(w);
    upstream_orders_free(w->orders);
    metrics_registry_free(w->registry);
    return 0;
}

static void check(struct world *w, unsigned server, bool is_good)
{
    upstream_vital_checked(w->vitals[server], &CHECK, is_good, is_good ? NULL : "no answer in time",
                           0, S);
}

static void lose(struct world *w, unsigned server, unsigned times)
{
    while (times-- > 0)
        (void)upstream_vital_failed(w->vitals[server], &w->conf.health, UPSTREAM_FAILURE_CONNECT,
                                    S);
}

static enum upstream_order_result order_as(struct world *w, unsigned server,
                                           enum upstream_order order, bool is_forced)
{
    return upstream_health_order(w->health, SPAN("app"), span_of(NAMES[server]),
                                 (struct upstream_ordered){order, 77}, is_forced);
}

static enum upstream_order_result order(struct world *w, unsigned server, enum upstream_order order)
{
    return order_as(w, server, order, false);
}

static struct upstream_standing standing(const struct world *w, unsigned server)
{
    struct upstream_standing standing;
    assert_true(upstream_standing_of(w->health, SPAN("app"), span_of(NAMES[server]), &standing));
    return standing;
}

static struct upstream_group_standing group(const struct world *w)
{
    struct upstream_group_standing standing;
    assert_true(upstream_standing_of_group(w->health, SPAN("app"), &standing));
    return standing;
}

static void on_change(void *arg, const struct upstream_change *change)
{
    static const char kinds[] = "-+!~0^";
    struct world *w = arg;
    size_t len = strlen(w->told);
    snprintf(w->told + len, sizeof(w->told) - len, "%c%.*s ", kinds[change->kind],
             (int)change->server.len, change->server.ptr == NULL ? "" : change->server.ptr);
}

static const char *tick(struct world *w)
{
    w->told[0] = '\0';
    upstream_health_tick(w->health, 2 * S, w->metrics, on_change, w);
    return w->told;
}

/* ---- what becomes of a server ---- */

struct row {
    enum upstream_order order;
    bool is_ejected, is_checked_bad, others_are_bad; /* two of the other three */
    const char *word;
    unsigned state;
    bool is_used;
    unsigned usable;
    bool is_panic;
};

#define NONE  UPSTREAM_ORDER_NONE
#define DRAIN UPSTREAM_ORDER_DRAIN
#define GONE  UPSTREAM_ORDER_DOWN

static const struct row ROWS[] = {
    {NONE, false, false, false, "up", 0, true, 4, false},
    {NONE, true, false, false, "ejected", OUT | ILL, false, 3, false},
    {NONE, false, true, false, "unhealthy", OUT | ILL, false, 3, false},
    {NONE, true, true, false, "unhealthy", OUT | ILL, false, 3, false},
    {NONE, false, false, true, "up", 0, true, 2, false},
    {NONE, true, false, true, "ejected", ILL, true, 1, true},
    {NONE, false, true, true, "unhealthy", ILL, true, 1, true},
    {NONE, true, true, true, "unhealthy", ILL, true, 1, true},
    {DRAIN, false, false, false, "draining", OUT | ILL | AWAY, false, 3, false},
    {DRAIN, true, false, false, "draining", OUT | ILL | AWAY, false, 3, false},
    {DRAIN, false, true, false, "draining", OUT | ILL | AWAY, false, 3, false},
    {DRAIN, true, true, true, "draining", OUT | ILL | AWAY, false, 1, true},
    {DRAIN, false, false, true, "draining", OUT | ILL | AWAY, false, 1, true},
    {GONE, false, false, false, "down", OUT | ILL | AWAY | DOWN, false, 3, false},
    {GONE, true, false, false, "down", OUT | ILL | AWAY | DOWN, false, 3, false},
    {GONE, false, true, false, "down", OUT | ILL | AWAY | DOWN, false, 3, false},
    {GONE, true, true, true, "down", OUT | ILL | AWAY | DOWN, false, 1, true},
    {GONE, false, false, true, "down", OUT | ILL | AWAY | DOWN, false, 1, true},
};

static void expect(const struct world *w, const struct row *row)
{
    const struct upstream_standing a = standing(w, 0);
    assert_string_equal(UPSTREAM_STATE_WORDS[a.state], row->word);
    assert_int_equal(upstream_vital_state(w->vitals[0]), row->state);
    assert_int_equal(a.is_used, row->is_used);
    assert_int_equal(a.ordered_at_us, row->order == NONE ? 0 : 77);
    assert_int_equal(a.reason[0] == '\0', a.state == UPSTREAM_STATE_UP);
    const struct upstream_group_standing all = group(w);
    assert_int_equal(all.usable, row->usable);
    assert_int_equal(all.servers, SERVERS);
    assert_int_equal(all.is_panic, row->is_panic);
    assert_false(all.is_empty);
}

/* The row of the same troubles without an order. */
static const struct row *row_without_order(const struct row *row)
{
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        if (ROWS[i].order == NONE && ROWS[i].is_ejected == row->is_ejected &&
            ROWS[i].is_checked_bad == row->is_checked_bad &&
            ROWS[i].others_are_bad == row->others_are_bad)
            return &ROWS[i];
    }
    fail();
    return NULL;
}

static void test_troubles_and_orders_together(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        const struct row *row = &ROWS[i];
        lose(w, 0, row->is_ejected ? 3 : 0);
        check(w, 0, !row->is_checked_bad);
        check(w, 1, !row->others_are_bad);
        check(w, 2, !row->others_are_bad);
        assert_int_equal(order(w, 0, row->order), UPSTREAM_ORDERED);
        expect(w, row);
        /* Ready again: as if there had been no order. */
        assert_int_equal(order(w, 0, NONE), UPSTREAM_ORDERED);
        expect(w, row_without_order(row));
        end(w);
        begin(w);
    }
}

static void test_what_is_told_of_a_server(void **state)
{
    struct world *w = *state;
    struct upstream_standing a = standing(w, 0);
    assert_int_equal(a.check.at_us, 0);
    assert_null(a.failure);
    lose(w, 0, 2);
    a = standing(w, 0);
    assert_string_equal(a.failure, "it cannot be connected to");
    assert_int_equal(a.failed_at_us, S);
    assert_int_equal(a.failed_run, 2);
    lose(w, 0, 1);
    a = standing(w, 0);
    assert_string_equal(a.reason, "3 failures in a row: it cannot be connected to");
    assert_int_equal(a.until_us, 11 * S);
    upstream_vital_checked(w->vitals[0], &CHECK, false, NULL, 503, 5 * S);
    a = standing(w, 0);
    assert_string_equal(a.reason, "check: status 503");
    assert_false(a.check.is_good);
    assert_int_equal(a.check.status, 503);
    assert_int_equal(a.check.at_us, 5 * S);
    upstream_vital_checked(w->vitals[0], &CHECK, true, NULL, 204, 6 * S);
    a = standing(w, 0);
    assert_true(a.check.is_good);
    assert_int_equal(a.check.status, 204);
    static const char *const unknown[][2] = {{"app", "e:1"}, {"ap", "a:1"}, {"", ""}, {"app", ""}};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_false(
            upstream_standing_of(w->health, span_of(unknown[i][0]), span_of(unknown[i][1]), &a));
}

/* ---- the last one ---- */

static void test_the_last_server_stays(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(order(w, i, DRAIN), UPSTREAM_ORDERED);
    assert_int_equal(order(w, 3, DRAIN), UPSTREAM_ORDER_LAST);
    assert_int_equal(order(w, 3, GONE), UPSTREAM_ORDER_LAST);
    assert_int_equal(upstream_vital_state(w->vitals[3]), 0);
    assert_string_equal(tick(w), "");
    assert_int_equal(order_as(w, 3, DRAIN, true), UPSTREAM_ORDERED);
    assert_true(group(w).is_empty);
    assert_false(group(w).is_panic);
    assert_string_equal(tick(w), "0 ");
    assert_int_equal(order(w, 3, GONE), UPSTREAM_ORDERED); /* nothing is lost by it any more */
    assert_string_equal(tick(w), "");
    assert_int_equal(order(w, 1, NONE), UPSTREAM_ORDERED);
    assert_string_equal(tick(w), "^ ");
    assert_int_equal(order(w, 1, DRAIN), UPSTREAM_ORDER_LAST);
}

static void test_the_last_one_that_is_well_stays(void **state)
{
    struct world *w = *state;
    for (unsigned i = 1; i < SERVERS; i++)
        check(w, i, false);
    assert_int_equal(order(w, 0, DRAIN), UPSTREAM_ORDER_LAST);
    for (unsigned i = 1; i < SERVERS; i++)
        assert_int_equal(order(w, i, GONE), UPSTREAM_ORDERED); /* they took nothing */
    assert_int_equal(order(w, 0, DRAIN), UPSTREAM_ORDER_LAST);
}

static void test_where_none_is_well_one_stays(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < SERVERS; i++)
        check(w, i, false);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(order(w, i, DRAIN), UPSTREAM_ORDERED);
    assert_int_equal(order(w, 3, DRAIN), UPSTREAM_ORDER_LAST);
    assert_int_equal(upstream_vital_state(w->vitals[3]), ILL); /* panic: one of one is bad */
}

static void test_who_takes_no_requests_is_not_missed(void **state)
{
    struct world *w = *state;
    for (unsigned i = 1; i < SERVERS; i++)
        w->servers[i].weight = 0;
    assert_int_equal(upstream_health_serve(w->health, &w->conf, 1), ERR_OK);
    assert_false(standing(w, 1).is_used);
    assert_int_equal(order(w, 0, DRAIN), UPSTREAM_ORDER_LAST);
    assert_int_equal(order(w, 1, DRAIN), UPSTREAM_ORDERED);
}

static void test_who_is_away_is_neither_ejected_nor_counted(void **state)
{
    struct world *w = *state;
    assert_int_equal(order(w, 0, DRAIN), UPSTREAM_ORDERED);
    assert_int_equal(order(w, 1, DRAIN), UPSTREAM_ORDERED);
    lose(w, 0, 9);
    lose(w, 2, 3);
    lose(w, 3, 3); /* of the two that are left one may be ejected, not two */
    assert_int_equal(standing(w, 2).state, UPSTREAM_STATE_EJECTED);
    assert_int_equal(standing(w, 3).state, UPSTREAM_STATE_UP);
    assert_int_equal(order(w, 0, NONE), UPSTREAM_ORDERED);
    assert_int_equal(standing(w, 0).state, UPSTREAM_STATE_UP);
}

/* ---- how long an order holds ---- */

static void test_an_order_outlives_reloads_and_restarts(void **state)
{
    struct world *w = *state;
    assert_int_equal(order(w, 0, DRAIN), UPSTREAM_ORDERED);
    assert_int_equal(order(w, 1, GONE), UPSTREAM_ORDERED);
    assert_int_equal(upstream_health_serve(w->health, &w->conf, 1), ERR_OK);
    assert_int_equal(standing(w, 0).state, UPSTREAM_STATE_DRAINING);
    end(w);
    begin(w);
    assert_int_equal(standing(w, 0).state, UPSTREAM_STATE_DRAINING);
    assert_int_equal(standing(w, 1).state, UPSTREAM_STATE_DOWN);
    assert_int_equal(standing(w, 1).ordered_at_us, 77);
    assert_int_equal(upstream_vital_state(w->vitals[1]), OUT | ILL | AWAY | DOWN);
    assert_int_equal(standing(w, 2).state, UPSTREAM_STATE_UP);
    /* Without its server it ends; those that stay keep theirs. */
    struct upstream_conf rest = w->conf;
    rest.servers = &w->servers[1];
    rest.server_count = SERVERS - 1;
    assert_int_equal(upstream_health_serve(w->health, &rest, 1), ERR_OK);
    assert_int_equal(upstream_health_serve(w->health, &w->conf, 1), ERR_OK);
    assert_int_equal(standing(w, 0).state, UPSTREAM_STATE_UP);
    assert_int_equal(standing(w, 1).state, UPSTREAM_STATE_DOWN);
    end(w);
    begin(w);
    assert_int_equal(standing(w, 0).state, UPSTREAM_STATE_UP);
}

static void test_a_reload_that_leaves_only_who_is_away_is_told(void **state)
{
    struct world *w = *state;
    assert_int_equal(order(w, 0, DRAIN), UPSTREAM_ORDERED);
    struct upstream_conf one = w->conf;
    one.server_count = 1;
    assert_int_equal(upstream_health_serve(w->health, &one, 1), ERR_OK);
    assert_string_equal(tick(w), "0 ");
    assert_int_equal(upstream_health_serve(w->health, &w->conf, 1), ERR_OK);
    assert_string_equal(tick(w), "^ ");
}

static void test_the_same_order_holds_since_the_first(void **state)
{
    struct world *w = *state;
    static const struct {
        enum upstream_order order;
        uint64_t at_us, since_us;
    } rows[] = {{DRAIN, 5, 5}, {DRAIN, 9, 5}, {GONE, 11, 11}, {NONE, 12, 0}, {DRAIN, 13, 13}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct upstream_ordered ordered = {rows[i].order, rows[i].at_us};
        assert_int_equal(upstream_health_order(w->health, SPAN("app"), SPAN("a:1"), ordered, false),
                         UPSTREAM_ORDERED);
        assert_int_equal(standing(w, 0).ordered_at_us, rows[i].since_us);
    }
}

static void test_orders_that_cannot_be_carried_out(void **state)
{
    struct world *w = *state;
    const struct upstream_ordered drain = {DRAIN, 1};
    assert_int_equal(upstream_health_order(w->health, SPAN("app"), SPAN("a:2"), drain, true),
                     UPSTREAM_ORDER_UNKNOWN);
    assert_int_equal(upstream_health_order(w->health, SPAN("apq"), SPAN("a:1"), drain, true),
                     UPSTREAM_ORDER_UNKNOWN);
    for (unsigned i = 0; i < UPSTREAM_ORDERS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof(name), "s%u", i);
        assert_true(upstream_orders_set(w->orders,
                                        upstream_orders_key(SPAN("other"), span_of(name)), drain));
    }
    assert_int_equal(order(w, 0, DRAIN), UPSTREAM_ORDER_FULL);
    assert_int_equal(standing(w, 0).state, UPSTREAM_STATE_UP);
    assert_int_equal(order(w, 0, NONE), UPSTREAM_ORDERED);
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_troubles_and_orders_together),
        WITH_WORLD(test_what_is_told_of_a_server),
        WITH_WORLD(test_the_last_server_stays),
        WITH_WORLD(test_the_last_one_that_is_well_stays),
        WITH_WORLD(test_where_none_is_well_one_stays),
        WITH_WORLD(test_who_takes_no_requests_is_not_missed),
        WITH_WORLD(test_who_is_away_is_neither_ejected_nor_counted),
        WITH_WORLD(test_an_order_outlives_reloads_and_restarts),
        WITH_WORLD(test_a_reload_that_leaves_only_who_is_away_is_told),
        WITH_WORLD(test_the_same_order_holds_since_the_first),
        WITH_WORLD(test_orders_that_cannot_be_carried_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
