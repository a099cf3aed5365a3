/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop_thread.c - a started thread has its name, takes no signal, and gives way when it says so. */
#include "loop/loop_thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>

struct seen {
    bool gives_way;
    bool takes_term;
    int policy;
};

static void *look(void *arg)
{
    struct seen *seen = arg;
    sigset_t mask;
    if (seen->gives_way)
        loop_thread_give_way();
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    seen->takes_term = sigismember(&mask, SIGTERM) == 0;
    seen->policy = sched_getscheduler(0);
    return NULL;
}

static struct seen seen_by_thread(bool gives_way)
{
    struct seen seen = {.gives_way = gives_way};
    pthread_t thread;
    assert_int_equal(loop_thread_start(&thread, "sluice-test", look, &seen), ERR_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return seen;
}

static void test_thread_takes_no_signal(void **state)
{
    sigset_t before, after;
    (void)state;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    struct seen seen = seen_by_thread(false);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    assert_false(seen.takes_term);
    assert_int_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}

static void *wait_for_leave(void *arg)
{
    pthread_barrier_wait(arg);
    return NULL;
}

static void test_thread_has_its_name(void **state)
{
    pthread_barrier_t leave;
    pthread_t thread;
    char name[16];
    (void)state;
    pthread_barrier_init(&leave, NULL, 2);
    assert_int_equal(loop_thread_start(&thread, "sluice-test", wait_for_leave, &leave), ERR_OK);
    assert_int_equal(pthread_getname_np(thread, name, sizeof(name)), 0);
    pthread_barrier_wait(&leave);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_barrier_destroy(&leave);
    assert_string_equal(name, "sluice-test");
}

/* The starter and its other threads stay as they were. */
static void test_only_the_caller_gives_way(void **state)
{
    (void)state;
    const int policy = sched_getscheduler(0);
    struct seen giving = seen_by_thread(true);
    assert_int_equal(giving.policy, SCHED_BATCH);
    assert_int_equal(sched_getscheduler(0), policy);
    struct seen other = seen_by_thread(false);
    assert_int_equal(other.policy, policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thread_takes_no_signal),
        cmocka_unit_test(test_thread_has_its_name),
        cmocka_unit_test(test_only_the_caller_gives_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
