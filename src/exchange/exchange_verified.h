/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_verified.h - pairs of a subject and a client's address that a server has accepted.  Takes: hashes of pairs.
 * Gives: was it accepted lately?  Bounded, shared by all workers without a lock, kept over reloads.  What is lost (a
 * full table, a child that died) is asked for again. */
#ifndef SLUICE_EXCHANGE_VERIFIED_H
#define SLUICE_EXCHANGE_VERIFIED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base_hash.h"
#include "base/base_ip.h"

#define EXCHANGE_VERIFIED_PAIRS 262144 /* 6 MiB when all are used; a power of two */
#define EXCHANGE_VERIFIED_S     3600   /* without another answer */

/* Owner: the process.  Freed by: exchange_verified_free.  Thread: any. */
struct exchange_verified;

/* For so many pairs, a power of two from 4 on; memory is taken when pairs come.  NULL: out of memory. */
struct exchange_verified *exchange_verified_new(uint32_t pairs);
void exchange_verified_free(struct exchange_verified *verified);

/* The hash of a pair, under a key that this process has made up. */
struct hash128 exchange_verified_pair(const struct exchange_verified *verified, const void *bytes,
                                      size_t len);

/* The pair of a subject (its mac), the address that its identity counts clients by, and the upstream (struct plan_route)
 * that has accepted it. */
struct hash128 exchange_verified_caller(const struct exchange_verified *verified,
                                        const uint8_t subject[16], const struct ip *address,
                                        const uint8_t upstream_id[16]);

/* now_s: monotonic. */
bool exchange_verified_has(const struct exchange_verified *verified, struct hash128 pair,
                           uint32_t now_s);
/* Of four that may stand in its place the one that was accepted longest ago goes. */
void exchange_verified_add(struct exchange_verified *verified, struct hash128 pair, uint32_t now_s);
void exchange_verified_remove(struct exchange_verified *verified, struct hash128 pair);

#endif
