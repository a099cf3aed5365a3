/* SPDX-License-Identifier: Apache-2.0 */
/* store_notes.h - short texts that are known of keys: the tier of a member, the project of a token.  Takes: 16-byte
 * keys that are MACs, in memory that the caller gives (private, or shared over fork).  Gives: locked cells.  Bounded: a
 * newcomer to a full table has no cell.  What says that there is nothing may go at any time, so no flood of made-up keys
 * drives out what is known. */
#ifndef SLUICE_STORE_NOTES_H
#define SLUICE_STORE_NOTES_H

#include "base/base_span.h"
#include "store/store_cells.h"

#define STORE_NOTE_TEXT   64
#define STORE_NOTE_IDLE_S 300 /* what can be asked for again gives way to newcomers after so long */

/* The body of a cell; zeroed when new.  Thread: whoever holds the cell's lock. */
struct store_note {
    uint64_t until_s;     /* wall clock: the text holds until then */
    uint64_t told_at_us;  /* monotonic: when it was found out; 0: never yet */
    uint64_t asked_at_us; /* monotonic: somebody asks since; 0: nobody does */
    uint32_t used_s;      /* wall clock */
    bool is_owed;         /* the store of the fleet has not got it yet */
    uint8_t len;          /* 0: there is nothing */
    char text[STORE_NOTE_TEXT];
};

_Static_assert(sizeof(struct store_note) % 8 == 0, "store_cells wants whole words");

/* Owner: whoever embeds it; it may not be copied.  Thread: const but for store_notes_recover. */
struct store_notes {
    struct store_cells cells;
    bool is_whole; /* nobody else has what stands in here: nothing that holds is given up */
};

size_t store_notes_bytes(uint32_t count);
/* As store_cells_init. */
void store_notes_init(struct store_notes *notes, void *memory, uint32_t count, bool is_whole);
/* As store_cells_attach. */
bool store_notes_attach(struct store_notes *notes, void *memory, uint32_t count, bool is_whole);
/* As store_cells_recover. */
void store_notes_recover(struct store_notes *notes);

/* Find, or also make, the key's cell and lock it: unlock with store_notes_leave.  NULL: there is none. */
struct store_note *store_notes_find(const struct store_notes *notes, const uint8_t key[16]);
struct store_note *store_notes_take(const struct store_notes *notes, const uint8_t key[16],
                                    uint64_t now_s);
void store_notes_leave(struct store_note *note);

/* Walk all: begin with position 0, stop at NULL.  The cell is locked as above, and *key is what it holds. */
struct store_note *store_notes_next(const struct store_notes *notes, uint64_t *position,
                                    uint8_t key[16]);

/* What the key is found to be; an empty text: nothing.  The text has at most STORE_NOTE_TEXT bytes. */
void store_note_set(struct store_note *note, struct span text, uint64_t until_s, uint64_t mono_us);

#endif
