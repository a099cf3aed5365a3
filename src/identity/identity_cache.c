/* SPDX-License-Identifier: Apache-2.0 */
/* identity_cache.c - takes: values.  Gives: their mac, mostly without computing it (0.09 us against 0.6 us for
 * one address on a 3 GHz core).  Never: keeps a value, allocates after
 * identity_cache_new, serves a mac on part of a tag. */
#include "identity/identity_cache.h"

#include "identity/identity_secret.h"

#include <assert.h>
#include <stdlib.h>

#include "base/base_rng.h"

#define LINE_BYTES  64  /* of the processor's cache; no entry lies across two */
#define PIECE_BYTES 256 /* a longer name or value is replaced by its own hash */
#define PIECE_HEAD  8   /* length, kind and what stands there instead of the text */

struct entry {
    struct hash128 tag; /* all zero: free */
    uint8_t mac[IDENTITY_KEY_BYTES];
};

struct identity_cache {
    struct hash_key key;
    struct entry *entries;
    unsigned mask;
    struct identity_claims *claims;
};

struct identity_cache *identity_cache_new(unsigned entries)
{
    assert(entries > 0 && (entries & (entries - 1)) == 0);
    struct identity_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        return NULL;
    size_t bytes = entries * sizeof(struct entry);
    if (bytes < LINE_BYTES)
        bytes = LINE_BYTES;
    cache->entries = aligned_alloc(LINE_BYTES, bytes);
    cache->claims = identity_claims_new();
    if (cache->entries == NULL || cache->claims == NULL) {
        identity_cache_free(cache);
        return NULL;
    }
    memset(cache->entries, 0, bytes);
    cache->mask = entries - 1;
    rng_secret(&cache->key, sizeof(cache->key));
    return cache;
}

void identity_cache_free(struct identity_cache *cache)
{
    if (cache == NULL)
        return;
    identity_claims_free(cache->claims);
    free(cache->entries);
    free(cache);
}

struct identity_claims *identity_cache_claims(struct identity_cache *cache)
{
    return cache == NULL ? NULL : cache->claims;
}

/* Append one piece: a head with its true length, then the text or its hash.  The head tells which, so
 * no text can pass for another's hash. */
static char *put(char *out, struct hash_key key, struct span text, unsigned kind, bool is_shared)
{
    bool is_long = text.len > PIECE_BYTES;
    uint32_t len = (uint32_t)text.len;
    memcpy(out, &len, sizeof(len));
    out[4] = (char)kind;
    out[5] = (char)is_shared;
    out[6] = (char)is_long;
    out[7] = 0;
    out += PIECE_HEAD;
    if (is_long) {
        struct hash128 hash = hash_sip128(key, text.ptr, text.len);
        memcpy(out, &hash, sizeof(hash));
        return out + sizeof(hash);
    }
    if (text.len > 0)
        memcpy(out, text.ptr, text.len);
    return out + text.len;
}

static struct hash128 tag_of(struct hash_key key, const struct identity_value *values,
                             unsigned count)
{
    char room[IDENTITY_VALUES_MAX * 2 * (PIECE_HEAD + PIECE_BYTES)];
    char *end = room;
    for (unsigned i = 0; i < count; i++) {
        end = put(end, key, values[i].source_name, values[i].kind, values[i].is_shared);
        end = put(end, key, values[i].value, values[i].kind, values[i].is_shared);
    }
    return hash_sip128(key, room, (size_t)(end - room));
}

enum err identity_cache_mac(struct identity_cache *cache, const struct identity_secret *secret,
                            const struct identity_value *values, unsigned count,
                            uint8_t mac[IDENTITY_KEY_BYTES])
{
    assert(count <= IDENTITY_VALUES_MAX);
    /* Under another secret the same values have another tag, so a reload needs no clearing. */
    struct hash_key print = identity_secret_print(secret);
    struct hash_key key = {cache->key.k0 ^ print.k0, cache->key.k1 ^ print.k1};
    struct hash128 tag = tag_of(key, values, count);
    struct entry *entry = &cache->entries[tag.lo & cache->mask];
    if (entry->tag.lo != tag.lo || entry->tag.hi != tag.hi) {
        enum err err = identity_mac(secret, values, count, entry->mac);
        /* A mac that failed leaves a tag that nothing has. */
        entry->tag = err == ERR_OK ? tag : (struct hash128){0, 0};
        if (err != ERR_OK)
            return err;
    }
    memcpy(mac, entry->mac, IDENTITY_KEY_BYTES);
    return ERR_OK;
}
