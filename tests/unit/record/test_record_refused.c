/* SPDX-License-Identifier: Apache-2.0 */
/* test_record_refused.c - who is kept of those that were refused, and who gives way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "record/record_refused.h"

static const struct quota QUOTA = {
    .name = {"per-user", 8},
    .id = "quota-id-1",
    .limit_count = 2,
    .limits = {{60, 60, 1, QUOTA_MINUTE}, {1000, 18000, 5, QUOTA_HOUR}},
};

/* The row of the refusal that was kept as number `number`; NULL: it is gone. */
static const struct record_refused_row *row_of(const struct record_refused *refused,
                                               uint64_t number)
{
    for (unsigned i = 0; i < RECORD_REFUSED; i++) {
        if (refused->rows[i].wall_us != 0 && refused->rows[i].number == number)
            return &refused->rows[i];
    }
    return NULL;
}

static unsigned rows_of(const struct record_refused *refused)
{
    unsigned count = 0;
    for (unsigned i = 0; i < RECORD_REFUSED; i++)
        count += refused->rows[i].wall_us != 0;
    return count;
}

static void add(struct record_refused *refused, uint64_t wall_us, unsigned who, int window,
                const struct quota_decision *decision)
{
    uint8_t key[16] = {(uint8_t)who, (uint8_t)(who >> 8)};
    const struct record_refused_by by = {
        .quota = &QUOTA,
        .key = key,
        .limit = window < 0 ? NULL : &QUOTA.limits[window],
        .decision = decision,
        .route = SPAN("search"),
        .subject = SPAN("alice"),
        .kind = 3,
    };
    record_refused_add(refused, wall_us, &by);
}

static void test_what_is_kept(void **state)
{
    static const struct {
        int window; /* -1: slots */
        struct quota_decision decision;
        const char *text;
        uint32_t period_s, used;
    } rows[] = {
        {0, {.verdict = QUOTA_REFUSE, .limit = 60, .retry_after_s = 23}, "minute", 60, 60},
        {1, {.verdict = QUOTA_DEGRADED_REFUSE, .limit = 500}, "5 hour", 18000, 500},
        {0, {.verdict = QUOTA_REFUSE, .limit = 60, .remaining = 2}, "minute", 60, 58},
        {0, {.verdict = QUOTA_REFUSE, .limit = 60, .remaining = 90}, "minute", 60, 0}, /* a burst */
        {-1, {.verdict = QUOTA_REFUSE, .limit = 4, .retry_after_s = 1}, "", 0, 4},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct record_refused refused = {0};
        add(&refused, 7000000, 1, rows[i].window, &rows[i].decision);
        const struct record_refused_row *row = row_of(&refused, 1);
        assert_non_null(row);
        assert_int_equal(row->wall_us, 7000000);
        assert_int_equal(row->limit, rows[i].decision.limit);
        assert_int_equal(row->used, rows[i].used);
        assert_int_equal(row->retry_after_s, rows[i].decision.retry_after_s);
        assert_int_equal(row->period_s, rows[i].period_s);
        assert_int_equal(row->is_degraded, rows[i].decision.verdict == QUOTA_DEGRADED_REFUSE);
        assert_int_equal(row->kind, 3);
        assert_int_equal(row->window_len, strlen(rows[i].text));
        assert_memory_equal(row->window, rows[i].text, row->window_len);
        assert_int_equal(row->quota_len, 8);
        assert_memory_equal(row->quota, "per-user", 8);
        assert_int_equal(row->route_len, 6);
        assert_memory_equal(row->route, "search", 6);
        assert_int_equal(row->subject_len, 5);
        assert_memory_equal(row->subject, "alice", 5);
        assert_false(row->is_cut);
    }
}

static void test_one_row_for_each_subject_and_window(void **state)
{
    static const struct quota_decision decision = {.verdict = QUOTA_REFUSE, .limit = 60};
    struct record_refused refused = {0};
    (void)state;
    add(&refused, 1, 1, 0, &decision);
    add(&refused, 2, 2, 0, &decision);
    add(&refused, 3, 1, 1, &decision);
    add(&refused, 4, 1, 0, &decision);
    assert_int_equal(refused.count, 4);
    assert_int_equal(rows_of(&refused), 3);
    assert_null(row_of(&refused, 1));
    assert_int_equal(row_of(&refused, 4)->wall_us, 4);
    assert_int_equal(row_of(&refused, 3)->period_s, 18000);
}

static void test_the_one_that_was_silent_longest_gives_way(void **state)
{
    static const struct quota_decision decision = {.verdict = QUOTA_REFUSE, .limit = 60};
    struct record_refused refused = {0};
    (void)state;
    for (unsigned who = 1; who <= RECORD_REFUSED; who++)
        add(&refused, who, who, 0, &decision);
    add(&refused, 100, 1, 0, &decision); /* number RECORD_REFUSED + 1 */
    add(&refused, 101, 500, 0, &decision);
    assert_int_equal(rows_of(&refused), RECORD_REFUSED);
    assert_null(row_of(&refused, 2));
    assert_non_null(row_of(&refused, 3));
    assert_non_null(row_of(&refused, RECORD_REFUSED + 1));
    assert_non_null(row_of(&refused, RECORD_REFUSED + 2));
}

static void test_names_are_cut_between_characters(void **state)
{
    static const struct quota_decision decision = {.verdict = QUOTA_REFUSE, .limit = 1};
    static const uint8_t key[16] = {1};
    char name[RECORD_REFUSED_SUBJECT_MAX + 2];
    struct record_refused refused = {0};
    (void)state;
    memset(name, 'a', sizeof(name));
    memcpy(name + RECORD_REFUSED_SUBJECT_MAX - 1, "\xc3\xa9", 2);
    struct record_refused_by by = {
        .quota = &QUOTA,
        .key = key,
        .limit = &QUOTA.limits[0],
        .decision = &decision,
        .subject = {name, RECORD_REFUSED_SUBJECT_MAX + 1},
    };
    record_refused_add(&refused, 1, &by);
    assert_int_equal(refused.rows[0].subject_len, RECORD_REFUSED_SUBJECT_MAX - 1);
    assert_true(refused.rows[0].is_cut);
    by.subject.len = RECORD_REFUSED_SUBJECT_MAX - 1;
    record_refused_add(&refused, 2, &by);
    assert_int_equal(refused.rows[0].subject_len, RECORD_REFUSED_SUBJECT_MAX - 1);
    assert_false(refused.rows[0].is_cut);
}

static void test_a_flood_is_counted(void **state)
{
    struct record_refused refused = {0};
    unsigned may = 0;
    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        may += record_refused_may(&refused, 5000000 + i * 900);
    assert_int_equal(may, RECORD_REFUSED_PER_S);
    assert_int_equal(refused.skipped, 1000 - RECORD_REFUSED_PER_S);
    assert_true(record_refused_may(&refused, 6000000));
    /* Seldom ones are never passed over. */
    refused.skipped = 0;
    for (uint64_t i = 0; i < 100; i++)
        assert_true(record_refused_may(&refused, 7000000 + i * 40000));
    assert_int_equal(refused.skipped, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_one_row_for_each_subject_and_window),
        cmocka_unit_test(test_the_one_that_was_silent_longest_gives_way),
        cmocka_unit_test(test_names_are_cut_between_characters),
        cmocka_unit_test(test_a_flood_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
