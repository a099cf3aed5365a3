/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_slots - slots of one process: never more than the limit, from any thread, in a full table too, and free
 * when they are given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "lease/lease_slots.h"
#include "store/store_testing.h"

static const struct quota QUOTA = {.name = {"con", 3}, .id = {1}, .in_flight = 3};
static const struct quota OTHER = {.name = {"other", 5}, .id = {2}, .in_flight = 3};

static struct quota_slot slot_of(const struct quota *quota, uint64_t subject)
{
    struct quota_slot slot = {.quota = quota};
    testing_key(slot.key, quota->id[0], subject);
    return slot;
}

static void test_steps(void **state)
{
    /* what is done, the subject, its limit -> where it is counted, refused, used */
    static const struct {
        bool gives_back;
        uint64_t subject;
        uint32_t limit;
        enum lease_slots_place place;
        bool is_refused;
        uint32_t used;
    } rows[] = {
        {false, 1, 2, LEASE_SLOTS_SUBJECT, false, 1},
        {false, 1, 2, LEASE_SLOTS_SUBJECT, false, 2},
        {false, 1, 2, LEASE_SLOTS_NOWHERE, true, 2},
        {false, 2, 2, LEASE_SLOTS_SUBJECT, false, 1}, /* another subject */
        {false, 1, 3, LEASE_SLOTS_SUBJECT, false, 3}, /* a limit that was raised */
        {false, 1, 1, LEASE_SLOTS_NOWHERE, true, 3},  /* and one that was lowered */
        {true, 1, 0, LEASE_SLOTS_SUBJECT, false, 0},
        {false, 1, 2, LEASE_SLOTS_NOWHERE, true, 2},
        {true, 1, 0, LEASE_SLOTS_SUBJECT, false, 0},
        {false, 1, 2, LEASE_SLOTS_SUBJECT, false, 2},
        {false, 1, LEASE_SLOTS_ALL, LEASE_SLOTS_SUBJECT, false, 3}, /* uncounted */
        {false, 3, 0, LEASE_SLOTS_NOWHERE, true, 0},                /* a share of nothing */
        {true, 3, 0, LEASE_SLOTS_NOWHERE, false, 0},                /* of who has none: nothing */
        {true, 2, 0, LEASE_SLOTS_SUBJECT, false, 0},
        {false, 2, 1, LEASE_SLOTS_SUBJECT, false, 1},
    };
    struct lease_slots slots;
    (void)state;
    assert_int_equal(lease_slots_init(&slots, 100), ERR_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct quota_slot slot = slot_of(&QUOTA, rows[i].subject);
        if (rows[i].gives_back) {
            lease_slots_give_back(&slots, &slot, rows[i].place);
            continue;
        }
        assert_int_equal(lease_slots_take(&slots, &slot, rows[i].limit, T0_S), rows[i].place);
        assert_int_equal(slot.is_refused, rows[i].is_refused);
        assert_int_equal(slot.used, rows[i].used);
    }
    lease_slots_fini(&slots);
}

/* Newcomers to a full table share a bucket, which counts against everybody of its quota until it is empty. */
static void test_full(void **state)
{
    struct lease_slots slots;
    struct quota_slot held[2000];
    uint64_t newcomer = 0, second;
    unsigned count = 0;
    (void)state;
    assert_int_equal(lease_slots_init(&slots, 100), ERR_OK);
    for (uint64_t subject = 0; subject < 2000; subject++) {
        struct quota_slot slot = slot_of(&OTHER, subject);
        enum lease_slots_place place = lease_slots_take(&slots, &slot, 1, T0_S);
        if (place == LEASE_SLOTS_SUBJECT)
            held[count++] = slot;
        else if (newcomer == 0)
            newcomer = subject;
        if (place == LEASE_SLOTS_OVERFLOW) /* only the first fits */
            lease_slots_give_back(&slots, &slot, place);
    }
    assert_in_range(count, 100, 300);
    assert_int_not_equal(newcomer, 0);

    struct quota_slot first = slot_of(&QUOTA, newcomer);
    for (second = 5000;; second++) { /* two more that have no place */
        struct quota_slot slot = slot_of(&QUOTA, second);
        if (lease_slots_take(&slots, &slot, LEASE_SLOTS_ALL, T0_S) == LEASE_SLOTS_OVERFLOW)
            break;
    }
    enum lease_slots_place place = lease_slots_take(&slots, &first, 3, T0_S);
    if (place == LEASE_SLOTS_OVERFLOW) {
        assert_int_equal(first.used, 2);
        assert_int_equal(lease_slots_take(&slots, &first, 2, T0_S), LEASE_SLOTS_NOWHERE);
        assert_true(first.is_refused);
    }
    /* The table empties: whoever has a place by now begins with what the bucket holds. */
    for (unsigned i = 0; i < count; i++)
        lease_slots_give_back(&slots, &held[i], LEASE_SLOTS_SUBJECT);
    struct quota_slot own = slot_of(&QUOTA, second);
    assert_int_equal(lease_slots_take(&slots, &own, 2, T0_S + 2),
                     place == LEASE_SLOTS_OVERFLOW ? LEASE_SLOTS_NOWHERE : LEASE_SLOTS_SUBJECT);
    assert_int_equal(lease_slots_take(&slots, &own, 3, T0_S + 2), LEASE_SLOTS_SUBJECT);
    lease_slots_give_back(&slots, &own, LEASE_SLOTS_OVERFLOW);
    lease_slots_give_back(&slots, &own, LEASE_SLOTS_OVERFLOW);
    assert_int_equal(lease_slots_take(&slots, &own, 3, T0_S + 2), LEASE_SLOTS_SUBJECT);
    lease_slots_fini(&slots);
}

#define THREADS  4
#define SUBJECTS 300
#define TURNS    60000

struct crowd {
    struct lease_slots slots;
    atomic_int inside[SUBJECTS];
    atomic_uint refused, granted, overflowed, too_many, lost;
};

static void *run(void *arg)
{
    struct crowd *crowd = arg;
    uint64_t seed = (uint64_t)(uintptr_t)&seed;
    for (unsigned turn = 0; turn < TURNS; turn++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        uint64_t subject = (seed >> 33) % SUBJECTS;
        struct quota_slot slot = slot_of(&QUOTA, subject);
        enum lease_slots_place place = lease_slots_take(&crowd->slots, &slot, 2, T0_S + turn / 64);
        atomic_fetch_add(place == LEASE_SLOTS_NOWHERE ? &crowd->refused : &crowd->granted, 1);
        crowd->overflowed += place == LEASE_SLOTS_OVERFLOW;
        crowd->lost += place == LEASE_SLOTS_NOWHERE && !slot.is_refused;
        if (place == LEASE_SLOTS_NOWHERE)
            continue;
        if (atomic_fetch_add(&crowd->inside[subject], 1) >= 2)
            crowd->too_many++;
        if (turn % 16 == 0)
            sched_yield();
        atomic_fetch_sub(&crowd->inside[subject], 1);
        lease_slots_give_back(&crowd->slots, &slot, place);
    }
    return NULL;
}

/* Few cells, so that subjects go to the bucket and come back. */
static void test_threads(void **state)
{
    static struct crowd crowd;
    pthread_t threads[THREADS];
    struct quota_slot kept[200];
    unsigned kept_count = 0;
    (void)state;
    memset(&crowd, 0, sizeof(crowd));
    assert_int_equal(lease_slots_init(&crowd.slots, 1), ERR_OK);
    for (uint64_t subject = 0; subject < 200 && kept_count < 82; subject++) {
        struct quota_slot slot = slot_of(&OTHER, subject); /* all but a few are busy */
        if (lease_slots_take(&crowd.slots, &slot, 1, T0_S) == LEASE_SLOTS_SUBJECT)
            kept[kept_count++] = slot;
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, run, &crowd);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crowd.too_many, 0);
    assert_int_equal(crowd.lost, 0);
    assert_int_not_equal(crowd.granted, 0);
    assert_int_not_equal(crowd.overflowed, 0);
    for (unsigned i = 0; i < kept_count; i++)
        lease_slots_give_back(&crowd.slots, &kept[i], LEASE_SLOTS_SUBJECT);
    for (uint64_t subject = 0; subject < 20; subject++) { /* nothing was left behind */
        struct quota_slot slot = slot_of(&QUOTA, subject);
        assert_int_equal(lease_slots_take(&crowd.slots, &slot, 1, T0_S + 2000),
                         LEASE_SLOTS_SUBJECT);
        assert_int_equal(slot.used, 1);
    }
    lease_slots_fini(&crowd.slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
