/* SPDX-License-Identifier: Apache-2.0 */
/* identity_claims.c - see identity_claims.h.  A token is found by a SipHash-128 under a random key, mixed with its keys'
 * number and the claim's name, and verified by all of it; other keys or another claim never find it.  Never: keeps a token,
 * or one that was not proven (made-up ones would drive out the rest). */
#include "identity/identity_claims.h"

#include <stdlib.h>
#include <string.h>

#include "base/base_rng.h"

struct entry {
    struct hash128 tag; /* all zero: free */
    uint64_t from_s, end_s;
    uint32_t len;
    char text[IDENTITY_CLAIMS_TEXT];
};

struct identity_claims {
    struct hash_key key;
    struct entry entries[IDENTITY_CLAIMS_ENTRIES];
};

/* Pages that no token needs are never touched. */
struct identity_claims *identity_claims_new(void)
{
    struct identity_claims *claims = calloc(1, sizeof(*claims));
    if (claims != NULL)
        rng_secret(&claims->key, sizeof(claims->key));
    return claims;
}

void identity_claims_free(struct identity_claims *claims)
{
    free(claims);
}

static struct hash128 tag_of(const struct identity_claims *claims, const struct identity_jwt *jwt,
                             struct span token, struct span claim)
{
    struct hash_key print = identity_jwt_print(jwt);
    struct hash128 name = hash_sip128(claims->key, claim.ptr, claim.len);
    struct hash_key key = {claims->key.k0 ^ print.k0 ^ name.lo,
                           claims->key.k1 ^ print.k1 ^ name.hi};
    return hash_sip128(key, token.ptr, token.len);
}

static void keep(struct entry *entry, struct hash128 tag, const struct identity_claim *claim)
{
    if (claim->text.len > IDENTITY_CLAIMS_TEXT)
        return;
    entry->tag = tag;
    entry->from_s = claim->from_s;
    entry->end_s = claim->end_s;
    entry->len = (uint32_t)claim->text.len;
    memcpy(entry->text, claim->text.ptr, claim->text.len);
}

enum identity_jwt_result identity_claims_verify(struct identity_claims *claims,
                                                const struct identity_jwt *jwt, struct span token,
                                                struct span claim, uint64_t now_s,
                                                struct arena *arena, struct identity_claim *out)
{
    if (claims == NULL || token.len > IDENTITY_JWT_BYTES_MAX)
        return identity_jwt_verify(jwt, token, claim, now_s, arena, out);
    struct hash128 tag = tag_of(claims, jwt, token, claim);
    struct entry *entry = &claims->entries[tag.lo & (IDENTITY_CLAIMS_ENTRIES - 1)];
    if (entry->tag.lo != tag.lo || entry->tag.hi != tag.hi) {
        enum identity_jwt_result result = identity_jwt_verify(jwt, token, claim, now_s, arena, out);
        if (result == IDENTITY_JWT_GOOD)
            keep(entry, tag, out);
        return result;
    }
    if (now_s < entry->from_s || now_s >= entry->end_s)
        return IDENTITY_JWT_BAD;
    /* The entry may be taken while the exchange still needs the text. */
    *out = (struct identity_claim){arena_copy(arena, (struct span){entry->text, entry->len}),
                                   entry->from_s, entry->end_s};
    return out->text.ptr == NULL ? IDENTITY_JWT_EXHAUSTED : IDENTITY_JWT_GOOD;
}
