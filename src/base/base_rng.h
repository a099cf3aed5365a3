/* SPDX-License-Identifier: Apache-2.0 */
/* base_rng.h - random numbers.  rng_secret is the kernel's, for keys; struct rng is xoshiro256**,
 * seeded from the kernel, for ids, jitter and choices (Blackman and Vigna, 2018). */
#ifndef SLUICE_BASE_RNG_H
#define SLUICE_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Owner: a worker.  Thread: the owner's. */
struct rng {
    uint64_t s[4];
};

/* Fill from getrandom(2); aborts when the kernel cannot. */
void rng_secret(void *out, size_t bytes);
void rng_seed(struct rng *rng);
uint64_t rng_u64(struct rng *rng);
/* Uniform in [0, bound), bound > 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);

#endif
