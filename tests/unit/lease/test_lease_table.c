/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_table - the bounded table: newcomers when it is full, cells held together, what is given up
 * and what never is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lease/lease_table.h"
#include "store/store_testing.h"

static const struct quota FIRST = {.id = {1}, .limit_count = 1, .limits = {HOUR(10)}};
static const struct quota SECOND_QUOTA = {.id = {2}, .limit_count = 1, .limits = {HOUR(10)}};

/* Every cell that can be had gets something that was only seen, or is owed. */
static unsigned fill(struct lease_table *table, bool is_owed)
{
    unsigned taken = 0;
    for (uint64_t subject = 0; subject < 5000; subject++) {
        uint8_t key[16];
        testing_key(key, 1, subject);
        struct store_cell *held = lease_table_take(table, key, T0_S);
        if (held == NULL)
            continue;
        struct lease_cell *cell = store_cell_body(held);
        lease_cell_settle(cell, &FIRST, T0_S);
        cell->windows[0].seen = 1;
        cell->windows[0].local = is_owed;
        store_cell_unlock(held);
        taken++;
    }
    return taken;
}

static bool is_full_at(struct lease_table *table, uint64_t now_s)
{
    uint8_t key[16];
    testing_key(key, 9, now_s);
    struct store_cell *held = lease_table_take(table, key, now_s);
    if (held != NULL)
        store_cell_unlock(held);
    return held == NULL;
}

static void test_full(void **state)
{
    struct lease_table table;
    (void)state;
    for (unsigned is_owed = 0; is_owed < 2; is_owed++) {
        assert_int_equal(lease_table_init(&table, 100), ERR_OK);
        assert_in_range(fill(&table, is_owed), 100, 300);
        assert_true(is_full_at(&table, T0_S + 1));
        atomic_store(&table.is_away, true);
        assert_true(is_full_at(&table, T0_S + LEASE_IDLE_S + 100));
        atomic_store(&table.is_away, false); /* what was only seen may be forgotten */
        assert_int_equal(is_full_at(&table, T0_S + LEASE_IDLE_S + 200), is_owed);
        assert_false(is_full_at(&table, T0_S + 3600 + 70));
        lease_table_fini(&table);
    }
}

/* Charges of one request: three subjects of a full table, two of one quota, one that has a cell, the
 * same one again, and one that is not wanted. */
static void test_hold(void **state)
{
    struct lease_table table;
    struct lease_held held[QUOTA_MAX_PER_ROUTE];
    uint8_t held_of[QUOTA_MAX_PER_ROUTE];
    struct quota_charge charges[] = {
        testing_charge(&FIRST, 70001, 1),    testing_charge(&FIRST, 70002, 2),
        testing_charge(&SECOND_QUOTA, 1, 4), testing_charge(&FIRST, 0, 8),
        testing_charge(&FIRST, 0, 16),       testing_charge(&FIRST, 3, 32),
    };
    const bool wanted[] = {true, true, true, true, true, false};
    (void)state;
    assert_int_equal(lease_table_init(&table, 100), ERR_OK);
    fill(&table, true);
    for (unsigned i = 0; i < 3; i++) {
        unsigned count = lease_table_hold(&table, charges, 6, wanted, true, T0_S, held, held_of);
        assert_int_equal(count, 3);
        assert_int_equal(held_of[0], held_of[1]);
        assert_int_not_equal(held_of[0], held_of[2]);
        assert_int_equal(held_of[3], held_of[4]);
        assert_int_equal(held[held_of[0]].cost, 3);
        assert_int_equal(held[held_of[2]].cost, 4);
        assert_int_equal(held[held_of[3]].cost, 24);
        assert_true(held[held_of[0]].is_overflow && held[held_of[2]].is_overflow);
        assert_false(held[held_of[3]].is_overflow);
        lease_table_let_go(held, count);
    }
    lease_table_fini(&table);
}

static void test_find(void **state)
{
    struct lease_table table;
    uint8_t key[16];
    (void)state;
    assert_int_equal(lease_table_init(&table, 100), ERR_OK);
    testing_key(key, 1, 1);
    assert_null(lease_table_find(&table, key));
    struct store_cell *held = lease_table_take(&table, key, T0_S);
    assert_non_null(held);
    store_cell_unlock(held);
    assert_ptr_equal(lease_table_find(&table, key), held);
    store_cell_unlock(held);
    lease_table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
