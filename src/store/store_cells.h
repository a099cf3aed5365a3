/* SPDX-License-Identifier: Apache-2.0 */
/* store_cells.h - a bounded table of cells, found by a 16-byte key, in memory that the caller gives:
 * private, or shared over fork.  Takes: keys that are MACs (they are hashed once more under a secret
 * of the table, so even a client that knew them could not crowd one place).  Gives: a cell with a lock
 * and a body of the caller's.  Never: allocates, moves a cell, gives a busy cell to another key.
 *
 * A key has two blocks of 28 cells where it may live.  A newcomer takes a free cell, else one that the
 * caller's rule calls idle, else it is refused.  A block's tags are one cache line, so a look-up costs
 * one or two lines and the cell.
 *
 * Locks.  A lock word holds the generation of the child that took it.  store_cells_recover starts a
 * new generation; what an older one left locked is free, but for one that may live on beside it.  Lock order: blocks, then cells by rising
 * address; the holder of a cell's lock may call store_cells_find, but not _make and not _take.
 *
 * The plain way, for one cell at a time:
 *     cell = store_cells_take(cells, key, now_s);      NULL: the table is full
 *     ... store_cell_body(cell) ...
 *     store_cell_unlock(cell);
 */
#ifndef SLUICE_STORE_CELLS_H
#define SLUICE_STORE_CELLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/base_hash.h"

#define STORE_CELLS_WAYS  28 /* cells of a block */
#define STORE_CELLS_ALIGN 64 /* of the memory and of every block */

/* A cell; its body follows it.  Owner: the table.  Thread: key is read by any and written under block
 * and cell lock; note and body are the lock holder's (make their fields atomic where somebody reads
 * them without the lock). */
struct store_cell {
    _Atomic uint64_t key[2];
    _Atomic uint32_t lock; /* 0, or the generation that holds it */
    _Atomic uint32_t note; /* the caller's; 0 in a new cell */
};

/* Until when is this cell busy?  A time <= now_s: it may be given to another key.  Called with the
 * cell locked; may mend the body. */
typedef uint64_t (*store_cells_busy_fn)(const void *arg, struct store_cell *cell, uint64_t now_s);

struct store_cells_head;
struct store_cells_block;

/* The process's view of a table.  Holds pointers: it lives in private memory and is valid in every
 * forked child.  Const but for store_cells_recover.  Owner: whoever embeds it. */
struct store_cells {
    struct store_cells_head *head;
    struct store_cells_block *blocks;
    unsigned char *first; /* cell */
    uint64_t seed[2];
    uint32_t block_count;
    uint32_t cell_bytes; /* with the body */
    uint32_t generation;
    store_cells_busy_fn busy;
    const void *arg;
};

/* How many bytes a table takes in which `subjects` keys find a place: the room for them and a seventh
 * more, since the last cells are hard to reach.  body_bytes is a multiple of 8; 40 makes a cell one
 * cache line. */
size_t store_cells_bytes(uint32_t subjects, uint32_t body_bytes);

/* Make an empty table in memory that is zeroed, aligned to STORE_CELLS_ALIGN, and so large.  arg is
 * borrowed and handed to busy. */
void store_cells_init(struct store_cells *cells, void *memory, uint32_t subjects,
                      uint32_t body_bytes, store_cells_busy_fn busy, const void *arg);

/* As store_cells_init, of a table that another process has made so.  False: it is made otherwise. */
bool store_cells_attach(struct store_cells *cells, void *memory, uint32_t subjects,
                        uint32_t body_bytes, store_cells_busy_fn busy, const void *arg);

/* Begin a new generation: every lock that an earlier one holds is free.  A forked child calls it once,
 * before its threads run and after its predecessor is dead. */
void store_cells_recover(struct store_cells *cells);

/* The same in two steps, for several tables that share their generations: take a number, then enter it in each.
 * beside: an older generation whose threads still run, and whose locks hold; 0: there is none. */
uint32_t store_cells_number_life(const struct store_cells *cells);
void store_cells_enter(struct store_cells *cells, uint32_t life, uint32_t beside);
/* All other generations than this one are over, and so are their locks. */
void store_cells_outlive(const struct store_cells *cells, uint32_t life);

/* The key's place.  Compute it once per key and table. */
static inline uint64_t store_cells_hash(const struct store_cells *cells, const uint8_t key[16])
{
    uint64_t word[2];
    memcpy(word, key, sizeof(word));
    uint64_t mixed = hash_fold(word[0] ^ cells->seed[0], word[1] ^ cells->seed[1]);
    return hash_fold(mixed ^ cells->seed[1], word[0] + 0x9e3779b97f4a7c15U);
}

/* Ask the caches for the key's first block, ahead of store_cells_find. */
void store_cells_prefetch(const struct store_cells *cells, uint64_t hash);

/* The same for the cell itself, once the block is there. */
void store_cells_prefetch_cell(const struct store_cells *cells, uint64_t hash);

/* now_s, or the time at which a cell was last given to another key if that is a little later.  Threads read
 * their clocks at different moments, and clocks are set back: judge a locked cell by this time, else a
 * subject whose cell was reused one window later could begin the earlier window again. */
uint64_t store_cells_now(const struct store_cells *cells, uint64_t now_s);

/* What was over at now_s has been forgotten (cells that are given away note it themselves). */
void store_cells_forgot(const struct store_cells *cells, uint64_t now_s);

/* Without a lock.  The cell may go to another key until it is locked: ask store_cell_has then. */
struct store_cell *store_cells_find(const struct store_cells *cells, const uint8_t key[16],
                                    uint64_t hash);

/* Find, or make with note 0 and a zeroed body.  Not locked, so the same goes.  NULL: the key is new
 * and every cell it may live in is busy. */
struct store_cell *store_cells_make(const struct store_cells *cells, const uint8_t key[16],
                                    uint64_t hash, uint64_t now_s);

/* Find and lock.  NULL: the key has no cell. */
struct store_cell *store_cells_find_locked(const struct store_cells *cells, const uint8_t key[16]);

/* Find or make, and lock.  NULL as above. */
struct store_cell *store_cells_take(const struct store_cells *cells, const uint8_t key[16],
                                    uint64_t now_s);

/* Spins a little, then yields. */
void store_cell_lock(const struct store_cells *cells, struct store_cell *cell);

static inline void store_cell_unlock(struct store_cell *cell)
{
    atomic_store_explicit(&cell->lock, 0, memory_order_release);
}

static inline bool store_cell_has(const struct store_cell *cell, const uint8_t key[16])
{
    uint64_t word[2];
    memcpy(word, key, sizeof(word));
    return atomic_load_explicit(&cell->key[0], memory_order_relaxed) == word[0] &&
           atomic_load_explicit(&cell->key[1], memory_order_relaxed) == word[1];
}

static inline void store_cell_key(const struct store_cell *cell, uint8_t key[16])
{
    uint64_t word[2] = {atomic_load_explicit(&cell->key[0], memory_order_relaxed),
                        atomic_load_explicit(&cell->key[1], memory_order_relaxed)};
    memcpy(key, word, sizeof(word));
}

static inline void *store_cell_body(struct store_cell *cell)
{
    return cell + 1;
}

static inline const struct store_cell *store_cell_of(const void *body)
{
    return (const struct store_cell *)body - 1;
}

/* Walk the cells that hold a key: begin with position 0, stop at NULL.  Touches no page of an unused
 * cell.  Takes no lock: lock the cell, or read it as store_state.c does. */
struct store_cell *store_cells_next(const struct store_cells *cells, uint64_t *position);

/* A cell's number, for who keeps in mind where a key was, and the cell of a number: perhaps another key's by then. */
static inline uint32_t store_cells_number(const struct store_cells *cells,
                                          const struct store_cell *cell)
{
    return (uint32_t)((size_t)((const unsigned char *)cell - cells->first) / cells->cell_bytes);
}

static inline struct store_cell *store_cells_at(const struct store_cells *cells, size_t number)
{
    return (struct store_cell *)(void *)(cells->first + number * cells->cell_bytes);
}

/* The same of a number that is counted through all blocks; NULL: it holds no key. */
struct store_cell *store_cells_held_at(const struct store_cells *cells, uint64_t number);

/* Does the cell that store_cells_next gave at `position` still hold a key? */
bool store_cells_is_held(const struct store_cells *cells, const struct store_cell *cell);

/* How many cells hold a key (idle ones that nobody needed yet included), and how many there are. */
uint64_t store_cells_count(const struct store_cells *cells, uint64_t *max);

#endif
