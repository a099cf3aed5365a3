/* SPDX-License-Identifier: Apache-2.0 */
/* test_upstream_pool.c - a server lives on from one plan to the next, and does as the plan in force says. */
#include "upstream/upstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "upstream/upstream_conn.h"
#include "upstream/upstream_health.h"
#include "upstream/upstream_places.h"
#include "upstream/upstream_standing.h"

struct world {
    struct metrics_registry *registry;
    struct loop *loop;
    struct net_resolver *resolver;
    struct upstream_places *places;
    struct upstream_health *health;
    struct upstream_set *set;
};

static int setup(void **state)
{
    static struct world w;
    w.registry = metrics_registry_new();
    w.loop = loop_new(metrics_registry_add_block(w.registry));
    w.resolver = net_resolver_new(w.loop);
    w.places = upstream_places_new();
    w.health = upstream_health_new(NULL);
    w.set = upstream_set_new(w.loop, w.resolver, w.places, w.health);
    *state = &w;
    return w.set == NULL;
}

static int teardown(void **state)
{
    struct world *w = *state;
    upstream_set_free(w->set);
    upstream_health_free(w->health);
    upstream_places_free(w->places);
    net_resolver_free(w->resolver);
    loop_free(w->loop);
    metrics_registry_free(w->registry);
    return 0;
}

/* Owner: the test. */
struct plan_of_one {
    struct upstream_server_conf server;
    struct upstream_conf upstream;
};

static void plan_init(struct plan_of_one *plan, uint32_t weight, uint32_t pool_max)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9)};
    *plan = (struct plan_of_one){
        .server = {.address_text = SPAN("127.0.0.1:9"), .weight = weight},
        .upstream = {.name = SPAN("app"),
                     .server_count = 1,
                     .pool_max = pool_max,
                     .pool_idle_us = 7},
    };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    net_address_from(&plan->server.address, (const struct sockaddr *)&address, sizeof(address));
    plan->upstream.servers = &plan->server;
}

static void test_a_plan_that_is_never_in_force_changes_no_server(void **state)
{
    struct world *w = *state;
    struct plan_of_one first, refused;
    plan_init(&first, 0, 5);
    plan_init(&refused, 3, 0);
    refused.upstream.pool_idle_us = 0;
    struct upstream_pool *pool = upstream_pool_new(w->set, &first.upstream);
    assert_non_null(pool);
    upstream_pool_enter(pool);
    const struct upstream_server *server = pool->servers[0];
    struct upstream_pool *next = upstream_pool_new(w->set, &refused.upstream);
    assert_non_null(next);
    assert_ptr_equal(next->servers[0], server);
    upstream_pool_free(next);
    assert_int_equal(server->weight, 0);
    assert_int_equal(server->idle_max, 5);
    assert_int_equal(server->idle_us, 7);
    assert_int_equal(server->back_at_us, 0);
    upstream_pool_free(pool);
}

static void test_the_plan_in_force_is_obeyed(void **state)
{
    struct world *w = *state;
    struct plan_of_one first, second;
    plan_init(&first, 0, 5);
    plan_init(&second, 3, 9);
    struct upstream_pool *pool = upstream_pool_new(w->set, &first.upstream);
    struct upstream_pool *next = upstream_pool_new(w->set, &second.upstream);
    assert_non_null(pool);
    assert_non_null(next);
    upstream_pool_enter(pool);
    const struct upstream_server *server = pool->servers[0];
    upstream_pool_enter(next);
    upstream_pool_free(pool);
    assert_int_equal(server->weight, 3);
    assert_int_equal(server->idle_max, 9);
    assert_int_equal(server->back_at_us, w->loop->mono_us); /* it takes requests again since now */
    upstream_pool_free(next);
}

static void order(struct world *w, enum upstream_order order)
{
    const struct upstream_ordered ordered = {order, 1};
    assert_int_equal(
        upstream_health_order(w->health, SPAN("app"), SPAN("127.0.0.1:9"), ordered, true),
        UPSTREAM_ORDERED);
}

static void test_who_is_ordered_away_is_no_last_resort(void **state)
{
    struct world *w = *state;
    struct plan_of_one plan;
    const struct upstream_want want = {0};
    struct upstream_conn *conn = NULL;
    plan_init(&plan, 1, 5);
    plan.upstream.health.panic_percent = 50;
    assert_int_equal(upstream_health_serve(w->health, &plan.upstream, 1), ERR_OK);
    struct upstream_pool *pool = upstream_pool_new(w->set, &plan.upstream);
    assert_non_null(pool);
    upstream_pool_enter(pool);
    for (enum upstream_order away = UPSTREAM_ORDER_DRAIN; away < UPSTREAM_ORDER_COUNT; away++) {
        uint64_t tried = 0;
        order(w, away);
        assert_int_equal(upstream_take(pool, &want, &tried, &conn), UPSTREAM_NONE);
        assert_int_equal(errno, EHOSTUNREACH);
        assert_int_equal(tried, 0);
        assert_int_equal(atomic_load(&pool->servers[0]->tally->open), 0);
        order(w, UPSTREAM_ORDER_NONE);
        assert_int_equal(upstream_take(pool, &want, &tried, &conn), UPSTREAM_CONNECTING);
        assert_int_equal(tried, 1);
        upstream_close(&conn);
    }
    upstream_pool_free(pool);
    assert_int_equal(upstream_health_serve(w->health, NULL, 0), ERR_OK);
}

/* A connection is made, used and given back. */
static void use_one(struct upstream_pool *pool)
{
    const struct upstream_want want = {.header = SPAN("PROXY UNKNOWN\r\n")};
    struct upstream_conn *conn = NULL;
    uint64_t tried = 0;
    assert_int_equal(upstream_take(pool, &want, &tried, &conn), UPSTREAM_CONNECTING);
    conn->keep_alive = conn->sent_all = true;
    upstream_return(&conn);
}

static void test_what_is_kept_on_other_terms_takes_no_place(void **state)
{
    struct world *w = *state;
    struct plan_of_one plain, named;
    plan_init(&plain, 1, 5);
    plan_init(&named, 1, 5);
    plain.server.max_connections = named.server.max_connections = 1;
    named.upstream.proxy = NET_PROXY_V1;
    struct upstream_pool *pool = upstream_pool_new(w->set, &plain.upstream);
    assert_non_null(pool);
    upstream_pool_enter(pool);
    const struct upstream_server *server = pool->servers[0];
    use_one(pool);
    assert_int_equal(server->idle_count, 1);
    struct upstream_pool *next = upstream_pool_new(w->set, &named.upstream);
    assert_non_null(next);
    assert_ptr_not_equal(next->servers[0], server);
    assert_int_equal(server->idle_count, 1); /* it may never be in force */
    upstream_pool_enter(next);
    assert_int_equal(server->idle_count, 0);
    use_one(next);
    assert_int_equal(next->servers[0]->idle_count, 1);
    /* The terms come back. */
    upstream_pool_enter(pool);
    use_one(pool);
    assert_int_equal(server->idle_count, 1);
    upstream_pool_free(next);
    upstream_pool_free(pool);
}

static void test_what_is_in_use_on_other_terms_is_not_kept(void **state)
{
    struct world *w = *state;
    struct plan_of_one plain, named;
    plan_init(&plain, 1, 5);
    plan_init(&named, 1, 5);
    named.upstream.proxy = NET_PROXY_V1;
    struct upstream_pool *pool = upstream_pool_new(w->set, &plain.upstream);
    struct upstream_pool *next = upstream_pool_new(w->set, &named.upstream);
    assert_non_null(pool);
    assert_non_null(next);
    upstream_pool_enter(pool);
    upstream_pool_enter(next);
    use_one(pool); /* an exchange that has begun before */
    assert_int_equal(pool->servers[0]->idle_count, 0);
    assert_int_equal(atomic_load(&next->servers[0]->tally->open), 0);
    upstream_pool_free(next);
    upstream_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_plan_that_is_never_in_force_changes_no_server, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_the_plan_in_force_is_obeyed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_is_ordered_away_is_no_last_resort, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_is_kept_on_other_terms_takes_no_place, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_is_in_use_on_other_terms_is_not_kept, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
