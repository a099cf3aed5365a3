/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop_memory.c - what a loop does when libevent finds no memory: its allocator is ours here. */
#include "loop/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int left = INT_MAX; /* so many allocations of libevent succeed, then one fails */

static void *taken(void *memory_old, size_t bytes)
{
    return left-- == 0 ? NULL : realloc(memory_old, bytes);
}

static void *taken_first(size_t bytes)
{
    return taken(NULL, bytes);
}

static struct loop *make_loop(struct metrics_registry *registry, int good_allocations)
{
    left = good_allocations;
    struct loop *loop = loop_new(metrics_registry_add_block(registry));
    return loop;
}

static void test_a_loop_has_epoll_or_is_none(void **state)
{
    struct metrics_registry *registry = metrics_registry_new();
    unsigned failures = 0;
    (void)state;
    for (int good = 0;; good++) {
        struct loop *loop = make_loop(registry, good);
        bool has_failed = left < 0;
        left = INT_MAX;
        failures += loop == NULL;
        if (loop != NULL)
            assert_string_equal(event_base_get_method(loop->base), "epoll");
        loop_free(loop);
        if (!has_failed)
            break;
    }
    assert_true(failures > 3);
    metrics_registry_free(registry);
}

struct alarmed {
    struct loop *loop;
    uint64_t due_us, fired_us;
    unsigned count;
};

static void on_alarm(void *arg)
{
    struct alarmed *a = arg;
    a->fired_us = a->loop->mono_us;
    a->count++;
    loop_stop(a->loop);
}

/* libevent's heap of timers has room for 8 at first: the ninth needs memory. */
static void test_an_alarm_without_memory_comes_all_the_same(void **state)
{
    enum {
        ALARMS = 40
    };
    struct metrics_registry *registry = metrics_registry_new();
    struct loop *loop = make_loop(registry, INT_MAX);
    struct loop_alarm *alarms[ALARMS];
    struct alarmed others = {.loop = loop}, a = {.loop = loop};
    (void)state;
    assert_non_null(loop);
    for (unsigned i = 0; i < ALARMS; i++)
        alarms[i] = loop_alarm_new(loop, on_alarm, i + 1 < ALARMS ? &others : &a);
    unsigned armed = 0;
    bool has_failed = false;
    while (armed + 1 < ALARMS && !has_failed) {
        left = 0;
        loop_alarm_set(alarms[armed++], loop->mono_us + 3600000000u);
        has_failed = left < 0;
    }
    assert_true(has_failed);
    a.due_us = loop->mono_us + 20000;
    left = 0;
    loop_alarm_set(alarms[ALARMS - 1], a.due_us);
    assert_true(left < 0);
    left = INT_MAX;
    loop_run(loop);
    assert_int_equal(a.count, 1);
    assert_int_equal(others.count, 0);
    assert_true(a.fired_us >= a.due_us);
    for (unsigned i = 0; i < ALARMS; i++)
        loop_alarm_free(alarms[i]);
    loop_free(loop);
    metrics_registry_free(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_loop_has_epoll_or_is_none),
        cmocka_unit_test(test_an_alarm_without_memory_comes_all_the_same),
    };
    event_set_mem_functions(taken_first, taken, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
