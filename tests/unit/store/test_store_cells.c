/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_cells - the table alone: finding, filling up, giving idle cells away, locks that outlive
 * their holder.  The body is one number: the second until which the cell is busy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/store_cells.h"
#include "store/store_testing.h"

struct body {
    _Atomic uint64_t busy_until_s, filler[4];
};

static uint64_t busy_until(const void *arg, struct store_cell *cell, uint64_t now_s)
{
    (void)arg;
    (void)now_s;
    return ((struct body *)store_cell_body(cell))->busy_until_s;
}

struct table {
    struct store_cells cells;
    void *memory;
};

static void make_table(struct table *table, uint32_t subjects)
{
    size_t bytes = store_cells_bytes(subjects, sizeof(struct body));
    table->memory = aligned_alloc(STORE_CELLS_ALIGN, bytes);
    assert_non_null(table->memory);
    memset(table->memory, 0, bytes);
    store_cells_init(&table->cells, table->memory, subjects, sizeof(struct body), busy_until, NULL);
}

static struct store_cell *make(struct table *table, uint64_t subject, uint64_t now_s)
{
    uint8_t key[16];
    testing_key(key, 0, subject);
    return store_cells_make(&table->cells, key, store_cells_hash(&table->cells, key), now_s);
}

static struct store_cell *find(struct table *table, uint64_t subject)
{
    uint8_t key[16];
    testing_key(key, 0, subject);
    return store_cells_find(&table->cells, key, store_cells_hash(&table->cells, key));
}

static void set_busy(struct store_cell *cell, uint64_t until_s)
{
    ((struct body *)store_cell_body(cell))->busy_until_s = until_s;
}

static void test_room_for_all(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 10, 100, 1000, 20000};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct table table;
        make_table(&table, sizes[s]);
        for (uint32_t i = 0; i < sizes[s]; i++) {
            assert_null(find(&table, i));
            struct store_cell *cell = make(&table, i, 100);
            assert_non_null(cell);
            assert_int_equal(cell->note, 0);
            set_busy(cell, 1000);
        }
        for (uint32_t i = 0; i < sizes[s]; i++) {
            assert_non_null(find(&table, i));
            assert_ptr_equal(find(&table, i), make(&table, i, 100));
        }
        uint64_t max;
        assert_int_equal(store_cells_count(&table.cells, &max), sizes[s]);
        assert_true(max >= sizes[s]);
        free(table.memory);
    }
}

static void test_found_and_locked(void **state)
{
    (void)state;
    struct table table;
    uint8_t here[16], not_here[16];
    make_table(&table, 100);
    testing_key(here, 0, 1);
    testing_key(not_here, 0, 2);
    struct store_cell *made = store_cells_take(&table.cells, here, 100);
    assert_non_null(made);
    store_cell_unlock(made);
    assert_null(store_cells_find_locked(&table.cells, not_here));
    assert_ptr_equal(store_cells_find_locked(&table.cells, here), made);
    assert_true(atomic_load(&made->lock) != 0);
    store_cell_unlock(made);
    assert_int_equal(store_cells_count(&table.cells, &(uint64_t){0}), 1);
    free(table.memory);
}

/* Every cell busy: newcomers are refused, and nobody is forgotten.  Then one becomes idle: exactly that
 * one goes, to a newcomer whose block it is in. */
static void test_full(void **state)
{
    (void)state;
    struct table table;
    make_table(&table, 100);
    uint64_t max, subjects = 0, kept = 0;
    store_cells_count(&table.cells, &max);
    for (uint64_t i = 0; i < 20 * max; i++) {
        struct store_cell *cell = make(&table, i, 100);
        if (cell == NULL)
            continue;
        set_busy(cell, 1000);
        subjects++;
    }
    assert_int_equal(subjects, max);
    assert_int_equal(store_cells_count(&table.cells, NULL), max);
    for (uint64_t i = 0; i < 20 * max; i++)
        kept += find(&table, i) != NULL;
    assert_int_equal(kept, max);

    uint64_t idle = 0;
    while (find(&table, idle) == NULL)
        idle++;
    struct store_cell *freed = find(&table, idle);
    set_busy(freed, 999);
    for (uint64_t i = 0; i < 1000; i++)
        assert_null(make(&table, 1000000 + i, 998)); /* not before it is over */
    bool is_given = false;
    for (uint64_t i = 0; i < 1000 && !is_given; i++) {
        struct store_cell *cell = make(&table, 1000000 + i, 999);
        is_given = cell != NULL;
        if (is_given)
            assert_ptr_equal(cell, freed);
    }
    assert_true(is_given);
    assert_null(find(&table, idle));
    assert_int_equal(((struct body *)store_cell_body(freed))->busy_until_s, 0);
    free(table.memory);
}

/* Busy until 2099 because the clock was wrong: the table does not believe it for more than a minute. */
static void test_look_ahead_is_bounded(void **state)
{
    (void)state;
    struct table table;
    make_table(&table, 1);
    uint64_t max;
    store_cells_count(&table.cells, &max);
    struct store_cell *cells[1000];
    unsigned count = 0;
    for (uint64_t i = 0; i < 100 * max; i++) {
        struct store_cell *cell = make(&table, i, 4000000000);
        if (cell != NULL)
            set_busy(cells[count++] = cell, 4000000100);
    }
    assert_int_equal(count, max);
    for (uint64_t i = 0; i < 1000; i++)
        assert_null(make(&table, 1000000 + i, 4000000000));
    for (unsigned i = 0; i < count; i++)
        set_busy(cells[i], 150);
    assert_non_null(make(&table, 5000000, 160)); /* the clock is right again */
    free(table.memory);
}

static void test_walk(void **state)
{
    (void)state;
    struct table table;
    make_table(&table, 500);
    bool seen[500] = {false};
    for (uint64_t i = 0; i < 500; i++)
        set_busy(make(&table, i, 100), i);
    uint64_t position = 0;
    struct store_cell *cell;
    unsigned count = 0;
    while ((cell = store_cells_next(&table.cells, &position)) != NULL) {
        uint64_t i = ((struct body *)store_cell_body(cell))->busy_until_s;
        uint8_t key[16], want[16];
        store_cell_key(cell, key);
        testing_key(want, 0, i);
        assert_memory_equal(key, want, 16);
        assert_true(store_cells_is_held(&table.cells, cell));
        assert_false(seen[i]);
        seen[i] = true;
        count++;
    }
    assert_int_equal(count, 500);
    assert_null(store_cells_next(&table.cells, &position));
    free(table.memory);
}

/* A child dies with a cell and its block locked; the next generation goes on at once. */
static void test_recover(void **state)
{
    (void)state;
    struct table table;
    make_table(&table, 10);
    uint8_t key[16];
    testing_key(key, 0, 1);
    struct store_cell *cell = store_cells_take(&table.cells, key, 100);
    assert_non_null(cell);
    assert_int_equal(cell->lock, 1);
    for (unsigned generation = 2; generation < 5; generation++) {
        store_cells_recover(&table.cells);
        assert_ptr_equal(store_cells_take(&table.cells, key, 100), cell);
        assert_int_equal(cell->lock, generation);
    }
    store_cell_unlock(cell);
    assert_int_equal(cell->lock, 0);
    free(table.memory);
}

static void test_forgotten_time(void **state)
{
    (void)state;
    struct table table;
    make_table(&table, 10);
    assert_int_equal(store_cells_now(&table.cells, 500), 500);
    store_cells_forgot(&table.cells, 520);
    assert_int_equal(store_cells_now(&table.cells, 519), 520);
    assert_int_equal(store_cells_now(&table.cells, 460), 520);
    assert_int_equal(store_cells_now(&table.cells, 459), 459); /* a real step: the clock wins */
    assert_int_equal(store_cells_now(&table.cells, 521), 521);
    store_cells_forgot(&table.cells, 510); /* a thread behind */
    assert_int_equal(store_cells_now(&table.cells, 515), 520);
    store_cells_forgot(&table.cells, 400); /* set back */
    assert_int_equal(store_cells_now(&table.cells, 515), 515);
    assert_int_equal(store_cells_now(&table.cells, 390), 400);
    free(table.memory);
}

/* Keys that differ in few bits, or that sit in one half only, spread as well as any. */
static void test_poor_keys(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) {
        struct table table;
        make_table(&table, 2000);
        for (uint64_t i = 0; i < 2000; i++) {
            uint64_t words[2] = {kind == 1 ? 0 : i, kind == 0 ? 0 : i << (kind == 2 ? 50 : 0)};
            uint8_t key[16];
            memcpy(key, words, sizeof(words));
            struct store_cell *cell = store_cells_take(&table.cells, key, 100);
            assert_non_null(cell);
            set_busy(cell, 1000);
            store_cell_unlock(cell);
        }
        assert_int_equal(store_cells_count(&table.cells, NULL), 2000);
        free(table.memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room_for_all),   cmocka_unit_test(test_found_and_locked),
        cmocka_unit_test(test_full),           cmocka_unit_test(test_look_ahead_is_bounded),
        cmocka_unit_test(test_walk),           cmocka_unit_test(test_recover),
        cmocka_unit_test(test_forgotten_time), cmocka_unit_test(test_poor_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
