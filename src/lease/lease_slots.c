/* SPDX-License-Identifier: Apache-2.0 */
/* lease_slots.c - see lease_slots.h.  The memory is mapped, not touched: what is not used costs nothing.
 *
 * Two rules close the race between a thread that uses the overflow bucket and one that makes the subject's own cell:
 * the first looks for the subject's own cell again under the bucket's lock; the second looks for the bucket once its
 * new cell can be found, and counts what that holds as its own.  At least one sees the other. */
#include "lease/lease_slots.h"

#include <string.h>

#include "base/base_reserve.h"

#define OVERFLOW_QUOTAS 1024

struct body {
    uint64_t held;
};

#define BODY_BYTES ((uint32_t)sizeof(struct body))

static struct body *body_of(struct store_cell *cell)
{
    return store_cell_body(cell);
}

/* A second: a table that was full is looked through again so soon after slots were given back. */
static uint64_t busy_until(const void *arg, struct store_cell *cell, uint64_t now_s)
{
    (void)arg;
    return body_of(cell)->held == 0 ? 0 : now_s + 1;
}

enum err lease_slots_init(struct lease_slots *slots, uint32_t subjects)
{
    size_t subjects_bytes = store_cells_bytes(subjects, BODY_BYTES);
    slots->memory_bytes = subjects_bytes + store_cells_bytes(OVERFLOW_QUOTAS, BODY_BYTES);
    slots->memory = reserve_new(slots->memory_bytes);
    if (slots->memory == NULL)
        return ERR_NOMEM;
    store_cells_init(&slots->subjects, slots->memory, subjects, BODY_BYTES, busy_until, NULL);
    store_cells_init(&slots->overflow, (char *)slots->memory + subjects_bytes, OVERFLOW_QUOTAS,
                     BODY_BYTES, busy_until, NULL);
    return ERR_OK;
}

void lease_slots_fini(struct lease_slots *slots)
{
    reserve_free(slots->memory, slots->memory_bytes);
    slots->memory = NULL;
}

static uint32_t capped(uint64_t count)
{
    return count > INT32_MAX ? INT32_MAX : (uint32_t)count;
}

/* In a locked cell.  others: what is held elsewhere and counts here too. */
static bool take_one(struct quota_slot *slot, struct body *body, uint64_t others, uint32_t limit)
{
    slot->is_refused = limit != LEASE_SLOTS_ALL && body->held + others >= limit;
    if (!slot->is_refused)
        body->held++;
    slot->used = capped(body->held + others);
    return !slot->is_refused;
}

static enum lease_slots_place take_own(const struct lease_slots *slots, struct quota_slot *slot,
                                       uint32_t limit, struct store_cell *own)
{
    struct store_cell *bucket = store_cells_find_locked(&slots->overflow, slot->quota->id);
    bool is_taken = take_one(slot, body_of(own), bucket == NULL ? 0 : body_of(bucket)->held, limit);
    if (bucket != NULL)
        store_cell_unlock(bucket);
    return is_taken ? LEASE_SLOTS_SUBJECT : LEASE_SLOTS_NOWHERE;
}

enum lease_slots_place lease_slots_take(const struct lease_slots *slots, struct quota_slot *slot,
                                        uint32_t limit, uint64_t now_s)
{
    const struct store_cells *subjects = &slots->subjects;
    enum lease_slots_place place = LEASE_SLOTS_NOWHERE;
    slot->is_refused = false;
    slot->used = 0;
    for (;;) {
        struct store_cell *cell = store_cells_take(subjects, slot->key, now_s);
        if (cell != NULL) {
            place = take_own(slots, slot, limit, cell);
            store_cell_unlock(cell);
            return place;
        }
        cell = store_cells_take(&slots->overflow, slot->quota->id, now_s);
        if (cell == NULL)
            return LEASE_SLOTS_NOWHERE;
        bool has_own =
            store_cells_find(subjects, slot->key, store_cells_hash(subjects, slot->key)) != NULL;
        if (!has_own && take_one(slot, body_of(cell), 0, limit))
            place = LEASE_SLOTS_OVERFLOW;
        store_cell_unlock(cell);
        if (!has_own)
            return place;
    }
}

static uint64_t held_of(const struct store_cells *cells, const uint8_t key[16])
{
    struct store_cell *cell = store_cells_find_locked(cells, key);
    uint64_t held = cell == NULL ? 0 : body_of(cell)->held;
    if (cell != NULL)
        store_cell_unlock(cell);
    return held;
}

uint32_t lease_slots_used(const struct lease_slots *slots, const uint8_t key[16],
                          const struct quota *quota)
{
    return capped(held_of(&slots->subjects, key) + held_of(&slots->overflow, quota->id));
}

void lease_slots_give_back(const struct lease_slots *slots, const struct quota_slot *slot,
                           enum lease_slots_place place)
{
    if (place == LEASE_SLOTS_NOWHERE)
        return;
    bool is_own = place == LEASE_SLOTS_SUBJECT;
    struct store_cell *cell = is_own ? store_cells_find_locked(&slots->subjects, slot->key)
                                     : store_cells_find_locked(&slots->overflow, slot->quota->id);
    if (cell == NULL)
        return; /* cannot be: what holds a slot is busy */
    if (body_of(cell)->held != 0)
        body_of(cell)->held--;
    store_cell_unlock(cell);
}
