/* SPDX-License-Identifier: Apache-2.0 */
/* store_memory_operate.c - an operator's orders about one subject of the embedded store.  Takes: a key and an order.
 * Gives: how the subject stood, and the order carried out under its cell's lock.
 *
 * A cell fills its cache line and has no room for a grant, and hardly any subject has one: grants stand in a small table of
 * their own, and a bit in the note of the subject's cell says that there is one.  Who meets the bit looks; nobody else pays.
 * A subject whose cell went to another key finds its grant again when it gets a new one. */
#include <string.h>

#include "store/store_memory_private.h"

static uint64_t grant_word(struct store_cell *cell)
{
    const struct store_memory_grant *grant = store_cell_body(cell);
    return atomic_load_explicit(&grant->word, memory_order_acquire);
}

/* Busy until it is over; one of nothing is. */
static uint64_t grant_busy_until(const void *arg, struct store_cell *cell, uint64_t now_s)
{
    uint64_t word = grant_word(cell);
    (void)arg;
    (void)now_s;
    return (uint32_t)word == 0 ? 0 : word >> 32;
}

size_t store_memory_grants_bytes(void)
{
    return sizeof(struct store_memory_head) +
           store_cells_bytes(STORE_MEMORY_GRANTS, sizeof(struct store_memory_grant));
}

void store_memory_grants_init(struct store_memory *store, void *memory)
{
    store->head = memory;
    store_cells_init(&store->grants, store->head + 1, STORE_MEMORY_GRANTS,
                     sizeof(struct store_memory_grant), grant_busy_until, NULL);
}

bool store_memory_grants_attach(struct store_memory *store, void *memory)
{
    store->head = memory;
    return store_cells_attach(&store->grants, store->head + 1, STORE_MEMORY_GRANTS,
                              sizeof(struct store_memory_grant), grant_busy_until, NULL);
}

static struct store_cell *grant_find(const struct store_memory *store, const uint8_t key[16])
{
    if (atomic_load_explicit(&store->head->has_grants, memory_order_acquire) == 0)
        return NULL;
    return store_cells_find(&store->grants, key, store_cells_hash(&store->grants, key));
}

/* 0: there is none. */
static uint64_t grant_read(const struct store_memory *store, const uint8_t key[16], uint64_t now_s)
{
    struct store_cell *cell = grant_find(store, key);
    uint64_t word = cell == NULL ? 0 : grant_word(cell);
    if (cell == NULL || !store_cell_has(cell, key) || word >> 32 <= now_s)
        return 0;
    return word;
}

static void set_note(struct store_cell *cell, uint32_t note)
{
    atomic_store_explicit(&cell->note, note, memory_order_relaxed);
}

void store_memory_settle(const struct store_memory *store, struct store_cell *cell,
                         const uint8_t key[16])
{
    uint32_t granted = grant_find(store, key) == NULL ? 0 : STORE_MEMORY_GRANTED;
    set_note(cell, store_memory_note(cell) | STORE_MEMORY_SETTLED | granted);
}

uint32_t store_memory_granted(const struct store_memory *store, struct store_cell *cell,
                              const uint8_t key[16], uint64_t now_s)
{
    uint64_t word = grant_read(store, key, now_s);
    if (word == 0)
        set_note(cell, store_memory_note(cell) & ~STORE_MEMORY_GRANTED);
    return (uint32_t)word;
}

bool store_memory_grant(const struct store_memory *store, const uint8_t key[16], uint32_t extra,
                        uint32_t expires_s, uint64_t now_s)
{
    struct store_cell *cell = store_cells_take(&store->grants, key, now_s);
    if (cell == NULL)
        return false;
    struct store_memory_grant *grant = store_cell_body(cell);
    atomic_store_explicit(&grant->word, (uint64_t)expires_s << 32 | extra, memory_order_release);
    store_cell_unlock(cell);
    atomic_store_explicit(&store->head->has_grants, 1, memory_order_release);
    cell = store_cells_find_locked(&store->subjects, key);
    if (cell != NULL) {
        set_note(cell, store_memory_note(cell) | STORE_MEMORY_GRANTED);
        store_cell_unlock(cell);
    }
    return true;
}

static void read_subject(const struct store_memory *store, struct store_cell *cell,
                         const uint8_t key[16], uint64_t now_us, struct store_subject *subject)
{
    struct store_windows *windows = store_cell_body(cell);
    struct store_window found[QUOTA_WINDOWS_MAX];
    uint64_t now_s = store_memory_now_s(store, now_us / 1000000);
    uint64_t grant = grant_read(store, key, now_s);
    *subject = (struct store_subject){
        .now_us = now_s > now_us / 1000000 ? now_s * 1000000 : now_us,
        .generation = store_memory_note(cell) >> STORE_MEMORY_GENERATION_SHIFT,
        .extra = (uint32_t)grant,
        .expires_s = (uint32_t)(grant >> 32),
    };
    subject->window_count = store_windows_snapshot(store->periods, windows, now_s, found);
    for (unsigned i = 0; i < subject->window_count; i++)
        subject->windows[i] =
            (struct store_subject_window){found[i].period_s, found[i].start_s, found[i].used};
}

/* Starts stay, so that no window opens a second time; a bucket without an instant is full. */
static void reset_cell(const struct store_memory *store, struct store_cell *cell)
{
    struct store_windows *windows = store_cell_body(cell);
    for (unsigned slot = 0; slot < QUOTA_WINDOWS_MAX; slot++) {
        uint16_t number = atomic_load_explicit(&windows->periods[slot], memory_order_relaxed);
        uint32_t code = atomic_load_explicit(&store->periods->period_s[number % STORE_PERIODS_MAX],
                                             memory_order_relaxed);
        uint64_t word = atomic_load_explicit(&windows->words[slot], memory_order_relaxed);
        bool is_bucket = quota_code_kind(code) == QUOTA_KIND_BUCKET;
        atomic_store_explicit(&windows->words[slot], is_bucket ? 0 : word >> 32 << 32,
                              memory_order_release);
    }
    set_note(cell, store_memory_note(cell) + (1U << STORE_MEMORY_GENERATION_SHIFT));
}

static enum err operate(struct store_memory *store, const uint8_t key[16],
                        const struct store_order *order, uint64_t now_us,
                        struct store_subject *before)
{
    struct store_cell *cell = store_cells_find_locked(&store->subjects, key);
    if (cell == NULL)
        return ERR_NOTFOUND;
    read_subject(store, cell, key, now_us, before);
    if (order->verb == STORE_ORDER_RESET)
        reset_cell(store, cell);
    store_cell_unlock(cell);
    if (order->verb != STORE_ORDER_GRANT)
        return ERR_OK;
    uint64_t now_s = before->now_us / 1000000;
    if (order->extra == 0 && before->extra == 0)
        return ERR_OK;
    return store_memory_grant(store, key, order->extra, (uint32_t)now_s + order->for_s, now_s)
               ? ERR_OK
               : ERR_LIMIT;
}

uint32_t store_memory_orders(const struct store_memory *store)
{
    return atomic_load_explicit(&store->head->orders, memory_order_acquire);
}

/* Counted behind the change: a refusal that was learned before it is then of another count. */
enum err store_memory_operate(struct store_memory *store, const uint8_t key[16],
                              const struct store_order *order, uint64_t now_us,
                              struct store_subject *before)
{
    enum err err = operate(store, key, order, now_us, before);
    if (order->verb != STORE_ORDER_SHOW)
        atomic_fetch_add_explicit(&store->head->orders, 1, memory_order_release);
    return err;
}
