/* SPDX-License-Identifier: Apache-2.0 */
/* base_map.c - takes: names and pointers.  Gives: the pointer of a name.  Never: forgets a name, or
 * owns what a pointer points to.  Open addressing, at most three quarters full. */
#include "base/base_map.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_hash.h"

struct map_entry {
    char *key; /* NULL: free */
    size_t len;
    uint64_t hash;
    void *value;
};

#define MAP_FIRST_CAPACITY 16u

/* Names come from the operator's file, so the key need not be secret. */
static const struct hash_key map_key = {UINT64_C(0x736c75696365), UINT64_C(0x6d6170)};

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_fini(struct map *map)
{
    if (map == NULL)
        return;
    for (size_t i = 0; i < map->capacity; i++)
        free(map->entries[i].key);
    free(map->entries);
    map_init(map);
}

/* The entry of the key, or the free one where it belongs. */
static struct map_entry *probe(struct map_entry *entries, size_t capacity, uint64_t hash,
                               struct span key)
{
    for (size_t i = (size_t)hash;; i++) {
        struct map_entry *entry = &entries[i & (capacity - 1)];
        if (entry->key == NULL)
            return entry;
        if (entry->hash == hash && span_eq((struct span){entry->key, entry->len}, key))
            return entry;
    }
}

static bool grow(struct map *map)
{
    size_t capacity = map->capacity == 0 ? MAP_FIRST_CAPACITY : map->capacity * 2;
    struct map_entry *entries = calloc(capacity, sizeof(*entries));
    if (entries == NULL)
        return false;
    for (size_t i = 0; i < map->capacity; i++) {
        struct map_entry *old = &map->entries[i];
        if (old->key != NULL)
            *probe(entries, capacity, old->hash, (struct span){old->key, old->len}) = *old;
    }
    free(map->entries);
    map->entries = entries;
    map->capacity = capacity;
    return true;
}

enum err map_add(struct map *map, struct span key, void *value)
{
    if (map->count + 1 > map->capacity / 4 * 3 && !grow(map))
        return ERR_NOMEM;
    uint64_t hash = hash_sip64(map_key, key.ptr, key.len);
    struct map_entry *entry = probe(map->entries, map->capacity, hash, key);
    if (entry->key != NULL)
        return ERR_EXISTS;
    char *copy = malloc(key.len + 1);
    if (copy == NULL)
        return ERR_NOMEM;
    if (key.len != 0)
        memcpy(copy, key.ptr, key.len);
    copy[key.len] = '\0';
    *entry = (struct map_entry){copy, key.len, hash, value};
    map->count++;
    return ERR_OK;
}

void *map_find(const struct map *map, struct span key)
{
    if (map->count == 0)
        return NULL;
    uint64_t hash = hash_sip64(map_key, key.ptr, key.len);
    return probe(map->entries, map->capacity, hash, key)->value;
}
