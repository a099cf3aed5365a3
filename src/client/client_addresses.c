/* SPDX-License-Identifier: Apache-2.0 */
/* client_addresses.c - a hash table of counts in shards, each with a lock of its own.  Lists, not probing: an entry
 * goes when its last connection does, and most addresses have few. */
#include "client/client_addresses.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_hash.h"
#include "base/base_rng.h"

#define ADDRESSES_SHARDS  64u
#define ADDRESSES_BUCKETS 256u /* of each */

struct address_entry {
    struct address_entry *next;
    struct ip ip; /* masked */
    unsigned count;
};

struct address_shard {
    _Alignas(64) pthread_mutex_t lock;
    struct address_entry *buckets[ADDRESSES_BUCKETS];
};

struct client_addresses {
    struct hash_key key; /* clients must not choose who shares a list with whom */
    struct address_shard shards[ADDRESSES_SHARDS];
};

struct client_addresses *client_addresses_new(void)
{
    struct rng rng;
    struct client_addresses *addresses = aligned_alloc(64, sizeof(*addresses));
    if (addresses == NULL)
        return NULL;
    memset(addresses, 0, sizeof(*addresses));
    rng_seed(&rng);
    addresses->key = (struct hash_key){rng_u64(&rng), rng_u64(&rng)};
    for (unsigned i = 0; i < ADDRESSES_SHARDS; i++)
        pthread_mutex_init(&addresses->shards[i].lock, NULL);
    return addresses;
}

void client_addresses_free(struct client_addresses *addresses)
{
    if (addresses == NULL)
        return;
    for (unsigned i = 0; i < ADDRESSES_SHARDS; i++) {
        for (unsigned j = 0; j < ADDRESSES_BUCKETS; j++)
            assert(addresses->shards[i].buckets[j] == NULL);
        pthread_mutex_destroy(&addresses->shards[i].lock);
    }
    free(addresses);
}

/* Where the entry of this address is linked, or would be; its shard is locked. */
static struct address_entry **address_find(struct client_addresses *addresses, const struct ip *ip,
                                           struct ip *masked, struct address_shard **shard)
{
    *masked = ip_mask(ip, 32, 64);
    uint64_t hash = hash_sip64(addresses->key, masked->bytes, sizeof(masked->bytes));
    *shard = &addresses->shards[hash % ADDRESSES_SHARDS];
    struct address_entry **at = &(*shard)->buckets[hash / ADDRESSES_SHARDS % ADDRESSES_BUCKETS];
    pthread_mutex_lock(&(*shard)->lock);
    while (*at != NULL && memcmp(&(*at)->ip, masked, sizeof(*masked)) != 0)
        at = &(*at)->next;
    return at;
}

bool client_addresses_enter(struct client_addresses *addresses, const struct ip *ip, unsigned max)
{
    struct address_shard *shard;
    struct ip masked;
    struct address_entry **at = address_find(addresses, ip, &masked, &shard);
    assert(max > 0);
    if (*at == NULL) {
        *at = malloc(sizeof(**at));
        if (*at != NULL)
            **at = (struct address_entry){.ip = masked};
    }
    bool may_enter = *at != NULL && (*at)->count < max;
    if (may_enter)
        (*at)->count++;
    pthread_mutex_unlock(&shard->lock);
    return may_enter;
}

void client_addresses_leave(struct client_addresses *addresses, const struct ip *ip)
{
    struct address_shard *shard;
    struct ip masked;
    struct address_entry *gone = NULL, **at = address_find(addresses, ip, &masked, &shard);
    assert(*at != NULL);
    if (--(*at)->count == 0) {
        gone = *at;
        *at = gone->next;
    }
    pthread_mutex_unlock(&shard->lock);
    free(gone);
}

unsigned client_addresses_count(struct client_addresses *addresses, const struct ip *ip)
{
    struct address_shard *shard;
    struct ip masked;
    struct address_entry **at = address_find(addresses, ip, &masked, &shard);
    unsigned count = *at == NULL ? 0 : (*at)->count;
    pthread_mutex_unlock(&shard->lock);
    return count;
}
