/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_crash - children that charge as fast as they can are killed with SIGKILL wherever they are.
 * Their successors go on at once: no lock is left behind, no count is above its limit, and nothing is
 * lost or invented but the requests that were in the air. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_rng.h"
#include "store/store_memory.h"
#include "store/store_testing.h"

#define KILLS        30
#define THREADS      2
#define TIGHT_LIMIT  20000
#define ROUNDS_A_KID 2000

/* Shared with the children. */
struct tally {
    _Atomic uint64_t rounds;
    _Atomic uint64_t wide, tight; /* charges that a child has been told of */
    _Atomic uint64_t over;        /* readings above a limit */
};

static const struct quota wide = {
    .id = {1}, .limit_count = 3, .limits = {DAY(2000000000), HOUR(2000000000), MINUTE(2000000000)}};
static const struct quota tight = {.id = {2}, .limit_count = 1, .limits = {DAY(TIGHT_LIMIT)}};
static const struct quota crowd = {.id = {3}, .limit_count = 1, .limits = {SECOND(5)}};

struct job {
    struct store_memory *store;
    struct tally *tally;
    uint64_t seed;
};

/* Either the wide quota with the tight one, or with a crowd of newcomers for whom cells are made,
 * given away and missed all the time. */
static void *charge_for_ever(void *arg)
{
    struct job *job = arg;
    struct rng rng = {{job->seed, 2, 3, 4}};
    for (uint64_t second = 0;; second++) {
        bool is_tight = rng_below(&rng, 2);
        struct quota_charge charges[2] = {
            testing_charge(&wide, 1, 1), is_tight
                                             ? testing_charge(&tight, 1, 1)
                                             : testing_charge(&crowd, rng_below(&rng, 1000000), 1)};
        uint64_t now_s = T0_S + second / 300 % 60;
        if (store_memory_charge(job->store, charges, 2, US(now_s), NULL) == STORE_CHARGED) {
            atomic_fetch_add(&job->tally->wide, 1);
            if (is_tight)
                atomic_fetch_add(&job->tally->tight, 1);
        }
        for (unsigned i = 0; i < 2; i++) {
            if (charges[i].readings[0].used > charges[i].readings[0].limit)
                atomic_fetch_add(&job->tally->over, 1);
        }
        atomic_fetch_add(&job->tally->rounds, 1);
    }
    return NULL;
}

static void charge_and_die(struct store_memory *store, struct tally *tally, uint64_t seed)
{
    struct job jobs[THREADS];
    pthread_t thread;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test itself be killed */
    for (unsigned i = 0; i < THREADS; i++)
        jobs[i] = (struct job){store, tally, seed * THREADS + i + 1};
    for (unsigned i = 1; i < THREADS; i++)
        pthread_create(&thread, NULL, charge_for_ever, &jobs[i]);
    charge_for_ever(&jobs[0]);
}

static void live_and_die(struct store_memory *store, struct tally *tally, uint64_t seed)
{
    store_memory_recover(store);
    charge_and_die(store, tally, seed);
}

static pid_t fork_charging(struct store_memory *store, struct tally *tally, uint64_t seed)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        charge_and_die(store, tally, seed);
    return child;
}

static void kill_child(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static uint32_t used_of(struct store_memory *store, const struct quota *quota, unsigned window)
{
    struct quota_charge charge = testing_charge(quota, 1, UINT32_MAX);
    assert_int_equal(store_memory_charge(store, &charge, 1, US(T0_S), NULL), STORE_REFUSED);
    return charge.readings[window].used;
}

static void test_kill(void **state)
{
    (void)state;
    struct tally *tally =
        mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(tally, MAP_FAILED);
    struct store_memory *store = store_memory_new(60);
    assert_non_null(store);
    struct rng rng;
    rng_seed(&rng);
    for (unsigned kill_number = 0; kill_number < KILLS; kill_number++) {
        uint64_t until = atomic_load(&tally->rounds) + 1 + rng_below(&rng, 2 * ROUNDS_A_KID);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            live_and_die(store, tally, kill_number + 1);
        while (atomic_load(&tally->rounds) < until) {
            assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
            sched_yield();
        }
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
    }

    store_memory_recover(store);
    const uint32_t in_the_air = KILLS * THREADS;
    for (unsigned w = 0; w < 3; w++) {
        assert_true(used_of(store, &wide, w) >= tally->wide);
        assert_true(used_of(store, &wide, w) <= tally->wide + in_the_air);
    }
    assert_true(used_of(store, &tight, 0) >= tally->tight);
    assert_true(used_of(store, &tight, 0) <= tally->tight + in_the_air);
    assert_true(used_of(store, &tight, 0) <= TIGHT_LIMIT);
    assert_int_equal(tally->over, 0);
    store_memory_free(store);
    munmap(tally, sizeof(*tally));
}

/* Two parents share a store: the child of one charges all the time, those of the other come and are killed.  What the dead
 * left locked is free, what the living one holds is not. */
static void test_kill_beside_another(void **state)
{
    (void)state;
    struct tally *tally =
        mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(tally, MAP_FAILED);
    uint32_t subjects;
    struct store_memory *first = store_memory_new(60);
    assert_non_null(first);
    int fd = dup(store_memory_descriptor(first, &subjects));
    assert_int_equal(subjects, 60);
    assert_null(store_memory_open(fd, 600));
    struct store_memory *second = store_memory_open(fd, 60);
    assert_non_null(second);
    uint32_t life = store_memory_begin_life(first, 0);
    pid_t living = fork_charging(first, tally, 1000);
    struct rng rng;
    rng_seed(&rng);
    for (unsigned kill_number = 0; kill_number < KILLS; kill_number++) {
        uint64_t until = atomic_load(&tally->rounds) + 1 + rng_below(&rng, 2 * ROUNDS_A_KID);
        assert_true(store_memory_begin_life(second, life) > life);
        pid_t child = fork_charging(second, tally, kill_number + 1);
        while (atomic_load(&tally->rounds) < until)
            sched_yield();
        kill_child(child);
        if (kill_number % 2 != 0) /* as an upgrade that came to nothing */
            store_memory_outlive(first, life);
    }
    kill_child(living);
    (void)store_memory_begin_life(second, 0);
    const uint32_t in_the_air = (KILLS + 1) * THREADS;
    for (unsigned w = 0; w < 3; w++) {
        assert_true(used_of(second, &wide, w) >= tally->wide);
        assert_true(used_of(second, &wide, w) <= tally->wide + in_the_air);
    }
    assert_true(used_of(second, &tight, 0) >= tally->tight);
    assert_true(used_of(second, &tight, 0) <= tally->tight + in_the_air);
    assert_true(used_of(second, &tight, 0) <= TIGHT_LIMIT);
    assert_int_equal(tally->over, 0);
    store_memory_free(first);
    store_memory_free(second);
    munmap(tally, sizeof(*tally));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_kill_beside_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
