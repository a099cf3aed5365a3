/* SPDX-License-Identifier: Apache-2.0 */
/* identity_cache.c - takes: values.  Gives: their mac, mostly without computing it.  Never: keeps a value, allocates after
 * identity_cache_new, serves a mac on part of a tag. */
#include "identity/identity_cache.h"

#include "identity/identity_secret.h"

#include <assert.h>
#include <stdlib.h>

#include "base/base_fmt.h"
#include "base/base_nh.h"
#include "base/base_rng.h"

#define LINE_BYTES  64   /* of the processor's cache */
#define NAME_BYTES  128  /* a longer name is replaced by its own hash */
#define VALUE_BYTES 4096 /* the same for values; several share it */
#define PAIRS_MAX                                                                                  \
    (IDENTITY_VALUES_MAX * (1 + NAME_BYTES / NH_BLOCK + 1 + 2 * NH_TEXT_MORE) +                    \
     VALUE_BYTES / NH_BLOCK)
#define ENTRY_QUOTAS 2 /* whose keys are kept */

/* A mac and what follows from it.  Two lines: what makes a hit stands in the first. */
struct entry {
    uint64_t tag[4]; /* all zero: free */
    uint8_t mac[IDENTITY_KEY_BYTES];
    uint64_t quotas[ENTRY_QUOTAS]; /* the first half of their ids; 0: free */
    uint8_t keys[ENTRY_QUOTAS][IDENTITY_KEY_BYTES];
    char text[IDENTITY_TEXT_LEN];
    char spare[10];
};

_Static_assert(sizeof(struct entry) == 2 * LINE_BYTES, "an entry begins a line");

struct identity_cache {
    uint64_t words[NH_KEY_WORDS(PAIRS_MAX)]; /* key of the tags */
    struct hash_key key;                     /* of places, and of what is too long for the tags */
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
    cache->entries = aligned_alloc(LINE_BYTES, bytes);
    cache->claims = identity_claims_new();
    if (cache->entries == NULL || cache->claims == NULL) {
        identity_cache_free(cache);
        return NULL;
    }
    memset(cache->entries, 0, bytes);
    cache->mask = entries - 1;
    rng_secret(cache->words, sizeof(cache->words));
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

/* A text, or its hash where it is too long for the key. */
static inline void add_text(const struct identity_cache *cache, struct nh *nh, struct span text,
                            bool is_long)
{
    if (is_long) {
        struct hash128 hash = hash_sip128(cache->key, text.ptr, text.len);
        nh_pair(nh, hash.lo, hash.hi);
    } else {
        nh_text(nh, text.ptr, text.len);
    }
}

/* NH of the secret and of all that the mac is made of, each text behind a pair that holds its length: so what
 * differs in length differs in such a pair, whatever the texts. */
static void tag_of(const struct identity_cache *cache, struct hash_key print,
                   const struct identity_value *values, unsigned count, uint64_t tag[4])
{
    struct nh nh = {cache->words, 0, 0};
    for (unsigned i = 0; i < count; i++) {
        const struct identity_value *value = &values[i];
        bool has_long_name = value->source_name.len > NAME_BYTES;
        bool is_long = value->value.len * count > VALUE_BYTES;
        uint64_t head = (uint64_t)value->value.len << 32 | (uint64_t)value->kind << 8 |
                        (uint64_t)value->is_shared << 4 | count;
        /* Another secret gives the same values another tag, so a reload needs no clearing. */
        nh_pair(&nh, head, print.k0 ^ value->source_name.len);
        add_text(cache, &nh, value->source_name, has_long_name);
        add_text(cache, &nh, value->value, is_long);
    }
    tag[0] = (uint64_t)nh.first;
    tag[1] = (uint64_t)(nh.first >> 64);
    tag[2] = (uint64_t)nh.second;
    tag[3] = (uint64_t)(nh.second >> 64);
}

static inline bool has_tag(const struct entry *entry, const uint64_t tag[4])
{
    return ((entry->tag[0] ^ tag[0]) | (entry->tag[1] ^ tag[1]) | (entry->tag[2] ^ tag[2]) |
            (entry->tag[3] ^ tag[3])) == 0;
}

static enum err fill(struct entry *entry, const uint64_t tag[4],
                     const struct identity_secret *secret, const struct identity_value *values,
                     unsigned count)
{
    enum err err = identity_mac(secret, values, count, entry->mac);
    memset(entry->quotas, 0, sizeof(entry->quotas));
    memset(entry->tag, 0, sizeof(entry->tag)); /* a mac that failed leaves what nothing has */
    if (err != ERR_OK)
        return err;
    memcpy(entry->tag, tag, sizeof(entry->tag));
    fmt_base64url(entry->text, entry->mac, IDENTITY_KEY_BYTES);
    return ERR_OK;
}

enum err identity_cache_mark(struct identity_cache *cache, const struct identity_secret *secret,
                             const struct identity_value *values, unsigned count,
                             struct identity_mark *mark)
{
    assert(count > 0 && count <= IDENTITY_VALUES_MAX);
    uint64_t tag[4];
    tag_of(cache, identity_secret_print(secret), values, count, tag);
    /* The time that an answer takes shows which values share a place.  NH alone could be solved for its key from
     * that; not through folded products. */
    mark->place = (uint32_t)hash_place(cache->key, tag) & cache->mask;
    struct entry *entry = &cache->entries[mark->place];
    if (!has_tag(entry, tag)) {
        enum err err = fill(entry, tag, secret, values, count);
        if (err != ERR_OK)
            return err;
    }
    memcpy(mark->mac, entry->mac, IDENTITY_KEY_BYTES);
    memcpy(mark->text, entry->text, IDENTITY_TEXT_LEN);
    return ERR_OK;
}

void identity_cache_key(struct identity_cache *cache, const struct identity_mark *mark,
                        const uint8_t quota_id[IDENTITY_KEY_BYTES], uint8_t key[IDENTITY_KEY_BYTES])
{
    struct entry *entry = &cache->entries[mark->place];
    uint64_t quota;
    memcpy(&quota, quota_id, sizeof(quota)); /* a half tells them apart: names are the operator's */
    /* The place may have gone to others since. */
    bool is_here = quota != 0 && memcmp(entry->mac, mark->mac, IDENTITY_KEY_BYTES) == 0;
    for (unsigned i = 0; i < ENTRY_QUOTAS && is_here; i++) {
        if (entry->quotas[i] != quota)
            continue;
        memcpy(key, entry->keys[i], IDENTITY_KEY_BYTES);
        return;
    }
    identity_quota_key(mark->mac, quota_id, key);
    if (!is_here)
        return;
    entry->quotas[1] = entry->quotas[0];
    memcpy(entry->keys[1], entry->keys[0], IDENTITY_KEY_BYTES);
    entry->quotas[0] = quota;
    memcpy(entry->keys[0], key, IDENTITY_KEY_BYTES);
}
