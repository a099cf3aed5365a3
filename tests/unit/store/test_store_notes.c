/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_notes - what is remembered of keys: bounded, and what is known is not driven out by what is made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/store_memory.h"
#include "store/store_notes.h"
#include "store/store_testing.h"

#define ROOM  1000
#define FLOOD 20000

struct table {
    struct store_notes notes;
    void *memory;
};

static void make_table(struct table *table, bool is_whole)
{
    size_t bytes = store_notes_bytes(ROOM);
    table->memory = aligned_alloc(STORE_CELLS_ALIGN, bytes);
    assert_non_null(table->memory);
    memset(table->memory, 0, bytes);
    store_notes_init(&table->notes, table->memory, ROOM, is_whole);
}

/* False: there is no room. */
static bool put(struct table *table, uint64_t subject, struct span text, uint64_t until_s,
                uint64_t now_s)
{
    uint8_t key[16];
    testing_key(key, 0, subject);
    struct store_note *note = store_notes_take(&table->notes, key, now_s);
    if (note == NULL)
        return false;
    store_note_set(note, text, until_s, 1);
    note->used_s = (uint32_t)now_s;
    store_notes_leave(note);
    return true;
}

static bool is_known(struct table *table, uint64_t subject, struct span text)
{
    uint8_t key[16];
    testing_key(key, 0, subject);
    struct store_note *note = store_notes_find(&table->notes, key);
    if (note == NULL)
        return false;
    bool is_same = span_eq((struct span){note->text, note->len}, text);
    store_notes_leave(note);
    return is_same;
}

static void test_keeps_texts(void **state)
{
    static const char text[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    struct table table;
    (void)state;
    make_table(&table, false);
    assert_false(is_known(&table, 1, SPAN_NONE));
    assert_true(put(&table, 1, SPAN(text), UINT64_MAX, 100));
    assert_true(put(&table, 2, SPAN_NONE, UINT64_MAX, 100));
    assert_true(is_known(&table, 1, SPAN(text)) && is_known(&table, 2, SPAN_NONE));
    assert_true(put(&table, 1, SPAN("pro"), UINT64_MAX, 100));
    assert_true(is_known(&table, 1, SPAN("pro")));
    free(table.memory);
}

static void test_strangers_drive_nobody_out(void **state)
{
    struct table table;
    (void)state;
    make_table(&table, false);
    for (uint64_t i = 0; i < ROOM / 2; i++)
        assert_true(put(&table, i, SPAN("pro"), UINT64_MAX, 100));
    for (uint64_t i = 0; i < FLOOD; i++)
        assert_true(put(&table, ROOM + i, SPAN_NONE, UINT64_MAX, 101));
    for (uint64_t i = 0; i < ROOM / 2; i++)
        assert_true(is_known(&table, i, SPAN("pro")));
    uint64_t max, count = store_cells_count(&table.notes.cells, &max);
    assert_true(count <= max && max < 2 * ROOM);
    free(table.memory);
}

/* Members who do not come any more make room; whoever comes keeps his. */
static void test_a_full_table(void **state)
{
    struct table table;
    (void)state;
    make_table(&table, false);
    unsigned kept = 0;
    for (uint64_t i = 0; i < FLOOD; i++)
        kept += put(&table, i, SPAN("pro"), UINT64_MAX, 100);
    uint64_t max;
    (void)store_cells_count(&table.notes.cells, &max);
    assert_true(kept >= ROOM && kept <= max);
    assert_false(put(&table, FLOOD, SPAN("pro"), UINT64_MAX, 100 + STORE_NOTE_IDLE_S - 1));
    assert_true(put(&table, FLOOD, SPAN("pro"), UINT64_MAX, 100 + STORE_NOTE_IDLE_S));
    free(table.memory);
}

/* Where nobody else knows it, and where the fleet has still to be told, it stays to its end. */
static void test_what_only_we_know_stays(void **state)
{
    struct table table;
    (void)state;
    for (unsigned is_whole = 0; is_whole < 2; is_whole++) {
        make_table(&table, is_whole);
        for (uint64_t i = 0; i < FLOOD; i++) {
            uint8_t key[16];
            testing_key(key, 0, i);
            struct store_note *note = store_notes_take(&table.notes, key, 100);
            if (note == NULL)
                continue;
            store_note_set(note, SPAN("p"), 5000, 1);
            note->is_owed = !is_whole;
            store_notes_leave(note);
        }
        assert_false(put(&table, FLOOD, SPAN("p"), 9000, 4999));
        assert_true(put(&table, FLOOD, SPAN("p"), 9000, 5000));
        free(table.memory);
    }
}

static void test_the_memory_store_has_tokens(void **state)
{
    struct store_memory *store = store_memory_new(16);
    uint8_t key[16];
    (void)state;
    assert_non_null(store);
    testing_key(key, 0, 7);
    struct store_note *note = store_notes_take(store_memory_tokens(store), key, 100);
    assert_non_null(note);
    store_note_set(note, SPAN("alpha"), 5000, 1);
    /* A child was killed while it held the lock: the next one has the token. */
    store_memory_recover(store);
    note = store_notes_find(store_memory_tokens(store), key);
    assert_non_null(note);
    assert_true(span_eq((struct span){note->text, note->len}, SPAN("alpha")));
    store_notes_leave(note);
    store_memory_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_texts),
        cmocka_unit_test(test_strangers_drive_nobody_out),
        cmocka_unit_test(test_a_full_table),
        cmocka_unit_test(test_what_only_we_know_stays),
        cmocka_unit_test(test_the_memory_store_has_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
