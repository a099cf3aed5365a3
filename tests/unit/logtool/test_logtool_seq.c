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
    logtool_seq_link(&seq);
    assert_int_equal(seq.boots[0].root, seq.boots[1].root);
    assert_int_not_equal(seq.boots[0].root, seq.boots[2].root);
    assert_int_equal(logtool_seq_gaps(&seq, &gap, 1, &missing), 1);
    assert_int_equal(missing, 2);
    assert_memory_equal(gap.boot->id, "b", 1);
    assert_int_equal(gap.from, 3);
    assert_int_equal(gap.to, 4);
    logtool_seq_fini(&seq);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_many_gaps),
        cmocka_unit_test(test_boots),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
