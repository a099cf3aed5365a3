/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop.c - timers never fire early, letters arrive in order, tasks cannot starve sockets. */
#include "loop/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define LETTERS 200

struct world {
    struct metrics_registry *registry;
    struct loop *loop;
};

static int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->registry = metrics_registry_new();
    w->loop = loop_new(metrics_registry_add_block(w->registry));
    assert_non_null(w->loop);
    *state = w;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *w = *state;
    loop_free(w->loop);
    metrics_registry_free(w->registry);
    free(w);
    return 0;
}

struct firing {
    struct loop *loop;
    struct loop_timer timer;
    uint64_t due_us, fired_us;
    struct firing *cancels; /* a timer of the same slot that must not fire any more */
    unsigned *left;
};

static void on_fire(void *arg)
{
    struct firing *f = arg;
    f->fired_us = f->loop->mono_us;
    if (f->cancels != NULL)
        loop_timer_cancel(&f->cancels->timer);
    if (--*f->left == 0)
        loop_stop(f->loop);
}

static void test_timers_fire_never_early(void **state)
{
    struct world *w = *state;
    static const uint64_t waits_us[] = {0, 1, 249999, 250000, 300000, 500000, 700000};
    struct firing firings[7];
    unsigned left = 7;
    for (unsigned i = 0; i < 7; i++) {
        firings[i] = (struct firing){.loop = w->loop, .left = &left};
        firings[i].due_us = w->loop->mono_us + waits_us[i];
        loop_timer_init(&firings[i].timer, on_fire, &firings[i]);
        loop_timer_set(w->loop, &firings[i].timer, firings[i].due_us);
    }
    loop_run(w->loop);
    for (unsigned i = 0; i < 7; i++)
        assert_true(firings[i].fired_us >= firings[i].due_us);
}

static void test_a_timer_moved_later_keeps_its_promise(void **state)
{
    struct world *w = *state;
    unsigned left = 1;
    struct firing f = {.loop = w->loop, .left = &left};
    loop_timer_init(&f.timer, on_fire, &f);
    loop_timer_set(w->loop, &f.timer, w->loop->mono_us + 1000);
    f.due_us = w->loop->mono_us + 600000;
    loop_timer_set(w->loop, &f.timer, f.due_us);
    loop_run(w->loop);
    assert_true(f.fired_us >= f.due_us);
}

static void test_a_timer_moved_sooner_is_not_forgotten(void **state)
{
    struct world *w = *state;
    unsigned left = 1;
    struct firing f = {.loop = w->loop, .left = &left};
    loop_timer_init(&f.timer, on_fire, &f);
    loop_timer_set(w->loop, &f.timer, w->loop->mono_us + 3600000000u);
    f.due_us = w->loop->mono_us + 1000;
    loop_timer_set(w->loop, &f.timer, f.due_us);
    loop_run(w->loop); /* an hour would be the test's timeout */
    assert_true(f.fired_us >= f.due_us);
}

static void test_a_cancelled_timer_of_the_same_slot_stays_silent(void **state)
{
    struct world *w = *state;
    unsigned left = 1;
    uint64_t due_us = w->loop->mono_us + 1000;
    struct firing second = {.loop = w->loop, .left = &left};
    struct firing first = {.loop = w->loop, .left = &left, .cancels = &second};
    loop_timer_init(&first.timer, on_fire, &first);
    loop_timer_init(&second.timer, on_fire, &second);
    loop_timer_set(w->loop, &first.timer, due_us);
    loop_timer_set(w->loop, &second.timer, due_us);
    loop_run(w->loop);
    assert_true(first.fired_us != 0);
    assert_true(second.fired_us == 0);
}

struct letters {
    struct loop *loop;
    unsigned next;
    bool is_wrong;
};

struct letter {
    struct letters *letters;
    unsigned number;
};

static void on_letter(void *arg)
{
    struct letter *letter = arg;
    if (letter->number != letter->letters->next++)
        letter->letters->is_wrong = true;
    if (letter->letters->next == LETTERS)
        loop_stop(letter->letters->loop);
}

struct sender {
    struct letters letters;
    struct letter all[LETTERS];
};

static void *send_letters(void *arg)
{
    struct sender *sender = arg;
    for (unsigned i = 0; i < LETTERS; i++) {
        sender->all[i] = (struct letter){&sender->letters, i};
        if (loop_post(sender->letters.loop, on_letter, &sender->all[i]) != ERR_OK)
            abort();
    }
    return NULL;
}

static void test_letters_arrive_in_order(void **state)
{
    struct world *w = *state;
    struct sender sender = {.letters = {.loop = w->loop}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_letters, &sender), 0);
    loop_run(w->loop);
    pthread_join(thread, NULL);
    assert_int_equal(sender.letters.next, LETTERS);
    assert_false(sender.letters.is_wrong);
}

static void test_letters_that_were_never_read_are_freed(void **state)
{
    struct world *w = *state;
    struct sender *sender = calloc(1, sizeof(*sender));
    assert_non_null(sender);
    sender->letters.loop = w->loop;
    send_letters(sender);
    free(sender); /* the leak checker judges the rest */
}

struct hungry {
    struct loop *loop;
    struct loop_task task;
    unsigned runs;
    bool saw_letter;
};

static void on_hungry(void *arg)
{
    struct hungry *h = arg;
    h->runs++;
    if (!h->saw_letter)
        loop_task_schedule(h->loop, &h->task);
}

static void on_hungry_letter(void *arg)
{
    struct hungry *h = arg;
    h->saw_letter = true;
    loop_stop(h->loop);
}

static void test_a_task_that_comes_again_lets_others_run(void **state)
{
    struct world *w = *state;
    struct hungry h = {.loop = w->loop};
    loop_task_init(&h.task, on_hungry, &h);
    loop_task_schedule(w->loop, &h.task);
    loop_task_schedule(w->loop, &h.task); /* twice is once */
    assert_int_equal(loop_post(w->loop, on_hungry_letter, &h), ERR_OK);
    loop_run(w->loop);
    assert_true(h.saw_letter);
    assert_true(h.runs >= 1);
}

struct alarmed {
    struct loop *loop;
    uint64_t due_us, fired_us;
};

static void on_alarm(void *arg)
{
    struct alarmed *a = arg;
    a->fired_us = a->loop->mono_us;
    loop_stop(a->loop);
}

static void test_an_alarm_moved_later_fires_once_and_not_early(void **state)
{
    struct world *w = *state;
    struct alarmed a = {.loop = w->loop};
    struct loop_alarm *alarm = loop_alarm_new(w->loop, on_alarm, &a);
    assert_non_null(alarm);
    loop_alarm_set(alarm, w->loop->mono_us + 1000);
    loop_alarm_set(alarm, 0);
    loop_alarm_set(alarm, w->loop->mono_us + 2000);
    a.due_us = w->loop->mono_us + 30000;
    loop_alarm_set(alarm, a.due_us);
    loop_run(w->loop);
    assert_true(a.fired_us >= a.due_us);
    loop_alarm_free(alarm);
}

static void on_stall(void *arg)
{
    (void)arg;
    const struct timespec stall = {0, 600000000};
    nanosleep(&stall, NULL);
}

/* Two ticks were due while the thread did something else; it comes to them 350 ms late at least. */
static void test_a_stalled_thread_is_told_as_lag(void **state)
{
    struct world *w = *state;
    unsigned left = 1;
    struct firing last = {.loop = w->loop, .left = &left};
    struct loop_timer stall;
    loop_timer_init(&stall, on_stall, NULL);
    loop_timer_init(&last.timer, on_fire, &last);
    loop_timer_set(w->loop, &stall, w->loop->mono_us + 1);
    loop_timer_set(w->loop, &last.timer, w->loop->mono_us + 1000000);
    loop_run(w->loop);
    uint64_t slow = 0;
    for (unsigned i = metrics_bucket_of(250001); i <= METRICS_BUCKETS; i++)
        slow += metrics_registry_sum(w->registry, METRICS_LOOP_LAG + i);
    assert_true(slow >= 1);
    assert_true(metrics_registry_sum(w->registry, METRICS_LOOP_LAG + METRICS_SUM) >= 300000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_timers_fire_never_early, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_a_timer_moved_later_keeps_its_promise, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(test_a_timer_moved_sooner_is_not_forgotten, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(test_a_cancelled_timer_of_the_same_slot_stays_silent,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_letters_arrive_in_order, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_a_stalled_thread_is_told_as_lag, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(test_letters_that_were_never_read_are_freed, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(test_a_task_that_comes_again_lets_others_run, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(test_an_alarm_moved_later_fires_once_and_not_early,
                                        world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
