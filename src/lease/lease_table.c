/* SPDX-License-Identifier: Apache-2.0 */
/* lease_table.c - see lease_table.h.  The memory is mapped, not touched: what is not used costs
 * nothing. */
#include "lease/lease_table.h"

#include <string.h>

#include "base/base_reserve.h"

#define OVERFLOW_QUOTAS 1024
#define MAKE_TRIES      8 /* then only what is there is found */
#define BODY_BYTES      ((uint32_t)sizeof(struct lease_cell))

static uint64_t busy_until(const void *arg, struct store_cell *cell, uint64_t now_s)
{
    const struct lease_table *table = arg;
    (void)now_s;
    return lease_cell_busy_until(store_cell_body(cell),
                                 atomic_load_explicit(&table->is_away, memory_order_relaxed));
}

enum err lease_table_init(struct lease_table *table, uint32_t subjects)
{
    size_t subjects_bytes = store_cells_bytes(subjects, BODY_BYTES);
    table->memory_bytes = subjects_bytes + store_cells_bytes(OVERFLOW_QUOTAS, BODY_BYTES);
    table->memory = reserve_new(table->memory_bytes);
    if (table->memory == NULL)
        return ERR_NOMEM;
    store_cells_init(&table->subjects, table->memory, subjects, BODY_BYTES, busy_until, table);
    store_cells_init(&table->overflow, (char *)table->memory + subjects_bytes, OVERFLOW_QUOTAS,
                     BODY_BYTES, busy_until, table);
    atomic_init(&table->is_away, false);
    return ERR_OK;
}

void lease_table_fini(struct lease_table *table)
{
    reserve_free(table->memory, table->memory_bytes);
    table->memory = NULL;
}

struct store_cell *lease_table_take(const struct lease_table *table, const uint8_t key[16],
                                    uint64_t now_s)
{
    return store_cells_take(&table->subjects, key, now_s);
}

struct store_cell *lease_table_find(const struct lease_table *table, const uint8_t key[16])
{
    return store_cells_find_locked(&table->subjects, key);
}

/* The charge's cell, not locked.  False: there is none for it. */
static bool find_place(const struct lease_table *table, const struct quota_charge *charge,
                       bool may_overflow, bool may_make, uint64_t now_s, struct lease_held *held)
{
    const struct store_cells *cells = &table->subjects;
    held->quota = charge->quota;
    held->cost = charge->cost;
    held->is_overflow = false;
    held->is_guarded = charge->is_guarded;
    may_make &= may_overflow || !charge->is_guarded;
    memcpy(held->key, charge->key, sizeof(held->key));
    uint64_t hash = store_cells_hash(cells, held->key);
    held->cell = may_make ? store_cells_make(cells, held->key, hash, now_s)
                          : store_cells_find(cells, held->key, hash);
    if (held->cell != NULL || !may_overflow)
        return true;
    cells = &table->overflow;
    held->is_overflow = true;
    memcpy(held->key, charge->quota->id, sizeof(held->key));
    held->cell = store_cells_make(cells, held->key, store_cells_hash(cells, held->key), now_s);
    return held->cell != NULL;
}

/* Locked in the order of their addresses, as store_cells wants.  False: one of them has gone to another
 * key in between. */
static bool lock_all(const struct lease_table *table, struct lease_held *held, unsigned count)
{
    uint8_t order[QUOTA_MAX_PER_ROUTE];
    for (unsigned i = 0; i < count; i++) {
        unsigned at = i;
        for (; at > 0 && (uintptr_t)held[order[at - 1]].cell > (uintptr_t)held[i].cell; at--)
            order[at] = order[at - 1];
        order[at] = (uint8_t)i;
    }
    for (unsigned i = 0; i < count; i++) {
        const struct lease_held *next = &held[order[i]];
        if (next->cell != NULL)
            store_cell_lock(next->is_overflow ? &table->overflow : &table->subjects, next->cell);
    }
    for (unsigned i = 0; i < count; i++) {
        if (held[i].cell == NULL || store_cell_has(held[i].cell, held[i].key))
            continue;
        lease_table_let_go(held, count);
        return false;
    }
    return true;
}

/* The place of the charge among those that were found, or a new one. */
static unsigned merge(struct lease_held *held, unsigned count)
{
    unsigned same = 0;
    while (memcmp(held[same].key, held[count].key, sizeof(held->key)) != 0)
        same++;
    if (same != count)
        held[same].cost += held[count].cost;
    return same;
}

/* A new cell has nothing used and may be taken by the next newcomer, even by the next charge of the same request. */
static bool is_taken_twice(const struct lease_held *held, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < i; j++) {
            if (held[i].cell != NULL && held[i].cell == held[j].cell)
                return true;
        }
    }
    return false;
}

/* The usual case. */
static unsigned hold_single(const struct lease_table *table, const struct quota_charge *charge,
                            bool may_overflow, uint64_t now_s, struct lease_held *held)
{
    for (;;) {
        if (!find_place(table, charge, may_overflow, true, now_s, held))
            return 0;
        if (held->cell == NULL)
            return 1;
        store_cell_lock(held->is_overflow ? &table->overflow : &table->subjects, held->cell);
        if (store_cell_has(held->cell, held->key))
            return 1;
        store_cell_unlock(held->cell);
    }
}

unsigned lease_table_hold(const struct lease_table *table, const struct quota_charge *charges,
                          unsigned count, const bool *wanted, bool may_overflow, uint64_t now_s,
                          struct lease_held held[QUOTA_MAX_PER_ROUTE],
                          uint8_t held_of[QUOTA_MAX_PER_ROUTE])
{
    unsigned held_count, tries = 0;
    if (count == 1 && (wanted == NULL || wanted[0])) {
        held_of[0] = 0;
        return hold_single(table, charges, may_overflow, now_s, held);
    }
    do {
        bool may_make = tries++ < MAKE_TRIES;
        held_count = 0;
        for (unsigned i = 0; i < count; i++) {
            if (wanted != NULL && !wanted[i])
                continue;
            if (!find_place(table, &charges[i], may_overflow, may_make, now_s, &held[held_count]))
                return 0;
            held_of[i] = (uint8_t)merge(held, held_count);
            if (held_of[i] == held_count)
                held_count++;
        }
    } while (held_count != 0 &&
             (is_taken_twice(held, held_count) || !lock_all(table, held, held_count)));
    return held_count;
}

void lease_table_hold_one(const struct lease_table *table, const struct quota_charge *charge,
                          uint64_t now_s, struct lease_held *held)
{
    struct lease_held all[QUOTA_MAX_PER_ROUTE];
    uint8_t held_of[QUOTA_MAX_PER_ROUTE];
    (void)lease_table_hold(table, charge, 1, NULL, false, now_s, all, held_of);
    *held = all[0];
}

void lease_table_let_go(struct lease_held *held, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (held[i].cell != NULL)
            store_cell_unlock(held[i].cell);
    }
}
