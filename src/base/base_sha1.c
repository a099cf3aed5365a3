/* SPDX-License-Identifier: Apache-2.0 */
/* base_sha1.c - takes: a whole message.  Gives: its digest.  Written for clearness, not speed; never keeps a state. */
#include "base/base_sha1.h"

#include <string.h>

#define BLOCK_BYTES  64
#define LENGTH_BYTES 8 /* the message's bits, at the end of the last block */
#define ROUNDS       80

static uint32_t rotate(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

static void spread(const uint8_t *block, uint32_t words[ROUNDS])
{
    for (unsigned i = 0; i < 16; i++)
        words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                   (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (unsigned i = 16; i < ROUNDS; i++)
        words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
}

/* The function and the constant of each twenty rounds (FIPS 180-4 sections 4.1.1 and 4.2.1). */
static uint32_t mix(unsigned round, uint32_t b, uint32_t c, uint32_t d)
{
    switch (round / 20) {
    case 0:
        return ((b & c) ^ (~b & d)) + 0x5a827999u;
    case 1:
        return (b ^ c ^ d) + 0x6ed9eba1u;
    case 2:
        return ((b & c) ^ (b & d) ^ (c & d)) + 0x8f1bbcdcu;
    default:
        return (b ^ c ^ d) + 0xca62c1d6u;
    }
}

static void take_block(uint32_t state[5], const uint8_t *block)
{
    uint32_t words[ROUNDS];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    spread(block, words);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t next = rotate(a, 5) + mix(i, b, c, d) + e + words[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

static void put_big_endian(uint8_t *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

void sha1_digest(const void *bytes, size_t len, uint8_t digest[SHA1_BYTES])
{
    uint32_t state[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
    uint8_t last[2 * BLOCK_BYTES] = {0};
    const uint8_t *next = bytes;
    size_t left = len;
    for (; left >= BLOCK_BYTES; left -= BLOCK_BYTES, next += BLOCK_BYTES)
        take_block(state, next);

    /* What is left, one bit, zeroes, the length: in one block or in two. */
    size_t last_bytes = left + 1 + LENGTH_BYTES <= BLOCK_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;
    if (left != 0)
        memcpy(last, next, left);
    last[left] = 0x80;
    put_big_endian(last + last_bytes - LENGTH_BYTES, (uint64_t)len * 8, LENGTH_BYTES);
    for (size_t i = 0; i < last_bytes; i += BLOCK_BYTES)
        take_block(state, last + i);
    for (unsigned i = 0; i < 5; i++)
        put_big_endian(digest + 4 * i, state[i], 4);
}
