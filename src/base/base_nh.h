/* SPDX-License-Identifier: Apache-2.0 */
/* base_nh.h - NH (Black, Halevi, Krawczyk, Krovetz, Rogaway, "UMAC: fast and secure message authentication",
 * 1999) over 64-bit words, in two Toeplitz passes.  Takes: pairs of words and random words as key.  Gives: 256
 * bits, equal for two different inputs with a chance of at most 2^-128 (theorem 4.2 there, twice 2^-64), as long as
 * whoever chose them knows nothing of the key.  So: for tables that stay in one process and show nobody the
 * result, nor a function of it that could be turned back.
 *
 * Inputs that differ in length must differ in their first pair too: put the lengths there. */
#ifndef SLUICE_BASE_NH_H
#define SLUICE_BASE_NH_H

#include <stddef.h>
#include <stdint.h>

#include "base/base_load.h"

#define NH_BLOCK            16 /* bytes of a pair */

/* How many key words `pairs` pairs need. */
#define NH_KEY_WORDS(pairs) (2 * (pairs) + 2)

/* The sums on their way.  Owner: whoever embeds it. */
struct nh {
    const uint64_t *key; /* of the next pair */
    unsigned __int128 first, second;
};

static inline void nh_pair(struct nh *nh, uint64_t a, uint64_t b)
{
    nh->first += (unsigned __int128)(a + nh->key[0]) * (b + nh->key[1]);
    nh->second += (unsigned __int128)(a + nh->key[2]) * (b + nh->key[3]);
    nh->key += 2;
}

/* One pair for every 16 bytes begun.  The last one may overlap those before: for a length that is known, still
 * no two texts give the same words. */
static inline void nh_bytes(struct nh *nh, const char *bytes, size_t len)
{
    if (len >= NH_BLOCK) {
        size_t at = 0;
        for (; at + NH_BLOCK < len; at += NH_BLOCK)
            nh_pair(nh, load_u64(bytes + at), load_u64(bytes + at + 8));
        nh_pair(nh, load_u64(bytes + len - 16), load_u64(bytes + len - 8));
    } else if (len >= 8) {
        nh_pair(nh, load_u64(bytes), load_u64(bytes + len - 8));
    } else if (len >= 4) {
        nh_pair(nh, load_u32(bytes), load_u32(bytes + len - 4));
    } else if (len > 0) {
        const unsigned char *text = (const unsigned char *)bytes;
        nh_pair(nh, text[0] | (uint64_t)text[len / 2] << 8 | (uint64_t)text[len - 1] << 16, 0);
    }
}

/* The same family over GF(2^128): xor for addition, and the product without carries of 128 bits each (Lemire, Kaser,
 * "Faster 64-bit universal hashing using carry-less multiplications", 2015), so that one pass gives 255 bits, equal for
 * two different inputs with a chance of at most 2^-128 (a product of polynomials over GF(2) that are not zero is not
 * zero), in a third of the instructions.  For at least NH_FOLD_BLOCK bytes; takes no more of the key than nh_bytes.
 * Where the processor cannot do that it is NH itself. */
void nh_fold(const uint64_t *key, const char *bytes, size_t len, uint64_t out[4]);

#define NH_FOLD_BLOCK (2 * NH_BLOCK)
#define NH_FOLD_MIN   64 /* bytes from which on it pays */
/* Of the text's own pairs: two for what came out, and a key pair between that both passes have to themselves. */
#define NH_TEXT_MORE  3

/* nh_bytes of a text that may be long.  In one process the same text always takes the same way. */
static inline void nh_text(struct nh *nh, const char *bytes, size_t len)
{
    if (len < NH_FOLD_MIN) {
        nh_bytes(nh, bytes, len);
        return;
    }
    uint64_t out[4];
    nh_fold(nh->key, bytes, len, out);
    nh->key += 2 * ((len + NH_BLOCK - 1) / NH_BLOCK) + 2;
    nh_pair(nh, out[0], out[1]);
    nh_pair(nh, out[2], out[3]);
}

#endif
