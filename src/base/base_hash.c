/* SPDX-License-Identifier: Apache-2.0 */
/* base_hash.c - takes: a key and bytes.  Gives: SipHash-2-4 of them.  Never: allocates.  Written from
 * the paper (Aumasson and Bernstein, 2012); the 128-bit form is the authors' later variant. */
#include "base/base_hash.h"

#include <endian.h>
#include <string.h>

#include "base/base_load.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate_left(s->v1, 13) ^ s->v0;
    s->v0 = rotate_left(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate_left(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate_left(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate_left(s->v1, 17) ^ s->v2;
    s->v2 = rotate_left(s->v2, 32);
}

static inline void sip_absorb(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

static inline uint64_t sip_finish(struct sip *s)
{
    for (int i = 0; i < 4; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static inline struct sip sip_begin(struct hash_key key)
{
    return (struct sip){
        key.k0 ^ UINT64_C(0x736f6d6570736575),
        key.k1 ^ UINT64_C(0x646f72616e646f6d),
        key.k0 ^ UINT64_C(0x6c7967656e657261),
        key.k1 ^ UINT64_C(0x7465646279746573),
    };
}

static inline void sip_bytes(struct sip *s, const void *bytes, size_t len)
{
    const unsigned char *next = bytes;
    uint64_t word = 0;
    for (size_t left = len / 8; left > 0; left--, next += 8)
        sip_absorb(s, le64toh(load_u64(next)));
    if (len % 8 != 0)
        memcpy(&word, next, len % 8);
    sip_absorb(s, le64toh(word) | (uint64_t)len << 56);
}

uint64_t hash_sip64(struct hash_key key, const void *bytes, size_t len)
{
    struct sip s = sip_begin(key);
    sip_bytes(&s, bytes, len);
    s.v2 ^= 0xff;
    return sip_finish(&s);
}

struct hash128 hash_sip128(struct hash_key key, const void *bytes, size_t len)
{
    struct sip s = sip_begin(key);
    s.v1 ^= 0xee;
    sip_bytes(&s, bytes, len);
    s.v2 ^= 0xee;
    struct hash128 hash;
    hash.lo = sip_finish(&s);
    s.v1 ^= 0xdd;
    hash.hi = sip_finish(&s);
    return hash;
}
