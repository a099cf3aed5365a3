/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_verified.c - see exchange_verified.h.  Sets of four entries, each of a hash and the time until which it counts.
 *
 * A writer writes the hash, then the time; a reader looks at the time first.  So a hash is never believed with the later
 * time of another.  Two writers that meet in one entry can leave half of either hash, which is nobody's. */
#include "exchange/exchange_verified.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_rng.h"

#define WAYS 4

struct entry {
    _Atomic uint64_t lo, hi;
    _Atomic uint32_t until_s; /* 0: free */
};

struct exchange_verified {
    struct hash_key key;
    uint32_t mask; /* of sets */
    struct entry entries[];
};

struct exchange_verified *exchange_verified_new(uint32_t pairs)
{
    assert(pairs >= WAYS && (pairs & (pairs - 1)) == 0);
    struct exchange_verified *verified =
        calloc(1, sizeof(*verified) + pairs * sizeof(struct entry));
    if (verified == NULL)
        return NULL;
    rng_secret(&verified->key, sizeof(verified->key));
    verified->mask = pairs / WAYS - 1;
    return verified;
}

void exchange_verified_free(struct exchange_verified *verified)
{
    free(verified);
}

struct hash128 exchange_verified_pair(const struct exchange_verified *verified, const void *bytes,
                                      size_t len)
{
    return hash_sip128(verified->key, bytes, len);
}

struct hash128 exchange_verified_caller(const struct exchange_verified *verified,
                                        const uint8_t subject[16], const struct ip *address,
                                        const uint8_t upstream_id[16])
{
    struct {
        uint8_t subject[16];
        struct ip address;
        uint8_t upstream[16];
    } bytes = {.address = *address};
    memcpy(bytes.subject, subject, sizeof(bytes.subject));
    memcpy(bytes.upstream, upstream_id, sizeof(bytes.upstream));
    return exchange_verified_pair(verified, &bytes, sizeof(bytes));
}

static size_t first_of(const struct exchange_verified *verified, struct hash128 pair)
{
    return (size_t)(pair.lo & verified->mask) * WAYS;
}

static uint32_t until_of(const struct entry *entry)
{
    return atomic_load_explicit(&entry->until_s, memory_order_acquire);
}

static bool is_of(const struct entry *entry, struct hash128 pair)
{
    return atomic_load_explicit(&entry->lo, memory_order_relaxed) == pair.lo &&
           atomic_load_explicit(&entry->hi, memory_order_relaxed) == pair.hi;
}

bool exchange_verified_has(const struct exchange_verified *verified, struct hash128 pair,
                           uint32_t now_s)
{
    const struct entry *set = &verified->entries[first_of(verified, pair)];
    for (unsigned i = 0; i < WAYS; i++) {
        if (until_of(&set[i]) > now_s && is_of(&set[i], pair))
            return true;
    }
    return false;
}

void exchange_verified_add(struct exchange_verified *verified, struct hash128 pair, uint32_t now_s)
{
    struct entry *set = &verified->entries[first_of(verified, pair)];
    struct entry *entry = set;
    for (unsigned i = 0; i < WAYS; i++) {
        uint32_t until_s = until_of(&set[i]);
        if (is_of(&set[i], pair)) {
            entry = &set[i];
            /* Nearly always: no line of the cache goes from one processor to another. */
            if (until_s > now_s + EXCHANGE_VERIFIED_S / 2)
                return;
            break;
        }
        if (until_s < until_of(entry))
            entry = &set[i];
    }
    atomic_store_explicit(&entry->lo, pair.lo, memory_order_relaxed);
    atomic_store_explicit(&entry->hi, pair.hi, memory_order_relaxed);
    atomic_store_explicit(&entry->until_s, now_s + EXCHANGE_VERIFIED_S, memory_order_release);
}

void exchange_verified_remove(struct exchange_verified *verified, struct hash128 pair)
{
    struct entry *set = &verified->entries[first_of(verified, pair)];
    for (unsigned i = 0; i < WAYS; i++) {
        if (until_of(&set[i]) != 0 && is_of(&set[i], pair))
            atomic_store_explicit(&set[i].until_s, 0, memory_order_release);
    }
}
