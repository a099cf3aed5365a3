/* SPDX-License-Identifier: Apache-2.0 */
/* base_hash.h - SipHash-2-4 (Aumasson and Bernstein, 2012), 64 and 128 bits: keyed, so that a client
 * cannot choose values that collide.  And for what is secret already, cheaper ways to a place in a table. */
#ifndef SLUICE_BASE_HASH_H
#define SLUICE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t k0, k1;
};

struct hash128 {
    uint64_t lo, hi;
};

uint64_t hash_sip64(struct hash_key key, const void *bytes, size_t len);
struct hash128 hash_sip128(struct hash_key key, const void *bytes, size_t len);

/* A product of 64 by 64 bits, its halves one upon the other: cheap, and with a secret in both factors neither to be
 * steered nor turned back from outside. */
static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* A place for 256 bits that are secret themselves.  Which of them share a place, when few bits of it are taken, does not
 * tell how they came about: each of these bits depends on all of them and the key, and not by sums. */
static inline uint64_t hash_place(struct hash_key key, const uint64_t words[4])
{
    uint64_t mixed = hash_fold(words[0] ^ key.k0, words[1] ^ key.k1);
    return hash_fold(mixed ^ words[2] ^ key.k1, words[3] ^ key.k0);
}

#endif
