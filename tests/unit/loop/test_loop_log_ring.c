/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop_log_ring.c - the ring alone: order, fullness, wrapping, kills and damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/base_rng.h"
#include "loop/loop_log.h"
#include "loop/loop_log_ring.h"

#define BYTES 4096u

struct fixture {
    struct loop_log_ring *ring;
    int wake_fd;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->wake_fd = eventfd(0, EFD_NONBLOCK);
    f->ring = aligned_alloc(64, (loop_log_ring_size(BYTES) + 63) / 64 * 64);
    loop_log_ring_init(f->ring, BYTES, f->wake_fd);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close(f->wake_fd);
    free(f->ring);
    free(f);
    return 0;
}

static bool put(struct loop_log_ring *ring, unsigned number, size_t len, size_t max)
{
    char *at = loop_log_begin(ring, max);
    if (at == NULL)
        return false;
    memset(at, 'a' + (int)(number % 26), len);
    if (len >= sizeof(number))
        memcpy(at, &number, sizeof(number));
    loop_log_commit(ring, len);
    return true;
}

static void expect(struct loop_log_ring *ring, unsigned number, size_t len)
{
    uint64_t at = ring->tail, head = ring->head;
    struct span line;
    assert_true(loop_log_ring_next(ring, &at, head, &line));
    assert_int_equal(line.len, len);
    if (len >= sizeof(number))
        assert_memory_equal(line.ptr, &number, sizeof(number));
    if (len > sizeof(number))
        assert_int_equal(line.ptr[len - 1], 'a' + (int)(number % 26));
    ring->tail = at;
}

static void expect_empty(struct loop_log_ring *ring)
{
    uint64_t at = ring->tail;
    struct span line;
    assert_false(loop_log_ring_next(ring, &at, ring->head, &line));
}

static void test_order(void **state)
{
    struct fixture *f = *state;
    static const size_t sizes[] = {0, 1, 7, 8, 9, 100, 1000};
    expect_empty(f->ring);
    for (unsigned i = 0; i < 7; i++)
        assert_true(put(f->ring, i, sizes[i], sizes[i]));
    for (unsigned i = 0; i < 7; i++)
        expect(f->ring, i, sizes[i]);
    expect_empty(f->ring);
}

static void test_more_is_asked_than_written(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 500; i++) {
        assert_true(put(f->ring, i, 30, 1500));
        expect(f->ring, i, 30);
    }
    assert_int_equal(f->ring->dropped, 0);
}

static void test_full_drops_and_counts(void **state)
{
    struct fixture *f = *state;
    unsigned count = 0;
    while (put(f->ring, count, 92, 92))
        count++;
    assert_in_range(count, BYTES / 104, BYTES / 100);
    assert_int_equal(f->ring->dropped, 1);
    assert_false(put(f->ring, 0, 92, 92));
    assert_int_equal(f->ring->dropped, 2);
    for (unsigned i = 0; i < count; i++)
        expect(f->ring, i, 92);
    expect_empty(f->ring);
    assert_true(put(f->ring, 7, 92, 92));
    expect(f->ring, 7, 92);
}

static void test_too_long_is_dropped_at_once(void **state)
{
    struct fixture *f = *state;
    assert_null(loop_log_begin(f->ring, BYTES));
    assert_null(loop_log_begin(f->ring, BYTES / 2));
    assert_non_null(loop_log_begin(f->ring, BYTES / 2 - 8));
    assert_int_equal(f->ring->dropped, 2);
}

static void test_begun_and_never_committed(void **state)
{
    struct fixture *f = *state;
    assert_true(put(f->ring, 1, 50, 50));
    char *at = loop_log_begin(f->ring, 60);
    memset(at, 0xff, 60); /* killed here */
    loop_log_ring_recover(f->ring);
    assert_int_equal(f->ring->left_until, f->ring->head);
    assert_true(put(f->ring, 2, 10, 10));
    expect(f->ring, 1, 50);
    expect(f->ring, 2, 10);
    expect_empty(f->ring);
    assert_int_equal(f->ring->dropped, 0);
}

/* Against a plain queue, with sizes that meet every alignment of the ring's end. */
static void test_random_against_a_queue(void **state)
{
    struct fixture *f = *state;
    struct rng rng = {{1, 2, 3, 4}};
    size_t lens[BYTES];
    unsigned first = 0, next = 0;
    for (unsigned turn = 0; turn < 200000; turn++) {
        size_t max = rng_below(&rng, 600), len = max == 0 ? 0 : rng_below(&rng, max + 1);
        if (rng_below(&rng, 2) == 0) {
            if (put(f->ring, next, len, max))
                lens[next++ % BYTES] = len;
        } else if (first < next) {
            expect(f->ring, first, lens[first % BYTES]);
            first++;
        } else {
            expect_empty(f->ring);
        }
    }
    assert_true(next > 50000);
}

static unsigned wakes(const struct fixture *f)
{
    uint64_t count = 0;
    return read(f->wake_fd, &count, sizeof(count)) == (ssize_t)sizeof(count) ? (unsigned)count : 0;
}

/* Each burst anew, not only the first one after the start. */
static void test_a_burst_wakes_once(void **state)
{
    struct fixture *f = *state;
    for (unsigned burst = 0; burst < 5; burst++) {
        for (unsigned i = 0; i < BYTES / 8 / 128; i++)
            assert_true(put(f->ring, i, 120, 120));
        assert_int_equal(wakes(f), 0);
        for (unsigned i = 0; i < 10; i++)
            assert_true(put(f->ring, i, 120, 120));
        assert_int_equal(wakes(f), 1);
        f->ring->tail = f->ring->head;
        loop_log_ring_rest(f->ring);
    }
}

/* It could not write what it was woken for: no wake-up for each further line. */
static void test_a_stalled_reader_is_left_alone(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 10; i++)
        assert_true(put(f->ring, i, 120, 120));
    assert_int_equal(wakes(f), 1);
    loop_log_ring_rest(f->ring);
    for (unsigned i = 0; i < 10; i++)
        assert_true(put(f->ring, i, 120, 120));
    assert_int_equal(wakes(f), 0);
}

static void test_damage_is_given_up(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name;
        uint64_t head, tail;
        uint32_t len; /* of the second record; 40 is sound */
        bool is_sound;
    } rows[] = {
        {"sound", 0, 0, 40, true},
        {"a length beyond the head", 0, 0, 4000, false},
        {"a length beyond the ring", 0, 0, UINT32_MAX - 1, false},
        {"a mark that leads beyond the head", 0, 0, UINT32_MAX, false},
        {"a head far ahead", 1 << 20, 0, 40, false},
        {"a tail ahead of the head", 0, 4096, 40, false},
        {"a crooked head", 3, 0, 40, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct loop_log_ring *ring = f->ring;
        loop_log_ring_init(ring, BYTES, f->wake_fd);
        assert_true(put(ring, 1, 40, 40));
        assert_true(put(ring, 2, 40, 40));
        memcpy(ring->data + 48, &rows[i].len, sizeof(rows[i].len));
        ring->head += rows[i].head;
        ring->tail += rows[i].tail;
        loop_log_ring_recover(ring);
        if (rows[i].is_sound != (ring->dropped == 0))
            fail_msg("%s", rows[i].name);
        if (!rows[i].is_sound)
            expect_empty(ring);
        ring->tail = ring->head;
        assert_true(put(ring, 3, 10, 10));
        expect(ring, 3, 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_is_asked_than_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_drops_and_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_long_is_dropped_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_begun_and_never_committed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_against_a_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_burst_wakes_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stalled_reader_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_is_given_up, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
