/* SPDX-License-Identifier: Apache-2.0 */
/* test_metrics_top.c - the promises of metrics_top.h, checked against exact counts: on streams as traffic has them and on those
 * that are made to break them; time; the full table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/metrics_top.h"

#define KEYS   20000
#define EVENTS 400000
#define NOW_US 1000

/* What was said, exactly. */
struct truth {
    struct metrics_top *top;
    uint32_t admitted[KEYS], refused[KEYS];
    uint64_t seen;
};

static void make_key(uint8_t key[METRICS_TOP_KEY_BYTES], uint32_t number)
{
    /* As a keyed hash: all bits differ. */
    uint64_t x = (number + 1) * UINT64_C(0x9e3779b97f4a7c15), y;
    x ^= x >> 29;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    y = x ^ x >> 32;
    memcpy(key, &y, 8);
    y = x * UINT64_C(0x94d049bb133111eb) + number;
    memcpy(key + 8, &y, 8);
}

static void say(struct truth *truth, uint32_t number, bool is_refused, uint64_t now_us)
{
    uint8_t key[METRICS_TOP_KEY_BYTES];
    char text[16];
    int len = snprintf(text, sizeof(text), "s%u", (unsigned)number);
    make_key(key, number);
    if (!metrics_top_count(truth->top, key, is_refused, now_us))
        metrics_top_admit(truth->top, key, is_refused, (struct span){text, (size_t)len}, 7, now_us);
    truth->admitted[number] += !is_refused;
    truth->refused[number] += is_refused;
    truth->seen++;
}

static const struct metrics_top_row *find(const struct metrics_top_pane *pane, uint32_t number)
{
    uint8_t key[METRICS_TOP_KEY_BYTES];
    make_key(key, number);
    for (unsigned i = 0; i < pane->count; i++) {
        if (memcmp(pane->rows[i].key, key, sizeof(key)) == 0)
            return &pane->rows[i];
    }
    return NULL;
}

/* Every promise of the header, of every key. */
static void check(const struct truth *truth)
{
    const struct metrics_top_pane *pane = &truth->top->panes[truth->top->now];
    const uint64_t most = truth->seen / METRICS_TOP_KEYS;
    uint64_t weights = 0;
    uint32_t least = UINT32_MAX;
    assert_int_equal(pane->seen, truth->seen);
    for (unsigned i = 0; i < pane->count; i++) {
        const struct metrics_top_row *row = &pane->rows[i];
        assert_int_equal(pane->weights[i], row->admitted + row->refused + row->missing);
        weights += pane->weights[i];
        least = pane->weights[i] < least ? pane->weights[i] : least;
    }
    assert_int_equal(weights, truth->seen);
    assert_true(pane->least <= least);
    assert_true(metrics_top_floor(pane) <= most);
    for (uint32_t k = 0; k < KEYS; k++) {
        const uint32_t exact = truth->admitted[k] + truth->refused[k];
        const struct metrics_top_row *row = find(pane, k);
        if (row == NULL) {
            assert_true(exact <= least && exact <= most);
            continue;
        }
        assert_true(row->missing <= most);
        assert_true(row->admitted <= truth->admitted[k] && row->refused <= truth->refused[k]);
        assert_true(exact <= row->admitted + row->refused + row->missing);
    }
}

static int set_up(void **state)
{
    struct truth *truth = calloc(1, sizeof(*truth));
    if (truth == NULL)
        return 1;
    truth->top = metrics_top_new();
    *state = truth;
    return truth->top == NULL;
}

static int tear_down(void **state)
{
    struct truth *truth = *state;
    metrics_top_free(truth->top);
    free(truth);
    return 0;
}

/* Key k comes with a weight of 1 / (k + 1): by bisection in the sums of these. */
static void test_zipf(void **state)
{
    struct truth *truth = *state;
    static double sums[KEYS];
    uint64_t random = 42;
    for (unsigned k = 0; k < KEYS; k++)
        sums[k] = (k == 0 ? 0 : sums[k - 1]) + 1.0 / (k + 1);
    for (unsigned i = 0; i < EVENTS; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        double at = (double)(random >> 11) / 9007199254740992.0 * sums[KEYS - 1];
        unsigned low = 0, high = KEYS - 1;
        while (low < high) {
            unsigned middle = (low + high) / 2;
            if (sums[middle] < at)
                low = middle + 1;
            else
                high = middle;
        }
        say(truth, low, i % 3 == 0, NOW_US);
    }
    check(truth);
    const struct metrics_top_pane *pane = &truth->top->panes[truth->top->now];
    for (uint32_t k = 0; k < 10; k++) /* they never left: their counts are exact */
        assert_int_equal(find(pane, k)->admitted, truth->admitted[k]);
}

/* All different, again and again in the same order: the worst case of any such table. */
static void test_round_robin(void **state)
{
    struct truth *truth = *state;
    for (unsigned i = 0; i < EVENTS; i++)
        say(truth, i % KEYS, false, NOW_US);
    check(truth);
    for (unsigned i = 0; i < EVENTS; i++) /* one key more than there are places */
        say(truth, i % (METRICS_TOP_KEYS + 1), true, NOW_US);
    check(truth);
}

/* One who hides between as many others as an attacker likes is found nevertheless. */
static void test_hides_in_a_flood(void **state)
{
    struct truth *truth = *state;
    for (unsigned i = 0; i < EVENTS; i++)
        say(truth, i % 200 == 0 ? 0 : 1 + i % (KEYS - 1), i % 200 == 0, NOW_US);
    check(truth);
    const struct metrics_top_pane *pane = &truth->top->panes[truth->top->now];
    assert_true(truth->refused[0] > truth->seen / METRICS_TOP_KEYS);
    assert_non_null(find(pane, 0));
}

/* A full table whose weights are far apart: the hand has to find the one that is least. */
static void test_least_leaves(void **state)
{
    struct truth *truth = *state;
    for (uint32_t k = 0; k < METRICS_TOP_KEYS; k++) {
        for (uint32_t n = 0; n < 1000 + (k != 77) * 500 + k; n++)
            say(truth, k, false, NOW_US);
    }
    const struct metrics_top_pane *pane = &truth->top->panes[truth->top->now];
    say(truth, KEYS - 1, true, NOW_US);
    assert_null(find(pane, 77));
    assert_int_equal(find(pane, KEYS - 1)->missing, 1077);
    assert_int_equal(find(pane, KEYS - 1)->refused, 1);
    assert_int_equal(find(pane, KEYS - 1)->admitted, 0);
    check(truth);
}

static unsigned counted(const struct metrics_top *top, uint32_t number)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < METRICS_TOP_PANES; i++) {
        const struct metrics_top_row *row = find(&top->panes[i], number);
        sum += row == NULL ? 0 : row->admitted + row->refused;
    }
    return sum;
}

static void test_panes(void **state)
{
    struct truth *truth = *state;
    const uint64_t pane_us = METRICS_TOP_PANE_US, begin_us = 5 * pane_us + 3;
    say(truth, 1, false, begin_us);
    say(truth, 1, true, begin_us + pane_us - 1);
    assert_int_equal(counted(truth->top, 1), 2);
    say(truth, 1, false, begin_us + pane_us); /* in the next one; the one before is still read */
    assert_int_equal(counted(truth->top, 1), 3);
    metrics_top_turn(truth->top, begin_us + 2 * pane_us - 1);
    assert_int_equal(counted(truth->top, 1), 3);
    metrics_top_turn(truth->top, begin_us + 2 * pane_us);
    assert_int_equal(counted(truth->top, 1), 1);
    metrics_top_turn(truth->top, begin_us + 3 * pane_us);
    assert_int_equal(counted(truth->top, 1), 0);
    say(truth, 2, false, begin_us + 3 * pane_us);
    metrics_top_turn(truth->top,
                     begin_us + 9 * pane_us); /* nobody came for long: nothing is left */
    assert_int_equal(counted(truth->top, 2), 0);
}

static void test_names(void **state)
{
    struct truth *truth = *state;
    uint8_t key[METRICS_TOP_KEY_BYTES] = {9};
    char text[METRICS_TOP_TEXT_MAX + 1];
    memset(text, 'x', sizeof(text));
    metrics_top_admit(truth->top, key, false, (struct span){text, METRICS_TOP_TEXT_MAX}, 3, NOW_US);
    const struct metrics_top_row *rows = truth->top->panes[truth->top->now].rows;
    assert_int_equal(rows[0].text_len, METRICS_TOP_TEXT_MAX);
    assert_false(rows[0].is_cut);
    assert_int_equal(rows[0].tag, 3);
    key[0] = 10;
    metrics_top_admit(truth->top, key, false, (struct span){text, sizeof(text)}, 3, NOW_US);
    assert_int_equal(rows[1].text_len, METRICS_TOP_TEXT_MAX);
    assert_true(rows[1].is_cut);
    key[0] = 11;
    metrics_top_admit(truth->top, key, true, SPAN_NONE, 3, NOW_US);
    assert_int_equal(rows[2].text_len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_zipf, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_round_robin, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hides_in_a_flood, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_least_leaves, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_panes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
