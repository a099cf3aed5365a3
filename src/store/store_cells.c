/* SPDX-License-Identifier: Apache-2.0 */
/* store_cells.c - see store_cells.h.  Memory: head, then the blocks (a cache line each), then the
 * cells, 28 a block.  A table that nobody uses touches none of its cells' pages.
 *
 * A cell is given out in this order: tag cleared, body cleared, key written, tag set.  A child that is
 * killed in between leaves a free cell. */
#include "store/store_cells.h"

#include <assert.h>
#include <sched.h>

#include "base/base_rng.h"
#include "quota/quota.h"

#define TAG_WORDS (STORE_CELLS_WAYS / 4) /* four 16-bit tags each, 0 = free */
#define LANE_LOW  UINT64_C(0x0001000100010001)
#define LANE_HIGH UINT64_C(0x8000800080008000)
#define FULLISH   20 /* a first block with so many keys lets the emptier of the two take a newcomer */
#define QUIET_S   60 /* a block of busy cells is looked through again after so long at the latest */
#define SPINS     64 /* between two yields of who waits for a lock */

struct store_cells_head {
    _Alignas(STORE_CELLS_ALIGN) _Atomic uint32_t generation; /* the newest */
    _Atomic uint32_t oldest; /* locks of older generations are free */
    _Atomic uint32_t beside; /* but for this one's; 0: none */
    uint32_t block_count, cell_bytes;
    uint64_t seed[2];
    _Atomic uint64_t forgot_at_s; /* the latest time at which an idle cell was given away */
};

struct store_cells_block {
    _Alignas(STORE_CELLS_ALIGN) _Atomic uint64_t tags[TAG_WORDS];
    _Atomic uint32_t lock;          /* for giving cells out */
    _Atomic uint32_t quiet_until_s; /* no cell is idle before; 0: not known */
};

_Static_assert(sizeof(struct store_cells_head) == STORE_CELLS_ALIGN, "one line");
_Static_assert(sizeof(struct store_cells_block) == STORE_CELLS_ALIGN, "one line");
_Static_assert(sizeof(struct store_cell) == 24, "a 40-byte body fills the line");

/* A cell's number within the table. */
struct place {
    uint32_t block;
    uint32_t lane;
};

static uint32_t block_count(uint32_t subjects)
{
    /* With two choices a key, 28 ways and a load of 7/8 the first newcomer without a place comes after
     * 1.04 x subjects (simulated, 1 M); the three blocks are for small tables. */
    return (uint32_t)((uint64_t)subjects * 8 / (7 * STORE_CELLS_WAYS)) + 3;
}

size_t store_cells_bytes(uint32_t subjects, uint32_t body_bytes)
{
    size_t cell_bytes = sizeof(struct store_cell) + body_bytes;
    size_t bytes =
        sizeof(struct store_cells_head) +
        block_count(subjects) * (sizeof(struct store_cells_block) + STORE_CELLS_WAYS * cell_bytes);
    return (bytes + STORE_CELLS_ALIGN - 1) / STORE_CELLS_ALIGN * STORE_CELLS_ALIGN;
}

static void cells_view(struct store_cells *cells, struct store_cells_head *head,
                       store_cells_busy_fn busy, const void *arg)
{
    cells->head = head;
    cells->blocks = (struct store_cells_block *)(head + 1);
    cells->first = (unsigned char *)(cells->blocks + head->block_count);
    cells->seed[0] = head->seed[0];
    cells->seed[1] = head->seed[1];
    cells->block_count = head->block_count;
    cells->cell_bytes = head->cell_bytes;
    cells->generation = 1;
    cells->busy = busy;
    cells->arg = arg;
}

void store_cells_init(struct store_cells *cells, void *memory, uint32_t subjects,
                      uint32_t body_bytes, store_cells_busy_fn busy, const void *arg)
{
    assert((uintptr_t)memory % STORE_CELLS_ALIGN == 0 && body_bytes % 8 == 0);
    struct store_cells_head *head = memory;
    head->block_count = block_count(subjects);
    head->cell_bytes = (uint32_t)sizeof(struct store_cell) + body_bytes;
    rng_secret(head->seed, sizeof(head->seed));
    atomic_store(&head->generation, 1);
    atomic_store(&head->oldest, 1);

    cells_view(cells, head, busy, arg);
}

bool store_cells_attach(struct store_cells *cells, void *memory, uint32_t subjects,
                        uint32_t body_bytes, store_cells_busy_fn busy, const void *arg)
{
    struct store_cells_head *head = memory;
    if (head->block_count != block_count(subjects) ||
        head->cell_bytes != (uint32_t)sizeof(struct store_cell) + body_bytes)
        return false;
    cells_view(cells, head, busy, arg);
    return true;
}

uint32_t store_cells_number_life(const struct store_cells *cells)
{
    return atomic_fetch_add(&cells->head->generation, 1) + 1;
}

/* Whom to spare is known before more locks count as left behind. */
void store_cells_enter(struct store_cells *cells, uint32_t life, uint32_t beside)
{
    cells->generation = life;
    if (atomic_load(&cells->head->generation) < life) /* numbered by another table */
        atomic_store(&cells->head->generation, life);
    atomic_store(&cells->head->beside, beside);
    atomic_store(&cells->head->oldest, life);
}

void store_cells_outlive(const struct store_cells *cells, uint32_t life)
{
    atomic_store(&cells->head->beside, life);
    atomic_store(&cells->head->oldest, atomic_load(&cells->head->generation) + 1);
}

void store_cells_recover(struct store_cells *cells)
{
    store_cells_enter(cells, store_cells_number_life(cells), 0);
}

static bool is_a_little_later(uint64_t at_s, uint64_t now_s)
{
    return at_s > now_s && at_s - now_s <= QUOTA_SKEW_S;
}

uint64_t store_cells_now(const struct store_cells *cells, uint64_t now_s)
{
    uint64_t at_s = atomic_load_explicit(&cells->head->forgot_at_s, memory_order_acquire);
    return is_a_little_later(at_s, now_s) ? at_s : now_s;
}

void store_cells_forgot(const struct store_cells *cells, uint64_t now_s)
{
    uint64_t at_s = atomic_load(&cells->head->forgot_at_s);
    while (at_s != now_s && !is_a_little_later(at_s, now_s)) {
        if (atomic_compare_exchange_weak(&cells->head->forgot_at_s, &at_s, now_s))
            return;
    }
}

static void wait_a_little(unsigned turn)
{
    if (turn % SPINS == SPINS - 1) {
        sched_yield(); /* the holder may have lost its processor */
        return;
    }
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* 0, which nobody is, is older than all. */
static bool is_left_behind(const struct store_cells_head *head, uint32_t holder)
{
    return holder < atomic_load_explicit(&head->oldest, memory_order_relaxed) &&
           (holder == 0 || holder != atomic_load_explicit(&head->beside, memory_order_acquire));
}

static void lock_contended(const struct store_cells *cells, _Atomic uint32_t *lock)
{
    for (unsigned turn = 0;; turn++) {
        uint32_t holder = atomic_load_explicit(lock, memory_order_relaxed);
        bool is_free = is_left_behind(cells->head, holder);
        if (is_free &&
            atomic_compare_exchange_weak_explicit(lock, &holder, cells->generation,
                                                  memory_order_acquire, memory_order_relaxed))
            return;
        wait_a_little(turn);
    }
}

static inline void lock_word(const struct store_cells *cells, _Atomic uint32_t *lock)
{
    uint32_t nobody = 0;
    if (!atomic_compare_exchange_strong_explicit(lock, &nobody, cells->generation,
                                                 memory_order_acquire, memory_order_relaxed))
        lock_contended(cells, lock);
}

void store_cell_lock(const struct store_cells *cells, struct store_cell *cell)
{
    lock_word(cells, &cell->lock);
}

static uint32_t first_block(const struct store_cells *cells, uint64_t hash)
{
    return (uint32_t)(((hash & UINT32_MAX) * cells->block_count) >> 32);
}

static uint32_t second_block(const struct store_cells *cells, uint64_t hash)
{
    return (uint32_t)(((hash >> 32) * cells->block_count) >> 32);
}

static uint64_t tag_of(uint64_t hash)
{
    uint64_t tag = (hash * UINT64_C(0x9e3779b97f4a7c15)) >> 48;
    return tag == 0 ? 1 : tag;
}

static inline struct store_cell *cell_at(const struct store_cells *cells, struct place place)
{
    return store_cells_at(cells, (size_t)place.block * STORE_CELLS_WAYS + place.lane);
}

/* Tags are read and written in one total order over all tables: of two threads that each make a cell
 * and then look for the other's, at least one finds it (store_memory.c relies on it).  On x86 this
 * makes no load dearer. */
static inline uint64_t load_tags(const struct store_cells_block *block, unsigned word)
{
    return atomic_load_explicit(&block->tags[word], memory_order_seq_cst);
}

/* Under the block's lock. */
static void set_tag(struct store_cells_block *block, uint32_t lane, uint64_t tag)
{
    unsigned shift = lane % 4 * 16;
    uint64_t tags = load_tags(block, lane / 4);
    tags = (tags & ~(UINT64_C(0xffff) << shift)) | tag << shift;
    atomic_store_explicit(&block->tags[lane / 4], tags, memory_order_seq_cst);
}

/* The high bit of every lane that is zero, and now and then of one above it (the subtraction borrows
 * upwards); who asks compares keys. */
static inline uint64_t zero_lanes(uint64_t lanes)
{
    return (lanes - LANE_LOW) & ~lanes & LANE_HIGH;
}

static inline struct store_cell *find_in(const struct store_cells *cells, const uint8_t key[16],
                                         uint64_t hash, uint32_t block)
{
    uint64_t wanted = tag_of(hash) * LANE_LOW;
    for (unsigned word = 0; word < TAG_WORDS; word++) {
        uint64_t hits = zero_lanes(load_tags(&cells->blocks[block], word) ^ wanted);
        for (; hits != 0; hits &= hits - 1) {
            uint32_t lane = word * 4 + (uint32_t)__builtin_ctzll(hits) / 16;
            struct store_cell *cell = cell_at(cells, (struct place){block, lane});
            if (store_cell_has(cell, key))
                return cell;
        }
    }
    return NULL;
}

void store_cells_prefetch(const struct store_cells *cells, uint64_t hash)
{
    __builtin_prefetch(&cells->blocks[first_block(cells, hash)]);
}

void store_cells_prefetch_cell(const struct store_cells *cells, uint64_t hash)
{
    uint32_t block = first_block(cells, hash);
    uint64_t wanted = tag_of(hash) * LANE_LOW;
    for (unsigned word = 0; word < TAG_WORDS; word++) {
        uint64_t hits = zero_lanes(load_tags(&cells->blocks[block], word) ^ wanted);
        if (hits == 0)
            continue;
        uint32_t lane = word * 4 + (uint32_t)__builtin_ctzll(hits) / 16;
        __builtin_prefetch(cell_at(cells, (struct place){block, lane}), 1);
        return;
    }
    __builtin_prefetch(&cells->blocks[second_block(cells, hash)]);
}

/* Apart, so that who is found in the first needs no frame. */
static __attribute__((noinline)) struct store_cell *
find_in_second(const struct store_cells *cells, const uint8_t key[16], uint64_t hash)
{
    return find_in(cells, key, hash, second_block(cells, hash));
}

struct store_cell *store_cells_find(const struct store_cells *cells, const uint8_t key[16],
                                    uint64_t hash)
{
    struct store_cell *cell = find_in(cells, key, hash, first_block(cells, hash));
    return cell != NULL ? cell : find_in_second(cells, key, hash);
}

static unsigned taken_lanes(const struct store_cells_block *block)
{
    unsigned taken = 0;
    for (unsigned lane = 0; lane < STORE_CELLS_WAYS; lane++)
        taken += (load_tags(block, lane / 4) >> (lane % 4 * 16) & 0xffff) != 0;
    return taken;
}

/* A free lane of the block, its cell locked.  Whoever still holds that lock found a former key here
 * and will let go. */
static struct store_cell *claim_free(const struct store_cells *cells, uint32_t block,
                                     struct place *place)
{
    for (uint32_t lane = 0; lane < STORE_CELLS_WAYS; lane++) {
        if ((load_tags(&cells->blocks[block], lane / 4) >> (lane % 4 * 16) & 0xffff) != 0)
            continue;
        *place = (struct place){block, lane};
        struct store_cell *cell = cell_at(cells, *place);
        store_cell_lock(cells, cell);
        return cell;
    }
    return NULL;
}

/* An idle cell of a full block, locked.  A block where all are busy is not looked through again before
 * the first of them can be idle: a flood of newcomers into a full table costs no more than its tags.
 * The look ahead is bounded, so that a clock that was far ahead for a while is forgotten. */
static struct store_cell *claim_idle(const struct store_cells *cells, uint32_t block,
                                     uint64_t now_s, struct place *place)
{
    struct store_cells_block *tags = &cells->blocks[block];
    uint64_t quiet_s = atomic_load_explicit(&tags->quiet_until_s, memory_order_relaxed);
    if (now_s < quiet_s && quiet_s <= now_s + QUIET_S)
        return NULL;
    quiet_s = now_s + QUIET_S;
    for (uint32_t lane = 0; lane < STORE_CELLS_WAYS; lane++) {
        *place = (struct place){block, lane};
        struct store_cell *cell = cell_at(cells, *place);
        store_cell_lock(cells, cell);
        uint64_t busy_until_s = cells->busy(cells->arg, cell, now_s);
        if (busy_until_s <= now_s) {
            store_cells_forgot(cells, now_s); /* before a look-up can miss it */
            return cell;
        }
        store_cell_unlock(cell);
        if (busy_until_s < quiet_s)
            quiet_s = busy_until_s;
    }
    atomic_store_explicit(&tags->quiet_until_s, (uint32_t)quiet_s, memory_order_relaxed);
    return NULL;
}

/* Under the locks of both blocks. */
static struct store_cell *claim(const struct store_cells *cells, uint32_t first, uint32_t second,
                                uint64_t now_s, struct place *place)
{
    unsigned taken = taken_lanes(&cells->blocks[first]);
    bool is_second_better = taken >= FULLISH && taken_lanes(&cells->blocks[second]) < taken;
    struct store_cell *cell = claim_free(cells, is_second_better ? second : first, place);
    if (cell == NULL)
        cell = claim_idle(cells, first, now_s, place);
    if (cell == NULL)
        cell = claim_idle(cells, second, now_s, place);
    return cell;
}

static void give(const struct store_cells *cells, struct store_cell *cell, struct place place,
                 const uint8_t key[16], uint64_t hash)
{
    struct store_cells_block *block = &cells->blocks[place.block];
    set_tag(block, place.lane, 0);
    _Atomic uint64_t *body = store_cell_body(cell);
    for (size_t i = 0; i < (cells->cell_bytes - sizeof(*cell)) / sizeof(*body); i++)
        atomic_store_explicit(&body[i], 0, memory_order_release);
    uint64_t word[2];
    memcpy(word, key, sizeof(word));
    atomic_store_explicit(&cell->key[0], word[0], memory_order_release);
    atomic_store_explicit(&cell->key[1], word[1], memory_order_release);
    atomic_store_explicit(&cell->note, 0, memory_order_relaxed);
    atomic_store_explicit(&block->quiet_until_s, 0, memory_order_relaxed);
    set_tag(block, place.lane, tag_of(hash));
}

struct store_cell *store_cells_make(const struct store_cells *cells, const uint8_t key[16],
                                    uint64_t hash, uint64_t now_s)
{
    struct store_cell *cell = store_cells_find(cells, key, hash);
    if (cell != NULL)
        return cell;

    uint32_t first = first_block(cells, hash), second = second_block(cells, hash);
    uint32_t lower = first < second ? first : second, upper = first < second ? second : first;
    lock_word(cells, &cells->blocks[lower].lock);
    if (upper != lower)
        lock_word(cells, &cells->blocks[upper].lock);

    cell = store_cells_find(cells, key, hash); /* another thread was faster */
    struct place place;
    if (cell == NULL && (cell = claim(cells, first, second, now_s, &place)) != NULL) {
        give(cells, cell, place, key, hash);
        store_cell_unlock(cell);
    }

    if (upper != lower)
        atomic_store_explicit(&cells->blocks[upper].lock, 0, memory_order_release);
    atomic_store_explicit(&cells->blocks[lower].lock, 0, memory_order_release);
    return cell;
}

struct store_cell *store_cells_find_locked(const struct store_cells *cells, const uint8_t key[16])
{
    struct store_cell *cell = store_cells_find(cells, key, store_cells_hash(cells, key));
    if (cell == NULL)
        return NULL;
    store_cell_lock(cells, cell);
    if (store_cell_has(cell, key))
        return cell;
    store_cell_unlock(cell);
    return NULL;
}

struct store_cell *store_cells_take(const struct store_cells *cells, const uint8_t key[16],
                                    uint64_t now_s)
{
    uint64_t hash = store_cells_hash(cells, key);
    for (;;) {
        struct store_cell *cell = store_cells_make(cells, key, hash, now_s);
        if (cell == NULL)
            return NULL;
        store_cell_lock(cells, cell);
        if (store_cell_has(cell, key))
            return cell;
        store_cell_unlock(cell); /* given to another key meanwhile */
    }
}

struct store_cell *store_cells_held_at(const struct store_cells *cells, uint64_t number)
{
    struct place place = {(uint32_t)(number / STORE_CELLS_WAYS),
                          (uint32_t)(number % STORE_CELLS_WAYS)};
    uint64_t tags = load_tags(&cells->blocks[place.block], place.lane / 4);
    return (tags >> (place.lane % 4 * 16) & 0xffff) == 0 ? NULL : cell_at(cells, place);
}

struct store_cell *store_cells_next(const struct store_cells *cells, uint64_t *position)
{
    struct store_cell *cell = NULL;
    while (cell == NULL && *position < (uint64_t)cells->block_count * STORE_CELLS_WAYS)
        cell = store_cells_held_at(cells, (*position)++);
    return cell;
}

bool store_cells_is_held(const struct store_cells *cells, const struct store_cell *cell)
{
    return store_cells_held_at(cells, store_cells_number(cells, cell)) != NULL;
}

uint64_t store_cells_count(const struct store_cells *cells, uint64_t *max)
{
    uint64_t count = 0;
    for (uint32_t block = 0; block < cells->block_count; block++)
        count += taken_lanes(&cells->blocks[block]);
    if (max != NULL)
        *max = (uint64_t)cells->block_count * STORE_CELLS_WAYS;
    return count;
}
