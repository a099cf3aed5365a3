/* SPDX-License-Identifier: Apache-2.0 */
/* route_index.c - takes: (parent, text) pairs.  Gives: the number filed under each.  Never: copies a
 * text, removes an entry. */
#include "route/route_index.h"

#include <assert.h>
#include <stdlib.h>

#include "base/base_load.h"

#define INDEX_FIRST_SLOTS 64u

struct route_slot {
    uint64_t hash, parent;
    const char *text;
    uint32_t len;
    uint32_t value; /* 0: free */
};

static inline uint64_t mix(uint64_t x)
{
    x *= UINT64_C(0x9e3779b97f4a7c15);
    return x ^ x >> 32;
}

uint64_t route_index_hash(struct span text)
{
    uint64_t hash = text.len, word = 0;
    for (; text.len >= 8; text.ptr += 8, text.len -= 8)
        hash = mix(hash ^ load_u64(text.ptr));
    if (text.len > 0) {
        memcpy(&word, text.ptr, text.len);
        hash = mix(hash ^ word);
    }
    return hash;
}

enum err route_index_init(struct route_index *index)
{
    *index = (struct route_index){
        .slots = calloc(INDEX_FIRST_SLOTS, sizeof(struct route_slot)),
        .mask = INDEX_FIRST_SLOTS - 1,
    };
    return index->slots == NULL ? ERR_NOMEM : ERR_OK;
}

void route_index_fini(struct route_index *index)
{
    free(index->slots);
    *index = (struct route_index){.slots = NULL};
}

/* The slot that holds the entry, or the free one where it belongs. */
static inline struct route_slot *locate(const struct route_index *index, uint64_t parent,
                                        struct span text, uint64_t hash)
{
    for (uint32_t i = (uint32_t)hash & index->mask;; i = (i + 1) & index->mask) {
        struct route_slot *slot = &index->slots[i];
        if (slot->value == 0)
            return slot;
        if (slot->hash == hash && slot->parent == parent &&
            span_eq((struct span){slot->text, slot->len}, text))
            return slot;
    }
}

static enum err grow(struct route_index *index)
{
    struct route_index wider = {
        .slots = calloc((size_t)(index->mask + 1) * 2, sizeof(struct route_slot)),
        .mask = index->mask * 2 + 1,
        .count = index->count,
    };
    if (wider.slots == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i <= index->mask; i++) {
        const struct route_slot *slot = &index->slots[i];
        if (slot->value == 0)
            continue;
        *locate(&wider, slot->parent, (struct span){slot->text, slot->len}, slot->hash) = *slot;
    }
    free(index->slots);
    *index = wider;
    return ERR_OK;
}

enum err route_index_add(struct route_index *index, uint64_t parent, struct span text,
                         uint64_t hash, uint32_t value)
{
    assert(value != 0 && text.len <= UINT32_MAX);
    /* At most half full, so a miss costs about 1.5 probes. */
    if (index->count >= index->mask / 2 && grow(index) != ERR_OK)
        return ERR_NOMEM;
    hash = mix(hash ^ mix(parent));
    struct route_slot *slot = locate(index, parent, text, hash);
    if (slot->value != 0)
        return ERR_EXISTS;
    *slot = (struct route_slot){hash, parent, text.ptr, (uint32_t)text.len, value};
    index->count++;
    return ERR_OK;
}

uint32_t route_index_find(const struct route_index *index, uint64_t parent, struct span text,
                          uint64_t hash)
{
    return locate(index, parent, text, mix(hash ^ mix(parent)))->value;
}
