/* SPDX-License-Identifier: Apache-2.0 */
/* test_plan_names.c - which addresses the servers of a plan begin with, and how often is asked. */
#include "plan/plan_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/fake_names.h"

#define SERVERS 4

/* One upstream; by hand, since only names matter. */
struct made {
    struct plan plan;
    struct upstream_conf upstream;
    struct upstream_server_conf servers[SERVERS];
};

struct row {
    const char *host; /* NULL: an address, no name */
    uint16_t port;
    const char *wanted; /* "": none */
};

static void make(struct made *made, const struct row rows[SERVERS])
{
    memset(made, 0, sizeof(*made));
    arena_init(&made->plan.arena, NULL, 0, 1 << 20);
    for (unsigned i = 0; i < SERVERS; i++) {
        made->servers[i].host = rows[i].host == NULL ? SPAN_NONE : span_of(rows[i].host);
        made->servers[i].address.port = rows[i].port;
    }
    made->upstream.servers = made->servers;
    made->upstream.server_count = SERVERS;
    made->plan.upstreams = &made->upstream;
    made->plan.upstream_count = 1;
}

static void judge(const struct made *made, const struct row rows[SERVERS])
{
    for (unsigned i = 0; i < SERVERS; i++) {
        char text[NET_ADDRESS_TEXT_MAX] = "";
        if (made->servers[i].found_count != 0)
            text[net_address_format(text, &made->servers[i].found[0])] = '\0';
        assert_string_equal(text, rows[i].wanted);
        assert_int_equal(made->servers[i].found_count, rows[i].wanted[0] != '\0');
    }
}

static void test_what_is_found(void **state)
{
    static const struct row rows[SERVERS] = {
        {"127.0.0.3", 80, "127.0.0.3:80"},
        {"none", 81, ""},
        {NULL, 82, ""},
        {"127.0.0.3", 83, "127.0.0.3:83"},
    };
    struct net_lookups *lookups = net_lookups_new();
    struct made made;
    (void)state;
    make(&made, rows);
    const unsigned asked = atomic_load(&fake_names_asked);
    plan_find_names(&made.plan, NULL, lookups, 60000000);
    judge(&made, rows);
    assert_int_equal(atomic_load(&fake_names_asked) - asked, 2); /* each host once */
    arena_fini(&made.plan.arena);
    net_lookups_free(lookups);
}

/* A plan before says how long is waited, and nothing else. */
static void test_behind_another_plan(void **state)
{
    static const struct row first[SERVERS] = {
        {"wait1", 80, "127.0.0.9:80"},
        {"none1", 80, ""},
        {"127.0.0.4", 80, "127.0.0.4:80"},
        {"127.0.0.5", 80, "127.0.0.5:80"},
    };
    static const struct row next[SERVERS] = {
        {"127.0.0.4", 90, "127.0.0.4:90"},
        {"wait1", 91, ""}, /* is not answered this time */
        {"wait2", 92, ""},
        {"none1", 93, ""},
    };
    struct net_lookups *lookups = net_lookups_new();
    struct made before, made;
    (void)state;
    make(&before, first);
    fake_names_let(1);
    plan_find_names(&before.plan, NULL, lookups, 60000000);
    judge(&before, first);
    make(&made, next);
    plan_find_names(&made.plan, &before.plan, lookups, 2000000);
    judge(&made, next);
    fake_names_let(2);
    arena_fini(&before.plan.arena);
    arena_fini(&made.plan.arena);
    net_lookups_free(lookups);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_found),
        cmocka_unit_test(test_behind_another_plan),
    };
    fake_names_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
