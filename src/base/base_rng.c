/* SPDX-License-Identifier: Apache-2.0 */
/* base_rng.c - gives: kernel randomness for keys, xoshiro256** for everything else.  Never: uses the
 * latter for a secret. */
#include "base/base_rng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void rng_secret(void *out, size_t bytes)
{
    char *next = out;
    while (bytes > 0) {
        ssize_t got = getrandom(next, bytes, 0);
        if (got < 0 && errno != EINTR)
            abort(); /* no key is better than a weak one */
        if (got > 0) {
            next += got;
            bytes -= (size_t)got;
        }
    }
}

void rng_seed(struct rng *rng)
{
    do {
        rng_secret(rng->s, sizeof(rng->s));
    } while ((rng->s[0] | rng->s[1] | rng->s[2] | rng->s[3]) ==
             0); /* the one state that is stuck */
}

static uint64_t rotate_left(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

uint64_t rng_u64(struct rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    /* Lemire 2019: the high half of a 128-bit product, redrawn while the low half is in the part
     * that would favour small values. */
    unsigned __int128 product = (unsigned __int128)rng_u64(rng) * bound;
    if ((uint64_t)product < bound) {
        uint64_t floor = (0 - bound) % bound;
        while ((uint64_t)product < floor)
            product = (unsigned __int128)rng_u64(rng) * bound;
    }
    return (uint64_t)(product >> 64);
}
