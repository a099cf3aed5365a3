/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_threads - four threads on one store: exact counts over overlapping sets of quotas, no refusal
 * that a serial order would not give, and a full table under clocks that disagree; and who reads while another
 * writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/base_rng.h"
#include "store/store_memory.h"
#include "store/store_testing.h"
#include "store/store_windows.h"

#define THREADS 4

struct job {
    struct store_memory *store;
    const struct quota *quotas;
    struct rng rng;
    unsigned index, rounds, failures;
    /* exact counts: what this thread was granted of each quota, and the sets that were refused */
    uint64_t granted[4];
    bool refused[16][3]; /* [set of quotas][cost - 1] */
    /* full table */
    _Atomic uint64_t *clock_s;        /* and what each thread takes it for */
    _Atomic uint32_t (*admitted)[64]; /* [subject][window] */
    pthread_barrier_t *barrier;
};

static void run(struct job jobs[THREADS], void *(*body)(void *))
{
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, body, &jobs[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void *hammer(void *arg)
{
    struct job *job = arg;
    for (unsigned round = 0; round < job->rounds; round++) {
        unsigned set = 1 + (unsigned)rng_below(&job->rng, 15), count = 0;
        uint32_t cost = 1 + (uint32_t)rng_below(&job->rng, 3);
        struct quota_charge charges[4];
        unsigned first = (unsigned)rng_below(&job->rng, 4);
        for (unsigned i = 0; i < 4; i++) {
            unsigned q = (first + i) % 4;
            if (set & 1U << q)
                charges[count++] = testing_charge(&job->quotas[q], 7, cost);
        }
        enum store_answer answer = store_memory_charge(job->store, charges, count, US(T0_S), NULL);
        for (unsigned i = 0; i < count; i++) {
            if (answer == STORE_CHARGED)
                job->granted[charges[i].quota->id[0] - 1] += cost;
            job->failures += charges[i].is_charged != (answer == STORE_CHARGED);
            job->failures += charges[i].readings[0].used > charges[i].readings[0].limit;
        }
        if (answer == STORE_REFUSED)
            job->refused[set][cost - 1] = true;
    }
    return NULL;
}

static void test_exact_counts(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        struct store_memory *store = store_memory_new(100);
        assert_non_null(store);
        const struct quota quotas[4] = {
            {.id = {1}, .limit_count = 1, .limits = {HOUR(20000)}},
            {.id = {2}, .limit_count = 2, .limits = {DAY(15001), HOUR(15000)}},
            {.id = {3}, .limit_count = 1, .limits = {DAY(10007)}},
            {.id = {4}, .limit_count = 3, .limits = {DAY(9000000), HOUR(30000), MINUTE(30001)}},
        };
        static const uint32_t limits[4] = {20000, 15000, 10007, 30000};
        static struct job jobs[THREADS];
        memset(jobs, 0, sizeof(jobs));
        for (unsigned i = 0; i < THREADS; i++) {
            jobs[i].store = store;
            jobs[i].quotas = quotas;
            jobs[i].rng = (struct rng){{round + 1, i, 3, 4}};
            jobs[i].rounds = 12000;
        }
        run(jobs, hammer);

        uint64_t used[4] = {0};
        for (unsigned i = 0; i < THREADS; i++) {
            assert_int_equal(jobs[i].failures, 0);
            for (unsigned q = 0; q < 4; q++)
                used[q] += jobs[i].granted[q];
        }
        for (unsigned q = 0; q < 4; q++) {
            struct quota_charge charge = testing_charge(&quotas[q], 7, UINT32_MAX);
            assert_int_equal(store_memory_charge(store, &charge, 1, US(T0_S), NULL), STORE_REFUSED);
            for (unsigned w = 0; w < quotas[q].limit_count; w++)
                assert_int_equal(charge.readings[w].used, used[q]);
            assert_true(used[q] <= limits[q]);
        }
        /* Counts only rise, so what was rightly refused once is refused at the end. */
        for (unsigned set = 1; set < 16; set++) {
            for (unsigned c = 0; c < 3; c++) {
                bool was_refused = false, is_full = false;
                for (unsigned i = 0; i < THREADS; i++)
                    was_refused |= jobs[i].refused[set][c];
                for (unsigned q = 0; q < 4; q++)
                    is_full |= (set & 1U << q) != 0 && used[q] + c + 1 > limits[q];
                assert_true(!was_refused || is_full);
            }
        }
        store_memory_free(store);
    }
}

#define CROWD        300 /* subjects; the table has 84 cells */
#define CROWD_LIMIT  3
#define CROWD_LIMIT5 5

/* The clock goes on only while no thread is more than 30 s behind: a machine that is slow for a minute
 * is another test. */
static void advance(_Atomic uint64_t clocks_s[1 + THREADS], uint64_t by_s)
{
    uint64_t now_s = atomic_load(&clocks_s[0]);
    for (unsigned i = 1; i <= THREADS; i++) {
        if (atomic_load(&clocks_s[i]) + 30 < now_s)
            return;
    }
    (void)atomic_compare_exchange_strong(&clocks_s[0], &now_s, now_s + by_s);
}

/* Threads differ by some seconds about the time, and it goes on all the while: cells are given away,
 * overflow buckets used and left, windows begun early by one and late by another. */
static void *crowd(void *arg)
{
    struct job *job = arg;
    for (unsigned round = 0; round < job->rounds; round++) {
        if (rng_below(&job->rng, 400) == 0)
            advance(job->clock_s, 1 + rng_below(&job->rng, 9));
        uint64_t now_s = atomic_load(job->clock_s) - rng_below(&job->rng, 6);
        atomic_store(&job->clock_s[1 + job->index], now_s);
        unsigned subject = (unsigned)rng_below(&job->rng, CROWD);
        struct quota_charge charges[2] = {testing_charge(&job->quotas[0], subject, 1),
                                          testing_charge(&job->quotas[1], subject, 1)};
        enum store_answer answer =
            store_memory_charge(job->store, charges, 1 + subject % 2, US(now_s), NULL);
        job->failures += answer != STORE_CHARGED && answer != STORE_REFUSED;
        if (answer != STORE_CHARGED)
            continue;
        uint32_t window = (uint32_t)(charges[0].readings[0].start_s - (T0_S - 60)) / 60 % 64;
        job->failures += atomic_fetch_add(&job->admitted[subject][window], 1) >= CROWD_LIMIT;
    }
    atomic_store(&job->clock_s[1 + job->index], UINT64_MAX - 30); /* waits for nobody */
    return NULL;
}

static void test_full_table_and_skewed_clocks(void **state)
{
    (void)state;
    static _Atomic uint32_t admitted[CROWD][64];
    for (unsigned round = 0; round < 4; round++) {
        struct store_memory *store = store_memory_new(0);
        assert_non_null(store);
        const struct quota quotas[2] = {
            {.id = {1}, .limit_count = 1, .limits = {MINUTE(CROWD_LIMIT)}},
            {.id = {2}, .limit_count = 1, .limits = {{CROWD_LIMIT5, 120, 2, QUOTA_MINUTE}}},
        };
        _Atomic uint64_t clocks_s[1 + THREADS] = {T0_S, T0_S, T0_S, T0_S, T0_S};
        static struct job jobs[THREADS];
        memset(jobs, 0, sizeof(jobs));
        memset(admitted, 0, sizeof(admitted));
        for (unsigned i = 0; i < THREADS; i++) {
            jobs[i].store = store;
            jobs[i].quotas = quotas;
            jobs[i].rng = (struct rng){{round + 10, i, 3, 4}};
            jobs[i].rounds = 30000;
            jobs[i].clock_s = clocks_s;
            jobs[i].index = i;
            jobs[i].admitted = admitted;
        }
        run(jobs, crowd);
        assert_true(clocks_s[0] < T0_S + 60 * 60);
        for (unsigned i = 0; i < THREADS; i++)
            assert_int_equal(jobs[i].failures, 0);
        store_memory_free(store);
    }
}

#define STEPS      1500
#define STEP_LIMIT 3

/* Every step the table is full for the threads that are a second behind, and all over for those ahead,
 * so that the same newcomer overflows with one and gets a cell of its own with the other. */
static void *on_the_brink(void *arg)
{
    struct job *job = arg;
    const struct quota filler = {.id = {1}, .limit_count = 1, .limits = {SECOND(100)}};
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t now_s = T0_S + UINT64_C(10) * step;
        struct quota_charge charge;
        for (unsigned i = 0; i < 50; i++)
            (void)testing_ask(job->store, &filler, ((uint64_t)step * THREADS + job->index) * 50 + i,
                              now_s, &charge);
        struct quota quota = {.limit_count = 1, .limits = {MINUTE(STEP_LIMIT)}};
        testing_key(quota.id, 2, step);
        pthread_barrier_wait(job->barrier);
        for (unsigned i = 0; i < STEP_LIMIT; i++) {
            charge = (struct quota_charge){.quota = &quota, .cost = 1};
            testing_key(charge.key, 3, step);
            if (store_memory_charge(job->store, &charge, 1, US(now_s + job->index % 2), NULL) ==
                STORE_CHARGED)
                atomic_fetch_add(&job->admitted[0][0], 1);
        }
        pthread_barrier_wait(job->barrier);
        /* Never more; and not less: 12 asked, and none of them lost its charge. */
        if (job->index == 0)
            job->failures += atomic_exchange(&job->admitted[0][0], 0) != STEP_LIMIT;
    }
    return NULL;
}

static void test_overflow_and_own_cell(void **state)
{
    (void)state;
    static _Atomic uint32_t admitted[1][64];
    pthread_barrier_t barrier;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    struct store_memory *store = store_memory_new(0);
    assert_non_null(store);
    static struct job jobs[THREADS];
    memset(jobs, 0, sizeof(jobs));
    for (unsigned i = 0; i < THREADS; i++)
        jobs[i] =
            (struct job){.store = store, .index = i, .admitted = admitted, .barrier = &barrier};
    run(jobs, on_the_brink);
    assert_int_equal(jobs[0].failures, 0);
    store_memory_free(store);
    pthread_barrier_destroy(&barrier);
}

/* All threads come with the same new subjects at once: each gets one cell. */
static void *newcomers(void *arg)
{
    struct job *job = arg;
    for (unsigned round = 0; round < job->rounds; round++) {
        struct quota_charge charge;
        enum store_answer answer = testing_ask(job->store, job->quotas, round, T0_S, &charge);
        job->failures += answer != STORE_CHARGED;
    }
    return NULL;
}

static void test_one_cell_each(void **state)
{
    (void)state;
    struct store_memory *store = store_memory_new(5000);
    assert_non_null(store);
    const struct quota quota = {.id = {1}, .limit_count = 1, .limits = {DAY(THREADS)}};
    static struct job jobs[THREADS];
    memset(jobs, 0, sizeof(jobs));
    for (unsigned i = 0; i < THREADS; i++)
        jobs[i] = (struct job){.store = store, .quotas = &quota, .rounds = 5000};
    run(jobs, newcomers);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(jobs[i].failures, 0);
    assert_int_equal(store_memory_subjects(store, NULL), 5000);
    for (uint64_t i = 0; i < 5000; i++) {
        struct quota_charge charge;
        assert_int_equal(testing_ask(store, &quota, i, T0_S, &charge), STORE_REFUSED);
        assert_int_equal(charge.readings[0].used, THREADS);
    }
    store_memory_free(store);
}

#define TURNS 10000000

struct turning {
    struct store_periods periods;
    struct store_windows windows;
    _Atomic bool is_over;
};

/* A window that passes on what it used, the one before in the first slot. */
static struct store_window turn(uint32_t number, enum quota_kind kind)
{
    uint32_t start_s = 60 * (number + (kind == QUOTA_KIND_COUNT));
    return (struct store_window){quota_code(60, kind), start_s, number};
}

static void *turn_on(void *arg)
{
    struct turning *turning = arg;
    for (uint32_t number = 2; number < TURNS; number++) {
        struct store_window before = turn(number, QUOTA_KIND_BEFORE);
        struct store_window count = turn(number, QUOTA_KIND_COUNT);
        store_windows_put(&turning->windows, 0, &before);
        store_windows_put(&turning->windows, 1, &count);
    }
    atomic_store(&turning->is_over, true);
    return NULL;
}

/* Who sees the count that has begun sees what was passed on, too. */
static void test_a_reader_misses_no_window(void **state)
{
    static struct turning turning;
    struct store_window before = turn(1, QUOTA_KIND_BEFORE), count = turn(1, QUOTA_KIND_COUNT);
    struct store_window seen[QUOTA_WINDOWS_MAX];
    unsigned missed = 0;
    pthread_t writer;
    (void)state;
    assert_true(store_windows_add(&turning.periods, &turning.windows, 0, &before, NULL));
    assert_true(store_windows_add(&turning.periods, &turning.windows, 0, &count, NULL));
    assert_int_equal(pthread_create(&writer, NULL, turn_on, &turning), 0);
    while (!atomic_load(&turning.is_over)) {
        if (store_windows_snapshot(&turning.periods, &turning.windows, 0, seen) != 2 ||
            seen[0].start_s + 60 < seen[1].start_s)
            missed++;
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(missed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_counts),
        cmocka_unit_test(test_full_table_and_skewed_clocks),
        cmocka_unit_test(test_overflow_and_own_cell),
        cmocka_unit_test(test_one_cell_each),
        cmocka_unit_test(test_a_reader_misses_no_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
