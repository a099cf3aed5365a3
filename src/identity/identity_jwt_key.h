/* SPDX-License-Identifier: Apache-2.0 */
/* identity_jwt_key.h - one key and what it signed.  Private to the module. */
#ifndef SLUICE_IDENTITY_JWT_KEY_H
#define SLUICE_IDENTITY_JWT_KEY_H

#include <openssl/types.h>

#include "identity/identity_jwt.h"

/* Owner: struct identity_jwt. */
struct identity_jwt_key {
    enum identity_algorithm algorithm;
    struct identity_jwt_terms terms;
    EVP_PKEY *public_key;  /* RS256, ES256 */
    unsigned char *secret; /* HS256 */
    size_t secret_len;
};

/* "HS256" */
struct span identity_algorithm_name(enum identity_algorithm algorithm);

const char *identity_jwt_key_init(struct identity_jwt_key *key, enum identity_algorithm algorithm,
                                  struct span text, const struct identity_jwt_terms *terms);
void identity_jwt_key_fini(struct identity_jwt_key *key);

/* Did this key sign the text? */
bool identity_jwt_key_signed(const struct identity_jwt_key *key, struct span text,
                             struct span signature);

#endif
