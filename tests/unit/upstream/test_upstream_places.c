/* SPDX-License-Identifier: Apache-2.0 */
/* test_upstream_places.c - places are counted exactly by many threads; who waits is called in order, whatever worker it
 * is of; what a called one does not use goes to the next. */
#include "upstream/upstream_places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#define WAITERS 6

struct world {
    struct metrics_registry *registry;
    struct loop *loops[2];
    struct upstream_places *places;
    struct upstream_bell bells[2];
    struct upstream_queue *queue;
    struct upstream_waiter waiters[WAITERS];
    char tried[64]; /* the letters of those whose on_ready ran */
    unsigned let_go[2];
};

static struct world *world;

static void on_let_go(void *arg)
{
    ++*(unsigned *)arg;
}

/* A called one that uses nothing. */
static void on_ready(void *arg)
{
    struct upstream_waiter *waiter = arg;
    size_t len = strlen(world->tried);
    world->tried[len] = (char)('a' + (waiter - world->waiters));
    assert_true(upstream_waiter_may_try(waiter));
    upstream_queue_pass(waiter);
}

static int open_world(void **state)
{
    static struct world made;
    memset(&made, 0, sizeof(made));
    world = *state = &made;
    made.registry = metrics_registry_new();
    made.places = upstream_places_new();
    for (unsigned i = 0; i < 2; i++) {
        made.loops[i] = loop_new(metrics_registry_add_block(made.registry));
        upstream_bell_open(&made.bells[i], made.places, made.loops[i], on_let_go, &made.let_go[i]);
    }
    made.queue = upstream_queue_ref(made.places, SPAN("app"));
    assert_non_null(made.queue);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WAITERS; i++) {
        if (world->waiters[i].queue != NULL)
            upstream_queue_leave(&world->waiters[i], true);
    }
    upstream_queue_unref(world->queue);
    for (unsigned i = 0; i < 2; i++) {
        upstream_bell_close(&world->bells[i]);
        loop_free(world->loops[i]);
    }
    upstream_places_free(world->places);
    metrics_registry_free(world->registry);
    return 0;
}

/* Waiter i of worker i % 2; nobody is called afterwards. */
static bool enter(unsigned i, uint64_t since_us, unsigned max)
{
    struct upstream_waiter *waiter = &world->waiters[i];
    *waiter = (struct upstream_waiter){.since_us = since_us, .on_ready = on_ready, .arg = waiter};
    if (!upstream_queue_enter(world->queue, waiter, &world->bells[i % 2], max))
        return false;
    if (upstream_waiter_may_try(waiter))
        upstream_queue_pass(waiter);
    return true;
}

static void on_stop(void *arg)
{
    loop_stop(arg);
}

/* The worker reads its letters; a loop that was stopped stays so, so it gets another one. */
static void answer(unsigned worker)
{
    struct loop **loop = &world->loops[worker];
    assert_int_equal(loop_post(*loop, on_stop, *loop), ERR_OK);
    loop_run(*loop);
    loop_free(*loop);
    *loop = loop_new(metrics_registry_add_block(world->registry));
    world->bells[worker].loop = *loop;
}

/* Who is called, as letters. */
static const char *called(void)
{
    static char text[WAITERS + 1];
    unsigned len = 0;
    for (unsigned i = 0; i < WAITERS; i++) {
        if (world->waiters[i].queue != NULL && world->waiters[i].is_called)
            text[len++] = (char)('a' + i);
    }
    text[len] = '\0';
    return text;
}

static void test_who_came_first_is_called_first(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_true(enter(i, 10 + i, 100));
    assert_true(enter(4, 11, 100)); /* came with b, and stands behind it */
    assert_true(enter(5, 5, 100));  /* came before all: it was sent again */
    assert_int_equal(atomic_load(&world->queue->waiting), 6);
    for (unsigned turn = 0; turn < 6; turn++) /* those behind e and f had a try, too */
        answer(turn % 2);
    assert_string_equal(called(), "");
    static const char *const order[] = {"f", "af", "abf", "abef", "abcef", "abcdef", "abcdef"};
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        upstream_queue_call(world->queue);
        assert_string_equal(called(), order[i]);
    }
}

static void test_only_so_many_wait(void **state)
{
    (void)state;
    assert_false(enter(0, 1, 0));
    assert_true(enter(0, 1, 2));
    assert_true(enter(1, 2, 2));
    assert_false(enter(2, 3, 2));
    assert_null(world->waiters[2].queue);
    upstream_queue_leave(&world->waiters[0], false);
    assert_true(enter(2, 3, 2));
    assert_int_equal(atomic_load(&world->queue->waiting), 2);
}

/* The place goes down the line through both workers, and nobody is called twice for it. */
static void test_what_one_cannot_use_the_next_may(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_true(enter(i, 10 + i, 100));
    upstream_queue_call(world->queue);
    for (unsigned turn = 0; turn < 4; turn++)
        answer(turn % 2);
    assert_string_equal(world->tried, "abcd");
    assert_string_equal(called(), "");
    assert_int_equal(world->queue->called, 0);
}

static void test_who_leaves_hands_its_call_on(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_true(enter(i, 10 + i, 100));
    upstream_queue_call(world->queue);
    assert_string_equal(called(), "a");
    upstream_queue_leave(&world->waiters[0], false);
    assert_string_equal(called(), "b");
    upstream_queue_leave(&world->waiters[1], true);
    assert_string_equal(called(), "");
    upstream_queue_leave(&world->waiters[2], false);
    assert_int_equal(atomic_load(&world->queue->waiting), 0);
    answer(0); /* the letter finds nobody */
    answer(1);
    assert_string_equal(world->tried, "");
}

/* Room that came about while one entered has called nobody: it may try itself, but not before somebody who is called. */
static void test_who_enters_tries_unless_another_is_called(void **state)
{
    (void)state;
    struct upstream_waiter *first = &world->waiters[0], *second = &world->waiters[1];
    *first = *second = (struct upstream_waiter){.on_ready = on_ready};
    assert_true(upstream_queue_enter(world->queue, first, &world->bells[0], 9));
    assert_true(upstream_waiter_may_try(first));
    assert_true(upstream_queue_enter(world->queue, second, &world->bells[1], 9));
    assert_false(upstream_waiter_may_try(second));
    upstream_queue_pass(first);
    assert_true(upstream_waiter_may_try(second));
}

static void test_stirring_calls_once(void **state)
{
    (void)state;
    assert_true(enter(0, 1, 9));
    assert_true(enter(1, 2, 9));
    upstream_queue_stir(world->queue, &world->bells[0]);
    upstream_queue_stir(world->queue, &world->bells[1]);
    assert_string_equal(called(), "a");
}

/* A letter that could not be sent: the worker finds out by itself. */
static void test_stirring_answers_what_no_letter_told(void **state)
{
    (void)state;
    assert_true(enter(0, 1, 9));
    upstream_queue_call(world->queue);
    world->bells[0].is_rung = false;
    upstream_queue_stir(world->queue, &world->bells[0]);
    assert_string_equal(world->tried, "a");
}

static void test_where_the_next_one_is(void **state)
{
    (void)state;
    assert_false(upstream_queue_goes_elsewhere(world->queue, &world->bells[0]));
    assert_true(enter(0, 1, 9));
    assert_true(enter(1, 2, 9));
    assert_false(upstream_queue_goes_elsewhere(world->queue, &world->bells[0]));
    assert_true(upstream_queue_goes_elsewhere(world->queue, &world->bells[1]));
    upstream_queue_call(world->queue);
    assert_true(upstream_queue_goes_elsewhere(world->queue, &world->bells[0]));
    assert_false(upstream_queue_goes_elsewhere(world->queue, &world->bells[1]));
}

static void test_only_others_are_asked_to_let_go(void **state)
{
    (void)state;
    upstream_queue_ask_others(world->queue, &world->bells[1]);
    answer(0);
    answer(1);
    assert_int_equal(world->let_go[0], 1);
    assert_int_equal(world->let_go[1], 0);
}

static void test_one_tally_for_one_server(void **state)
{
    (void)state;
    struct upstream_tally *one = upstream_tally_ref(world->places, SPAN("app"), SPAN("a:1"));
    struct upstream_tally *same = upstream_tally_ref(world->places, SPAN("app"), SPAN("a:1"));
    struct upstream_tally *other = upstream_tally_ref(world->places, SPAN("api"), SPAN("a:1"));
    assert_ptr_equal(one, same);
    assert_ptr_not_equal(one, other);
    assert_true(upstream_tally_claim(one, 2));
    assert_true(upstream_tally_claim(same, 2));
    assert_false(upstream_tally_claim(one, 2));
    assert_true(upstream_tally_claim(one, 0));
    assert_int_equal(atomic_load(&one->open), 3);
    upstream_tally_unref(one);
    assert_int_equal(atomic_load(&same->open), 3);
    upstream_tally_unref(same);
    upstream_tally_unref(other);
    struct upstream_tally *again = upstream_tally_ref(world->places, SPAN("app"), SPAN("a:1"));
    assert_int_equal(atomic_load(&again->open), 0);
    upstream_tally_unref(again);
}

/* ---- many threads ---- */

#define THREADS 4
#define ROUNDS  50000
#define PLACES  3u

struct crowd {
    struct upstream_tally *tally;
    atomic_uint inside, most;
};

static void *push(void *arg)
{
    struct crowd *crowd = arg;
    for (unsigned n = 0; n < ROUNDS; n++) {
        if (!upstream_tally_claim(crowd->tally, PLACES))
            continue;
        unsigned inside = atomic_fetch_add(&crowd->inside, 1) + 1;
        unsigned most = atomic_load(&crowd->most);
        while (inside > most && !atomic_compare_exchange_weak(&crowd->most, &most, inside))
            ;
        atomic_fetch_sub(&crowd->inside, 1);
        atomic_fetch_sub(&crowd->tally->open, 1);
    }
    return NULL;
}

static void test_a_crowd_never_has_more(void **state)
{
    pthread_t threads[THREADS];
    struct crowd crowd = {upstream_tally_ref(world->places, SPAN("app"), SPAN("a:1")), 0, 0};
    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, push, &crowd), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(atomic_load(&crowd.most), 1, PLACES);
    assert_int_equal(atomic_load(&crowd.tally->open), 0);
    upstream_tally_unref(crowd.tally);
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(test_who_came_first_is_called_first),
        WORLD(test_only_so_many_wait),
        WORLD(test_what_one_cannot_use_the_next_may),
        WORLD(test_who_leaves_hands_its_call_on),
        WORLD(test_who_enters_tries_unless_another_is_called),
        WORLD(test_stirring_calls_once),
        WORLD(test_stirring_answers_what_no_letter_told),
        WORLD(test_where_the_next_one_is),
        WORLD(test_only_others_are_asked_to_let_go),
        WORLD(test_one_tally_for_one_server),
        WORLD(test_a_crowd_never_has_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
