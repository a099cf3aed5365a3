/* SPDX-License-Identifier: Apache-2.0 */
/* base_hash.h - SipHash-2-4 (Aumasson and Bernstein, 2012), 64 and 128 bits: keyed, so that a client
 * cannot choose values that collide. */
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

/* Three rounds, the end of SipHash-1-3, over 256 bits that are secret themselves: hides how they came about. */
uint64_t hash_sip_end(struct hash_key key, const uint64_t words[4]);

#endif
