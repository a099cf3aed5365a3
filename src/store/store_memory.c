/* SPDX-License-Identifier: Apache-2.0 */
/* store_memory.c - see store_memory.h.  Takes: the charges of one request and the time.  Gives: all of
 * them charged, or none and why.  Never: allocates after store_memory_new, waits but for a cell that
 * another thread holds for some instructions, gives quota that was spent.
 *
 * A charge goes: find or make the cells; lock them by rising address; check that they are still the
 * subjects' own; look at all windows; charge all or nothing; unlock.  What is decided under all the locks
 * is one step in one order, so threads can neither admit too many nor refuse by seeing half a charge.
 *
 * A newcomer to a full table is counted in its quota's overflow cell.  When it gets a cell of its own
 * later, that cell begins with what the overflow cell has counted, which is at least what the newcomer
 * spent there.  Two rules close the race between a thread that uses the overflow cell and one that makes
 * the subject's own: the first looks for the subject's own cell again under the overflow cell's lock; the
 * second looks for the overflow cell after its new cell can be found.  At least one sees the other. */
#include "store/store_memory.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_memory_private.h"

#define OVERFLOW_QUOTAS 1024 /* quotas whose newcomers may overflow at a time */
#define MAKE_TRIES      4    /* then a charge whose cell keeps being taken overflows */
#define BODY_BYTES      ((uint32_t)sizeof(struct store_windows))

/* One charge on its way.  Sorted by cell; two charges may meet in one cell. */
struct held {
    struct store_cell *cell;
    struct quota_charge *charge;
    uint64_t hash; /* of the charge's key, in subjects */
    bool is_overflow;
    bool is_repeat;  /* the cell of the one before */
    bool is_fixed;   /* calendar counts; then slots are set */
    uint32_t before; /* cost of those before in the same cell */
    uint32_t extra;  /* granted to the subject */
    int slots[QUOTA_WINDOWS_MAX];
};

static size_t memory_bytes(uint32_t subjects)
{
    return sizeof(struct store_periods) + store_cells_bytes(subjects, BODY_BYTES) +
           store_cells_bytes(OVERFLOW_QUOTAS, BODY_BYTES) + store_notes_bytes(STORE_MEMORY_TOKENS) +
           store_memory_grants_bytes();
}

/* The parts of the mapping, one behind the other. */
struct parts {
    unsigned char *subjects, *overflow, *tokens, *grants;
};

static struct parts memory_parts(struct store_memory *store, uint32_t subjects)
{
    struct parts parts;
    store->periods = store->memory;
    parts.subjects = (unsigned char *)store->memory + sizeof(struct store_periods);
    parts.overflow = parts.subjects + store_cells_bytes(subjects, BODY_BYTES);
    parts.tokens = parts.overflow + store_cells_bytes(OVERFLOW_QUOTAS, BODY_BYTES);
    parts.grants = parts.tokens + store_notes_bytes(STORE_MEMORY_TOKENS);
    return parts;
}

static struct store_memory *memory_handle(uint32_t subjects)
{
    struct store_memory *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return NULL;
    store->fd = -1;
    store->memory = MAP_FAILED;
    store->memory_bytes = memory_bytes(subjects);
    store->subjects_max = subjects;
    return store;
}

static bool memory_map(struct store_memory *store, int fd)
{
    store->memory = mmap(NULL, store->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return store->memory != MAP_FAILED;
}

struct store_memory *store_memory_new(uint32_t subjects)
{
    struct store_memory *store = memory_handle(subjects);
    if (store == NULL)
        return NULL;
    store->fd = memfd_create("sluice-store", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (store->fd < 0 || ftruncate(store->fd, (off_t)store->memory_bytes) != 0)
        goto out;
    /* Else a child gone wrong could shorten it under the parent, which then dies of SIGBUS. */
    if (fcntl(store->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0 ||
        !memory_map(store, store->fd))
        goto out;
    struct parts parts = memory_parts(store, subjects);
    store_cells_init(&store->subjects, parts.subjects, subjects, BODY_BYTES,
                     store_windows_busy_until, store->periods);
    store_cells_init(&store->overflow, parts.overflow, OVERFLOW_QUOTAS, BODY_BYTES,
                     store_windows_busy_until, store->periods);
    store_notes_init(&store->tokens, parts.tokens, STORE_MEMORY_TOKENS, true);
    store_memory_grants_init(store, parts.grants);
    return store;
out:
    store_memory_free(store);
    return NULL;
}

int store_memory_descriptor(const struct store_memory *store, uint32_t *subjects)
{
    *subjects = store->subjects_max;
    return store->fd;
}

struct store_memory *store_memory_open(int fd, uint32_t subjects)
{
    struct stat info;
    struct store_memory *store = memory_handle(subjects);
    if (store == NULL || fstat(fd, &info) != 0 || info.st_size != (off_t)store->memory_bytes ||
        (fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK) == 0 || !memory_map(store, fd))
        goto out;
    struct parts parts = memory_parts(store, subjects);
    if (!store_cells_attach(&store->subjects, parts.subjects, subjects, BODY_BYTES,
                            store_windows_busy_until, store->periods) ||
        !store_cells_attach(&store->overflow, parts.overflow, OVERFLOW_QUOTAS, BODY_BYTES,
                            store_windows_busy_until, store->periods) ||
        !store_notes_attach(&store->tokens, parts.tokens, STORE_MEMORY_TOKENS, true) ||
        !store_memory_grants_attach(store, parts.grants))
        goto out;
    store->fd = fd;
    return store;
out:
    store_memory_free(store);
    return NULL;
}

void store_memory_free(struct store_memory *store)
{
    if (store == NULL)
        return;
    if (store->memory != MAP_FAILED)
        munmap(store->memory, store->memory_bytes);
    if (store->fd >= 0)
        close(store->fd);
    free(store);
}

void store_memory_recover(struct store_memory *store)
{
    store_cells_recover(&store->subjects);
    store_cells_recover(&store->overflow);
    store_notes_recover(&store->tokens);
    store_cells_recover(&store->grants);
}

uint32_t store_memory_begin_life(struct store_memory *store, uint32_t beside)
{
    uint32_t life = store_cells_number_life(&store->subjects);
    store_cells_enter(&store->subjects, life, beside);
    store_cells_enter(&store->overflow, life, beside);
    store_cells_enter(&store->tokens.cells, life, beside);
    store_cells_enter(&store->grants, life, beside);
    return life;
}

void store_memory_outlive(const struct store_memory *store, uint32_t life)
{
    store_cells_outlive(&store->subjects, life);
    store_cells_outlive(&store->overflow, life);
    store_cells_outlive(&store->tokens.cells, life);
    store_cells_outlive(&store->grants, life);
}

const struct store_notes *store_memory_tokens(const struct store_memory *store)
{
    return &store->tokens;
}

uint64_t store_memory_subjects(const struct store_memory *store, uint64_t *max)
{
    return store_cells_count(&store->subjects, max);
}

static struct store_cell *overflow_find(const struct store_memory *store, const struct quota *quota)
{
    return store_cells_find(&store->overflow, quota->id,
                            store_cells_hash(&store->overflow, quota->id));
}

/* Let a new cell begin where the quota's overflow cell stands.  Takes both locks, in order. */
static void adopt_overflow(const struct store_memory *store, const struct held *held)
{
    const struct quota *quota = held->charge->quota;
    struct store_cell *overflow = overflow_find(store, quota);
    if (overflow == NULL)
        return; /* settled under the request's locks */
    store_cell_lock(&store->subjects, held->cell);
    if (store_cell_has(held->cell, held->charge->key) &&
        (store_memory_note(held->cell) & STORE_MEMORY_SETTLED) == 0) {
        store_cell_lock(&store->overflow, overflow);
        if (store_cell_has(overflow, quota->id)) {
            store_windows_copy(store_cell_body(held->cell), store_cell_body(overflow));
            store_memory_settle(store, held->cell, held->charge->key);
        }
        store_cell_unlock(overflow);
    }
    store_cell_unlock(held->cell);
}

/* Find or make the charge's cell.  False: even the overflow table is full. */
static bool resolve(const struct store_memory *store, struct held *held, uint64_t now_s,
                    bool may_make)
{
    const struct quota *quota = held->charge->quota;
    held->is_overflow = false;
    held->cell = may_make ? store_cells_make(&store->subjects, held->charge->key, held->hash, now_s)
                          : store_cells_find(&store->subjects, held->charge->key, held->hash);
    if (held->cell == NULL) {
        held->is_overflow = true;
        held->cell = store_cells_make(&store->overflow, quota->id,
                                      store_cells_hash(&store->overflow, quota->id), now_s);
        return held->cell != NULL;
    }
    if ((store_memory_note(held->cell) & STORE_MEMORY_SETTLED) == 0)
        adopt_overflow(store, held);
    return true;
}

/* Insertion sort: there are at most eight, mostly one to three. */
static void sort_by_cell(struct held *held, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        struct held moving = held[i];
        unsigned at = i;
        for (; at > 0 && (uintptr_t)held[at - 1].cell > (uintptr_t)moving.cell; at--)
            held[at] = held[at - 1];
        held[at] = moving;
    }
    held[0].is_repeat = false;
    for (unsigned i = 1; i < count; i++)
        held[i].is_repeat = held[i].cell == held[i - 1].cell;
}

static void unlock_all(const struct held *held, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!held[i].is_repeat)
            store_cell_unlock(held[i].cell);
    }
}

/* Is the locked cell where this charge belongs? */
static bool is_still_right(const struct store_memory *store, const struct held *held)
{
    const struct quota_charge *charge = held->charge;
    if (held->is_overflow)
        return store_cell_has(held->cell, charge->quota->id) &&
               store_cells_find(&store->subjects, charge->key, held->hash) == NULL;
    if (!store_cell_has(held->cell, charge->key))
        return false;
    if ((store_memory_note(held->cell) & STORE_MEMORY_SETTLED) != 0)
        return true;
    if (overflow_find(store, charge->quota) != NULL)
        return false;
    store_memory_settle(store, held->cell, charge->key);
    return true;
}

static bool lock_all(const struct store_memory *store, struct held *held, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!held[i].is_repeat)
            store_cell_lock(held[i].is_overflow ? &store->overflow : &store->subjects,
                            held[i].cell);
    }
    for (unsigned i = 0; i < count; i++) {
        if (is_still_right(store, &held[i]))
            continue;
        unlock_all(held, count);
        return false;
    }
    return true;
}

/* Sliding and token_bucket. */
static __attribute__((noinline)) enum store_answer look_other(const struct store_memory *store,
                                                              struct held *held, uint64_t now_us)
{
    struct quota_charge *charge = held->charge;
    enum store_answer answer = STORE_CHARGED;
    charge->extra = held->extra;
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        if (!store_memory_look_other(store, store_cell_body(held->cell), charge, w, now_us,
                                     (uint64_t)held->before + charge->cost))
            return STORE_AWAY;
        if (charge->readings[w].refused)
            answer = STORE_REFUSED;
    }
    return answer;
}

static __attribute__((noinline)) void spend_other(const struct store_memory *store,
                                                  const struct held *held, uint64_t now_us)
{
    struct quota_charge *charge = held->charge;
    for (unsigned w = 0; w < charge->quota->limit_count; w++)
        store_memory_spend_other(store, store_cell_body(held->cell), charge, w, now_us);
    charge->is_charged = true;
}

/* Read all windows of one charge.  STORE_CHARGED: there is room. */
static inline enum store_answer look(const struct store_memory *store, struct held *held,
                                     uint64_t now_s, uint64_t now_us)
{
    struct quota_charge *charge = held->charge;
    const struct quota *quota = charge->quota;
    struct store_windows *windows = store_cell_body(held->cell);
    enum store_answer answer = STORE_CHARGED;
    held->is_fixed = quota->algorithm == QUOTA_FIXED;
    if (!held->is_fixed)
        return look_other(store, held, now_us);
    for (unsigned w = 0; w < quota->limit_count; w++) {
        const struct quota_limit *limit = &quota->limits[w];
        struct store_window window;
        held->slots[w] =
            store_windows_get(store->periods, windows, now_s, limit->period_s, w, &window);
        if (held->slots[w] < 0 && store_periods_enter(store->periods, limit->period_s) == 0)
            return STORE_AWAY;
        if (held->slots[w] < 0)
            held->slots[w] = store_memory_carry_count(store, windows, quota, w, now_us, &window);
        uint64_t after = (uint64_t)window.used + held->before + charge->cost;
        uint32_t most = limit->limit + held->extra;
        most = most > INT32_MAX ? INT32_MAX : most;
        bool is_refused = after > most || most == 0;
        charge->readings[w] = (struct quota_reading){window.start_s, window.used, most, is_refused};
        if (is_refused)
            answer = STORE_REFUSED;
    }
    return answer;
}

static inline void spend(const struct store_memory *store, const struct held *held, uint64_t now_s,
                         uint64_t now_us)
{
    struct quota_charge *charge = held->charge;
    const struct quota *quota = charge->quota;
    struct store_windows *windows = store_cell_body(held->cell);
    charge->generation = store_memory_note(held->cell) >> STORE_MEMORY_GENERATION_SHIFT;
    if (!held->is_fixed) {
        spend_other(store, held, now_us);
        return;
    }
    for (unsigned w = 0; w < quota->limit_count; w++) {
        struct quota_reading *reading = &charge->readings[w];
        reading->used += held->before + charge->cost;
        struct store_window ignored,
            window = {quota->limits[w].period_s, reading->start_s, reading->used};
        int slot = held->slots[w];
        if (slot < 0 && held->is_repeat) /* the one before may have added it */
            slot = store_windows_seek(store->periods, windows, now_s, window.period_s, &ignored);
        if (slot >= 0)
            store_windows_put(windows, slot, &window);
        else
            (void)store_windows_add(store->periods, windows, now_s, &window, quota);
    }
    charge->is_charged = true;
}

static inline uint32_t held_extra(const struct store_memory *store, const struct held *held,
                                  uint64_t now_s)
{
    if (held->is_overflow || (store_memory_note(held->cell) & STORE_MEMORY_GRANTED) == 0)
        return 0;
    return store_memory_granted(store, held->cell, held->charge->key, now_s);
}

/* Under all locks. */
static inline __attribute__((always_inline)) enum store_answer
decide(const struct store_memory *store, struct held *held, unsigned count, uint64_t asked_at_s,
       uint64_t now_us)
{
    enum store_answer answer = STORE_CHARGED;
    uint64_t now_s = store_memory_now_s(store, asked_at_s);
    if (now_s != asked_at_s)
        now_us = now_s * 1000000;
    for (unsigned i = 0; i < count; i++) {
        held[i].before = held[i].is_repeat ? held[i - 1].before + held[i - 1].charge->cost : 0;
        held[i].extra = held_extra(store, &held[i], now_s);
        enum store_answer one = look(store, &held[i], now_s, now_us);
        if (one > answer) /* charged < refused < away */
            answer = one;
    }
    for (unsigned i = 0; i < count && answer == STORE_CHARGED; i++)
        spend(store, &held[i], now_s, now_us);
    return answer;
}

static inline enum store_answer decide_one(const struct store_memory *store, struct held *held,
                                           uint64_t asked_at_s, uint64_t now_us)
{
    uint64_t now_s = store_memory_now_s(store, asked_at_s);
    if (now_s != asked_at_s)
        now_us = now_s * 1000000;
    enum store_answer answer = look(store, held, now_s, now_us);
    if (answer == STORE_CHARGED)
        spend(store, held, now_s, now_us);
    return answer;
}

/* A new cell has nothing used and may be taken by the next newcomer before it is locked: in a table that
 * is full but for one cell, even by the next charge of the same request.  So making ends after some
 * tries. */
static bool resolve_all(const struct store_memory *store, struct held *held, unsigned count,
                        uint64_t now_s, unsigned tries, unsigned *overflowed)
{
    unsigned overflows = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!resolve(store, &held[i], now_s, tries < MAKE_TRIES))
            return false;
        overflows += held[i].is_overflow;
    }
    if (overflowed != NULL)
        *overflowed = overflows;
    sort_by_cell(held, count);
    return true;
}

/* One charge of a subject that has its cell, which nearly all are: nothing to make, sort or try
 * again.  False: go the long way; nothing has happened. */
static inline bool charge_known(const struct store_memory *store, struct quota_charge *charge,
                                uint64_t now_s, uint64_t now_us, enum store_answer *answer)
{
    struct held held = {.charge = charge};
    held.hash = store_cells_hash(&store->subjects, charge->key);
    held.cell = store_cells_find(&store->subjects, charge->key, held.hash);
    if (held.cell == NULL)
        return false;
    store_cell_lock(&store->subjects, held.cell);
    bool is_right = store_cell_has(held.cell, charge->key) &&
                    (store_memory_note(held.cell) & STORE_MEMORY_STATE) == STORE_MEMORY_SETTLED;
    if (is_right)
        *answer = decide_one(store, &held, now_s, now_us);
    store_cell_unlock(held.cell);
    return is_right;
}

/* Under the lock: the only window of a quota, where the cell keeps it.  False: it must be looked for. */
static inline bool charge_window(const struct store_memory *store, struct store_cell *cell,
                                 struct quota_charge *charge, uint64_t now_s)
{
    struct store_windows *windows = store_cell_body(cell);
    const struct quota_limit *limit = charge->quota->limits;
    struct store_window window;
    if (!store_windows_peek(store->periods, windows, now_s, limit->period_s, 0, &window))
        return false;
    uint64_t after = (uint64_t)window.used + charge->cost;
    bool is_refused = after > limit->limit || limit->limit == 0;
    if (!is_refused) {
        window.used = (uint32_t)after;
        store_windows_put(windows, 0, &window);
    }
    charge->is_charged = !is_refused;
    charge->readings[0] =
        (struct quota_reading){window.start_s, window.used, limit->limit, is_refused};
    return true;
}

/* As store_cells_find.  A hint is tried only where half a word of the key agrees: a cell that is another's would come from
 * memory in vain. */
static inline struct store_cell *find_hinted(const struct store_cells *cells,
                                             struct store_memory_hints *hints,
                                             const uint8_t key[16])
{
    uint64_t word;
    memcpy(&word, key, sizeof(word));
    uint64_t *place = &hints->places[word % STORE_MEMORY_HINTS];
    uint32_t number = (uint32_t)*place;
    if ((*place ^ word) >> 32 == 0 && number != 0) {
        struct store_cell *cell = store_cells_at(cells, number - 1);
        if (store_cell_has(cell, key))
            return cell;
    }
    struct store_cell *cell = store_cells_find(cells, key, store_cells_hash(cells, key));
    if (cell != NULL)
        *place = word >> 32 << 32 | (uint32_t)(store_cells_number(cells, cell) + 1);
    return cell;
}

bool store_memory_charge_known(const struct store_memory *store, struct store_memory_hints *hints,
                               struct quota_charge *charge, uint64_t now_us)
{
    if (charge->quota->limit_count != 1 || charge->quota->algorithm != QUOTA_FIXED)
        return false;
    struct store_cell *cell = find_hinted(&store->subjects, hints, charge->key);
    if (cell == NULL)
        return false;
    store_cell_lock(&store->subjects, cell);
    bool is_done =
        store_cell_has(cell, charge->key) &&
        atomic_load_explicit(&cell->note, memory_order_relaxed) == STORE_MEMORY_SETTLED &&
        charge_window(store, cell, charge, store_memory_now_s(store, now_us / 1000000));
    store_cell_unlock(cell);
    charge->source = QUOTA_SOURCE_STORE;
    charge->generation = charge->extra =
        0; /* a cell with such a note was never reset, and has no grant */
    return is_done;
}

enum store_answer store_memory_charge(struct store_memory *store, struct quota_charge *charges,
                                      unsigned count, uint64_t now_us, unsigned *overflowed)
{
    uint64_t now_s = now_us / 1000000;
    struct held held[QUOTA_MAX_PER_ROUTE];
    assert(count <= QUOTA_MAX_PER_ROUTE);
    if (overflowed != NULL)
        *overflowed = 0;
    if (count == 0)
        return STORE_CHARGED;
    enum store_answer known;
    charges[0].is_charged = false;
    charges[0].source = QUOTA_SOURCE_STORE;
    if (count == 1 && charge_known(store, charges, now_s, now_us, &known))
        return known;
    for (unsigned i = 0; i < count; i++) {
        charges[i].is_charged = false;
        charges[i].source = QUOTA_SOURCE_STORE;
        held[i].charge = &charges[i];
        held[i].hash = store_cells_hash(&store->subjects, charges[i].key);
        store_cells_prefetch(&store->subjects, held[i].hash);
    }
    for (unsigned i = 0; i < count && count > 1;
         i++) /* their cells come from memory side by side */
        store_cells_prefetch_cell(&store->subjects, held[i].hash);
    unsigned tries = 0;
    do {
        if (!resolve_all(store, held, count, now_s, tries++, overflowed))
            return STORE_AWAY;
    } while (!lock_all(store, held, count));
    enum store_answer answer = decide(store, held, count, now_s, now_us);
    unlock_all(held, count);
    return answer;
}

bool store_memory_refuses(const struct store_memory *store, struct quota_charge *charge,
                          uint64_t now_us)
{
    struct held held = {.charge = charge};
    held.cell = store_cells_find_locked(&store->subjects, charge->key);
    held.is_overflow = held.cell == NULL;
    if (held.is_overflow) /* what the overflow cell has counted is at least what it spent */
        held.cell = store_cells_find_locked(&store->overflow, charge->quota->id);
    if (held.cell == NULL)
        return false;
    uint64_t now_s = store_memory_now_s(store, now_us / 1000000);
    if (now_s != now_us / 1000000)
        now_us = now_s * 1000000;
    held.extra = held_extra(store, &held, now_s);
    bool is_refused = look(store, &held, now_s, now_us) == STORE_REFUSED;
    store_cell_unlock(held.cell);
    return is_refused;
}
