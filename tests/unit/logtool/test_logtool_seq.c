/* SPDX-License-Identifier: Apache-2.0 */
/* test_logtool_seq.c - gaps are what nobody has seen, in whatever order the numbers come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "logtool/logtool_seq.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool take(struct logtool_seq *seq, const char *boot, uint64_t number, const char *previous,
                 uint64_t previous_seq)
{
    struct logtool_line *line = calloc(1, sizeof(*line));
    unsigned at;
    bool is_new;
    assert_non_null(line);
    line->boot = span_of(boot);
    line->seq = number;
    if (previous != NULL) {
        line->event = SPAN("start");
        line->previous_boot = span_of(previous);
        line->previous_seq = previous_seq;
    }
    assert_int_equal(logtool_seq_take(seq, line, &at, &is_new), ERR_OK);
    free(line);
    return is_new;
}

static void test_orders(void **state)
{
    static const struct {
        uint64_t numbers[8];
        uint64_t gaps, missing, twice;
    } rows[] = {
        {{1, 2, 3}, 0, 0, 0},    {{5, 6, 7}, 0, 0, 0}, /* the begin was rotated away */
        {{3, 2, 1}, 0, 0, 0},    {{1, 3, 2}, 0, 0, 0},          {{1, 3}, 1, 1, 0},
        {{4, 5, 1, 2}, 1, 1, 0}, {{1, 2, 8, 9, 4, 5}, 2, 3, 0}, {{1, 9, 5, 5, 1, 9}, 2, 6, 3},
        {{1, 2, 3, 2}, 0, 0, 1}, {{2, 4, 6, 3, 5}, 0, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct logtool_seq seq = {0};
        struct logtool_gap gaps[4];
        uint64_t missing, twice = 0;
        for (unsigned k = 0; k < 8 && rows[i].numbers[k] != 0; k++)
            twice += !take(&seq, "a", rows[i].numbers[k], NULL, 0);
        assert_int_equal(logtool_seq_gaps(&seq, gaps, 4, &missing), rows[i].gaps);
        assert_int_equal(missing, rows[i].missing);
        assert_int_equal(twice, rows[i].twice);
        assert_int_equal(seq.duplicates, rows[i].twice);
        logtool_seq_fini(&seq);
    }
}

/* Numbers shuffled by a step: every one that was left out is a gap of its own. */
static void test_many_gaps(void **state)
{
    struct logtool_seq seq = {0};
    uint64_t missing;
    (void)state;
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t number = i * 1237 % 2000;
        if (number % 10 != 5)
            take(&seq, "a", number + 1, NULL, 0);
    }
    assert_int_equal(logtool_seq_gaps(&seq, NULL, 0, &missing), 200);
    assert_int_equal(missing, 200);
    logtool_seq_fini(&seq);
}

/* In any order, and told many times: what is new, and which gaps are left, is what a list of all numbers says. */
static void test_any_order(void **state)
{
    enum {
        NUMBERS = 5000
    };
    static bool has[NUMBERS + 2];
    uint32_t noise = 7;
    (void)state;
    for (unsigned round = 0; round < 6; round++) {
        struct logtool_seq seq = {0};
        uint64_t missing, gaps = 0, lost = 0, step = round % 3;
        unsigned lowest = NUMBERS, highest = 0;
        memset(has, 0, sizeof(has));
        for (unsigned i = 0; i < NUMBERS; i++) {
            noise = noise * 1664525 + 1013904223;
            /* downwards by two, upwards by two, or anywhere */
            unsigned number = step == 0   ? NUMBERS - 2 * i % NUMBERS
                              : step == 1 ? 1 + 2 * i % NUMBERS
                                          : 1 + (noise >> 8) % NUMBERS;
            assert_int_equal(take(&seq, "a", number, NULL, 0), !has[number]);
            has[number] = true;
            lowest = number < lowest ? number : lowest;
            highest = number > highest ? number : highest;
        }
        for (unsigned number = lowest; number <= highest; number++) {
            lost += !has[number];
            gaps += !has[number] && has[number - 1];
        }
        assert_int_equal(logtool_seq_gaps(&seq, NULL, 0, &missing), gaps);
        assert_int_equal(missing, lost);
        logtool_seq_fini(&seq);
    }
}

/* Numbers that the log itself calls dropped are missing where nothing was seen before them; in a gap they are counted once. */
static void test_dropped(void **state)
{
    static const struct {
        uint64_t before, number, lost, from, gaps, missing, told, apart;
    } rows[] = {
        {0, 500, 400, 100, 1, 400, 400, 0},
        {0, 500, 400, 99, 1, 400, 400, 0},
        {99, 500, 400, 100, 1, 400, 400, 0},
        {0, 500, 499, 1, 1, 499, 499, 0},
        {0, 1, 400, 100, 0, 0, 400, 400},
        {0, 500, 401, 100, 0, 0, 401, 401},
        {0, 500, 400, UINT64_MAX, 0, 0, 400, 400},
        {0, 500, 400, 0, 0, 0, 400, 400},
        {0, 500, 0, 100, 0, 0, 0, 0},
        {0, 500, UINT64_MAX, 100, 0, 0, 0, 0},
    };
    struct logtool_line *line = calloc(1, sizeof(*line));
    unsigned at;
    bool is_new;
    (void)state;
    assert_non_null(line);
    line->boot = SPAN("a");
    line->event = SPAN("dropped");
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct logtool_seq seq = {0};
        struct logtool_gap gap;
        uint64_t missing;
        if (rows[i].before != 0)
            take(&seq, "a", rows[i].before, NULL, 0);
        line->seq = rows[i].number;
        line->lost = rows[i].lost;
        line->from_seq = rows[i].from;
        for (unsigned twice = 0; twice < 2; twice++)
            assert_int_equal(logtool_seq_take(&seq, line, &at, &is_new), ERR_OK);
        assert_int_equal(logtool_seq_gaps(&seq, &gap, 1, &missing), rows[i].gaps);
        assert_int_equal(missing, rows[i].missing);
        assert_int_equal(seq.told_lost, rows[i].told);
        assert_int_equal(seq.told_apart, rows[i].apart);
        if (rows[i].gaps != 0)
            assert_int_equal(gap.from, rows[i].from);
        logtool_seq_fini(&seq);
    }
    free(line);
}

static void test_boots(void **state)
{
    struct logtool_seq seq = {0};
    struct logtool_gap gap;
    uint64_t missing;
    (void)state;
    take(&seq, "c", 1, "b", 4);
    take(&seq, "b", 1, "a", 9); /* nobody has given a */
    take(&seq, "b", 2, NULL, 0);
    take(&seq, "x", 1, NULL, 0);
    logtool_seq_link(&seq, false);
    assert_int_equal(seq.boots[0].root, seq.boots[1].root);
    assert_int_not_equal(seq.boots[0].root, seq.boots[2].root);
    assert_int_equal(logtool_seq_gaps(&seq, &gap, 1, &missing), 1);
    assert_int_equal(missing, 2);
    assert_memory_equal(gap.boot->id, "b", 1);
    assert_int_equal(gap.from, 3);
    assert_int_equal(gap.to, 4);
    logtool_seq_fini(&seq);
}

/* Who shares counters with whom does not depend on which line comes first. */
static void test_ties(void **state)
{
    static const struct {
        const char *event, *boot, *from, *previous;
    } lines[] = {
        {"start", "b", "a", ""},        {"takeover", "c", "b", ""},
        {"takeover", "d", "c", ""},     {"start", "e", "d", ""},
        {"start", "f", "e", "stopped"}, {"start", "g", "f", "killed"},
        {"takeover", "h", "g", ""},     {"takeover", "x", "nobody", ""},
        {"takeover", "y", "", ""},      {"takeover", "z", "a name that is too long", ""},
        {"start", "a", "", ""},
    };
    /* In the order of the lines' boots; the same letter: the same counters. */
    static const char *const want[2] = {"aaaafggxyza", "aaaaaggxyza"};
    struct logtool_line *line = calloc(1, sizeof(*line));
    (void)state;
    assert_non_null(line);
    for (unsigned turn = 0; turn < 4 * COUNT(lines); turn++) {
        struct logtool_seq seq = {0};
        const char *groups = want[turn % 2];
        unsigned at[COUNT(lines)];
        uint64_t missing;
        bool is_new;
        for (unsigned i = 0; i < COUNT(lines); i++) {
            unsigned k = turn % 4 < 2 ? (i + turn) % COUNT(lines)
                                      : COUNT(lines) - 1 - (i + turn) % COUNT(lines);
            line->boot = span_of(lines[k].boot);
            line->event = span_of(lines[k].event);
            bool is_start = span_eq(line->event, SPAN("start"));
            line->previous_boot = is_start ? span_of(lines[k].from) : (struct span){0};
            line->from_boot = is_start ? (struct span){0} : span_of(lines[k].from);
            line->previous = span_of(lines[k].previous);
            line->seq = line->previous_seq = 1;
            assert_int_equal(logtool_seq_take(&seq, line, &at[k], &is_new), ERR_OK);
        }
        logtool_seq_link(&seq, turn % 2 == 1);
        for (unsigned i = 0; i < COUNT(lines); i++)
            for (unsigned k = 0; k < i; k++)
                assert_int_equal(seq.boots[at[i]].root == seq.boots[at[k]].root,
                                 groups[i] == groups[k]);
        assert_int_equal(logtool_seq_gaps(&seq, NULL, 0, &missing), 0);
        logtool_seq_fini(&seq);
    }
    free(line);
}

static void test_limits(void **state)
{
    struct logtool_seq seq = {0};
    struct logtool_line *line = calloc(1, sizeof(*line));
    enum err err = ERR_OK;
    unsigned at, count = 0;
    char boot[16];
    bool is_new;
    (void)state;
    assert_non_null(line);
    line->boot = SPAN("a");
    for (uint64_t number = 1; err == ERR_OK; number += 2, count += err == ERR_OK) {
        line->seq = number;
        err = logtool_seq_take(&seq, line, &at, &is_new);
    }
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(count, LOGTOOL_RUNS_MAX);
    line->seq = 1;
    for (count = 1, err = ERR_OK; err == ERR_OK; count += err == ERR_OK) {
        snprintf(boot, sizeof(boot), "%u", count);
        line->boot = span_of(boot);
        err = logtool_seq_take(&seq, line, &at, &is_new);
    }
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(count, LOGTOOL_BOOTS_MAX);
    free(line);
    logtool_seq_fini(&seq);
}

/* All boots together have a bound, which is less than what each may have. */
static void test_limit_of_all(void **state)
{
    struct logtool_seq seq = {0};
    struct logtool_line *line = calloc(1, sizeof(*line));
    enum err err = ERR_OK;
    unsigned at, count = 0;
    char boot[16];
    bool is_new;
    (void)state;
    assert_non_null(line);
    for (uint64_t i = 0; err == ERR_OK; i++, count += err == ERR_OK) {
        snprintf(boot, sizeof(boot), "%u", (unsigned)(i % 20));
        line->boot = span_of(boot);
        line->seq = 1 + i / 20 * 2;
        err = logtool_seq_take(&seq, line, &at, &is_new);
    }
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(count, LOGTOOL_RUNS_ALL_MAX);
    free(line);
    logtool_seq_fini(&seq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),    cmocka_unit_test(test_many_gaps),
        cmocka_unit_test(test_any_order), cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_boots),     cmocka_unit_test(test_ties),
        cmocka_unit_test(test_limits),    cmocka_unit_test(test_limit_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
