/* SPDX-License-Identifier: Apache-2.0 */
/* store_notes.c - see store_notes.h. */
#include "store/store_notes.h"

#include <assert.h>

static uint64_t busy_until(const void *arg, struct store_cell *cell, uint64_t now_s)
{
    const struct store_notes *notes = arg;
    const struct store_note *note = store_cell_body(cell);
    if (note->len == 0 || note->until_s <= now_s)
        return 0;
    if (notes->is_whole || note->is_owed)
        return note->until_s;
    uint64_t idle_s = (uint64_t)note->used_s + STORE_NOTE_IDLE_S;
    return idle_s < note->until_s ? idle_s : note->until_s;
}

size_t store_notes_bytes(uint32_t count)
{
    return store_cells_bytes(count, sizeof(struct store_note));
}

void store_notes_init(struct store_notes *notes, void *memory, uint32_t count, bool is_whole)
{
    notes->is_whole = is_whole;
    store_cells_init(&notes->cells, memory, count, sizeof(struct store_note), busy_until, notes);
}

bool store_notes_attach(struct store_notes *notes, void *memory, uint32_t count, bool is_whole)
{
    notes->is_whole = is_whole;
    return store_cells_attach(&notes->cells, memory, count, sizeof(struct store_note), busy_until,
                              notes);
}

void store_notes_recover(struct store_notes *notes)
{
    store_cells_recover(&notes->cells);
}

struct store_note *store_notes_find(const struct store_notes *notes, const uint8_t key[16])
{
    struct store_cell *cell = store_cells_find_locked(&notes->cells, key);
    return cell == NULL ? NULL : store_cell_body(cell);
}

struct store_note *store_notes_take(const struct store_notes *notes, const uint8_t key[16],
                                    uint64_t now_s)
{
    struct store_cell *cell = store_cells_take(&notes->cells, key, now_s);
    return cell == NULL ? NULL : store_cell_body(cell);
}

void store_notes_leave(struct store_note *note)
{
    store_cell_unlock((struct store_cell *)(void *)note - 1);
}

struct store_note *store_notes_next(const struct store_notes *notes, uint64_t *position,
                                    uint8_t key[16])
{
    const struct store_cells *cells = &notes->cells;
    struct store_cell *cell;
    while ((cell = store_cells_next(cells, position)) != NULL) {
        store_cell_lock(cells, cell);
        if (store_cells_is_held(cells, cell)) {
            store_cell_key(cell, key);
            return store_cell_body(cell);
        }
        store_cell_unlock(cell);
    }
    return NULL;
}

void store_note_set(struct store_note *note, struct span text, uint64_t until_s, uint64_t mono_us)
{
    assert(text.len <= STORE_NOTE_TEXT);
    /* A child that is killed in here leaves nothing, not half of two texts. */
    note->len = 0;
    atomic_signal_fence(memory_order_seq_cst);
    note->until_s = until_s;
    note->told_at_us = mono_us;
    note->asked_at_us = 0;
    note->is_owed = false;
    if (text.len != 0)
        memcpy(note->text, text.ptr, text.len);
    atomic_signal_fence(memory_order_seq_cst);
    note->len = (uint8_t)text.len;
}
