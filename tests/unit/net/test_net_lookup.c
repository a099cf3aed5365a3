/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_lookup.c - many names at once: each has its own answer, nobody waits longer than was said, and threads that are left
 * behind are counted. */
#include "net/net_lookup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "net/fake_names.h"

#define MANY        100 /* more than there are threads */
#define PATIENCE_US ((uint64_t)60 * 1000000)

static struct net_lookup list[MANY];
static char hosts[MANY][32];

/* Every tenth is no name; `wait` first ones are not answered. */
static void fill(unsigned wait)
{
    for (unsigned i = 0; i < MANY; i++) {
        const char *kind = i < wait ? "wait" : i % 10 == 9 ? "none" : "127.0.1.";
        const int len = snprintf(hosts[i], sizeof(hosts[i]), "%s%u", kind, i);
        list[i] = (struct net_lookup){.host = {hosts[i], (size_t)len}, .count = 7};
    }
}

static void judge(unsigned i)
{
    char text[NET_ADDRESS_TEXT_MAX], wanted[64];
    assert_true(list[i].is_answered);
    assert_ptr_equal(list[i].host.ptr, hosts[i]);
    assert_int_equal(list[i].count, i % 10 == 9 ? 0 : 1);
    assert_int_equal(list[i].result, i % 10 == 9 ? EAI_NONAME : 0);
    if (list[i].count == 0)
        return;
    snprintf(wanted, sizeof(wanted), "127.0.1.%u:0", i);
    text[net_address_format(text, &list[i].addresses[0])] = '\0';
    assert_string_equal(text, wanted);
}

static void wait_until_answered(void)
{
    while (atomic_load(&fake_names_answered) != atomic_load(&fake_names_asked))
        sched_yield();
}

static void test_each_has_its_own_answer(void **state)
{
    struct net_lookups *lookups = net_lookups_new();
    (void)state;
    fill(0);
    net_lookup_all(lookups, list, MANY, PATIENCE_US);
    for (unsigned i = 0; i < MANY; i++)
        judge(i);
    net_lookups_free(lookups);
}

static void test_some_that_are_silent_hold_up_no_other(void **state)
{
    struct net_lookups *lookups = net_lookups_new();
    (void)state;
    fill(NET_LOOKUP_THREADS_MAX - 1);
    /* Whatever is done within this time is judged; it is enough but on a machine that stands still. */
    net_lookup_all(lookups, list, MANY, 2000000);
    for (unsigned i = 0; i < MANY; i++) {
        if (i < NET_LOOKUP_THREADS_MAX - 1)
            assert_true(!list[i].is_answered && list[i].count == 0);
        else
            judge(i);
    }
    fake_names_let(NET_LOOKUP_THREADS_MAX - 1);
    wait_until_answered(); /* the next test's would take the leave */
    net_lookups_free(lookups);
}

/* Threads of calls before count: no thread is free for a question, until they are through. */
static void test_threads_do_not_add_up(void **state)
{
    struct net_lookups *lookups = net_lookups_new();
    static struct net_lookup before[MANY];
    (void)state;
    fill(MANY);
    const unsigned asked = atomic_load(&fake_names_asked);
    net_lookup_all(lookups, list, MANY, 2000000);
    assert_int_equal(atomic_load(&fake_names_asked) - asked, NET_LOOKUP_THREADS_MAX);
    fill(0);
    memcpy(before, list, sizeof(list));
    for (int i = 0; i < 3; i++)
        net_lookup_all(lookups, list, MANY, PATIENCE_US); /* does not even wait */
    assert_int_equal(atomic_load(&fake_names_asked) - asked, NET_LOOKUP_THREADS_MAX);
    for (unsigned i = 0; i < MANY; i++) {
        assert_true(!list[i].is_answered && list[i].count == 0);
        before[i].count = 0;
    }
    fake_names_let(NET_LOOKUP_THREADS_MAX);
    wait_until_answered();
    assert_memory_equal(list, before, sizeof(list)); /* late answers touch nothing */
    do
        net_lookup_all(lookups, list, 1, PATIENCE_US);
    while (!list[0].is_answered); /* the last of them is ending */
    judge(0);
    net_lookups_free(lookups);
}

static void test_nothing_is_asked_for_nothing(void **state)
{
    struct net_lookups *lookups = net_lookups_new();
    const unsigned asked = atomic_load(&fake_names_asked);
    (void)state;
    net_lookup_all(lookups, NULL, 0, PATIENCE_US);
    assert_int_equal(atomic_load(&fake_names_asked), asked);
    net_lookups_free(lookups);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_has_its_own_answer),
        cmocka_unit_test(test_some_that_are_silent_hold_up_no_other),
        cmocka_unit_test(test_threads_do_not_add_up),
        cmocka_unit_test(test_nothing_is_asked_for_nothing),
    };
    fake_names_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
