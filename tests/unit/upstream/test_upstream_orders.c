/* SPDX-License-Identifier: Apache-2.0 */
/* test_upstream_orders.c - orders are kept by the names of upstream and server, outlive the process that wrote them, and are
 * bounded. */
#include "upstream/upstream_orders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct hash128 key(const char *upstream, const char *server)
{
    return upstream_orders_key(span_of(upstream), span_of(server));
}

static bool set(struct upstream_orders *orders, const char *server, enum upstream_order order)
{
    return upstream_orders_set(orders, key("app", server),
                               (struct upstream_ordered){order, 1000 + (uint64_t)order});
}

static enum upstream_order order_of(const struct upstream_orders *orders, const char *server)
{
    const struct upstream_ordered ordered = upstream_orders_find(orders, key("app", server));
    if (ordered.order != UPSTREAM_ORDER_NONE)
        assert_int_equal(ordered.at_us, 1000 + (uint64_t)ordered.order);
    return ordered.order;
}

static unsigned count_of(const struct upstream_orders *orders)
{
    struct upstream_orders_row row;
    unsigned place = 0, count = 0;
    while (upstream_orders_next(orders, &place, &row))
        count++;
    return count;
}

static void test_names_that_look_alike_are_different(void **state)
{
    (void)state;
    const struct hash128 keys[] = {key("app", "a:1"), key("ap", "pa:1"), key("appa", ":1"),
                                   key("a:1", "app"), key("app", ""),    key("", "app")};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        for (size_t k = 0; k < i; k++)
            assert_false(keys[i].lo == keys[k].lo && keys[i].hi == keys[k].hi);
}

static void test_an_order_holds_until_another_comes(void **state)
{
    (void)state;
    struct upstream_orders *orders = upstream_orders_new();
    assert_non_null(orders);
    assert_int_equal(order_of(orders, "a:1"), UPSTREAM_ORDER_NONE);
    assert_true(set(orders, "a:1", UPSTREAM_ORDER_NONE)); /* nothing to end */
    assert_true(set(orders, "a:1", UPSTREAM_ORDER_DRAIN));
    assert_true(set(orders, "b:1", UPSTREAM_ORDER_DOWN));
    assert_true(set(orders, "a:1", UPSTREAM_ORDER_DOWN));
    assert_int_equal(order_of(orders, "a:1"), UPSTREAM_ORDER_DOWN);
    assert_int_equal(count_of(orders), 2);
    assert_true(set(orders, "a:1", UPSTREAM_ORDER_NONE));
    assert_int_equal(order_of(orders, "a:1"), UPSTREAM_ORDER_NONE);
    assert_int_equal(order_of(orders, "b:1"), UPSTREAM_ORDER_DOWN);
    assert_int_equal(count_of(orders), 1);
    upstream_orders_free(orders);
}

static void test_as_many_as_there_may_be(void **state)
{
    (void)state;
    struct upstream_orders *orders = upstream_orders_new();
    char name[16];
    for (unsigned i = 0; i < UPSTREAM_ORDERS_MAX; i++) {
        snprintf(name, sizeof(name), "s%u:1", i);
        assert_true(set(orders, name, UPSTREAM_ORDER_DRAIN));
    }
    assert_false(set(orders, "more:1", UPSTREAM_ORDER_DRAIN));
    assert_true(set(orders, "more:1", UPSTREAM_ORDER_NONE));
    assert_true(set(orders, "s7:1", UPSTREAM_ORDER_DOWN)); /* it has its row */
    assert_int_equal(order_of(orders, "more:1"), UPSTREAM_ORDER_NONE);
    assert_true(set(orders, "s0:1", UPSTREAM_ORDER_NONE));
    assert_true(set(orders, "more:1", UPSTREAM_ORDER_DRAIN));
    assert_int_equal(count_of(orders), UPSTREAM_ORDERS_MAX);
    upstream_orders_free(orders);
}

static bool is_a(void *arg, struct hash128 row)
{
    const struct hash128 a = key("app", "a:1");
    (void)arg;
    return row.lo == a.lo && row.hi == a.hi;
}

static void test_what_is_not_known_is_forgotten(void **state)
{
    (void)state;
    struct upstream_orders *orders = upstream_orders_new();
    assert_true(set(orders, "a:1", UPSTREAM_ORDER_DRAIN));
    assert_true(set(orders, "b:1", UPSTREAM_ORDER_DRAIN));
    upstream_orders_keep(orders, is_a, NULL);
    assert_int_equal(order_of(orders, "a:1"), UPSTREAM_ORDER_DRAIN);
    assert_int_equal(order_of(orders, "b:1"), UPSTREAM_ORDER_NONE);
    upstream_orders_free(orders);
}

static void test_it_outlives_who_wrote_it(void **state)
{
    (void)state;
    struct upstream_orders *orders = upstream_orders_new();
    const pid_t pid = fork();
    if (pid == 0)
        _exit(set(orders, "a:1", UPSTREAM_ORDER_DOWN) ? 0 : 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(order_of(orders, "a:1"), UPSTREAM_ORDER_DOWN);
    upstream_orders_free(orders);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_that_look_alike_are_different),
        cmocka_unit_test(test_an_order_holds_until_another_comes),
        cmocka_unit_test(test_as_many_as_there_may_be),
        cmocka_unit_test(test_what_is_not_known_is_forgotten),
        cmocka_unit_test(test_it_outlives_who_wrote_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
