/* SPDX-License-Identifier: Apache-2.0 */
/* identity_jwt.h - signed tokens (RFC 7519) and the keys that prove them.  Takes: a token, the time.  Gives: the text
 * of one claim, if one of the keys signed it with its own algorithm and it is valid now; else nothing. */
#ifndef SLUICE_IDENTITY_JWT_H
#define SLUICE_IDENTITY_JWT_H

#include "base/base_arena.h"
#include "base/base_hash.h"
#include "base/base_span.h"

#define IDENTITY_JWT_KEYS_MAX  16
#define IDENTITY_JWT_BYTES_MAX 16384 /* a longer token is missing */
#define IDENTITY_JWT_CLAIM_MAX 1024  /* so is a longer claim */
#define IDENTITY_JWT_TERM_MAX  1024  /* bytes of an issuer, of an audience */
#define IDENTITY_JWT_AUDIENCES 16
#define IDENTITY_HS256_MIN     32   /* bytes of a secret (RFC 7518 section 3.2) */
#define IDENTITY_RS256_MIN     2048 /* bits of a key (section 3.3) */

enum identity_algorithm {
    IDENTITY_HS256,
    IDENTITY_RS256,
    IDENTITY_ES256,
    IDENTITY_ALGORITHMS
};

/* The keys of one identity.  Owner: the plan.  Freed by: identity_jwt_free.  Thread: any; only read once made. */
struct identity_jwt;

struct identity_jwt *identity_jwt_new(uint64_t leeway_s);
void identity_jwt_free(struct identity_jwt *jwt);

/* What a token must say, besides, for a key to prove it; what is empty is not asked for.  Texts are kept. */
struct identity_jwt_terms {
    struct span kid;              /* in its header, if it has one there */
    struct span issuer;           /* "iss", to the letter (RFC 7519 section 4.1.1) */
    const struct span *audiences; /* "aud" is, or lists, one of them (section 4.1.3) */
    unsigned audience_count;
};

/* A secret for HS256, a public key in PEM for the others; terms are copied.  NULL, or what is wrong. */
const char *identity_jwt_add(struct identity_jwt *jwt, enum identity_algorithm algorithm,
                             struct span key, const struct identity_jwt_terms *terms);

/* Different for every set of keys that was ever made. */
struct hash_key identity_jwt_print(const struct identity_jwt *jwt);

/* What a token proves. */
struct identity_claim {
    struct span text;       /* in the arena */
    uint64_t from_s, end_s; /* valid in [from_s, end_s), leeway included */
};

enum identity_jwt_result {
    IDENTITY_JWT_GOOD,
    IDENTITY_JWT_BAD,       /* whatever is wrong: to the identity it is missing */
    IDENTITY_JWT_EXHAUSTED, /* no memory */
};

/* Verify the token and read the claim, a string or a whole number.  A token needs "exp". */
enum identity_jwt_result identity_jwt_verify(const struct identity_jwt *jwt, struct span token,
                                             struct span claim, uint64_t now_s, struct arena *arena,
                                             struct identity_claim *out);

#endif
