/* SPDX-License-Identifier: Apache-2.0 */
/* identity_claims.h - a worker's memory of tokens that were proven.  Takes: a token.  Gives: its claim without looking at
 * the signature again, until the token ends.  Private to the module; fixed size, direct-mapped. */
#ifndef SLUICE_IDENTITY_CLAIMS_H
#define SLUICE_IDENTITY_CLAIMS_H

#include "identity/identity_jwt.h"

#define IDENTITY_CLAIMS_ENTRIES 4096 /* a power of two */
#define IDENTITY_CLAIMS_TEXT    152  /* a longer claim is not kept */

/* Owner: struct identity_cache.  Freed by: identity_claims_free.  Thread: the worker's. */
struct identity_claims;

struct identity_claims *identity_claims_new(void);
void identity_claims_free(struct identity_claims *claims);

/* As identity_jwt_verify; claims may be NULL. */
enum identity_jwt_result identity_claims_verify(struct identity_claims *claims,
                                                const struct identity_jwt *jwt, struct span token,
                                                struct span claim, uint64_t now_s,
                                                struct arena *arena, struct identity_claim *out);

#endif
