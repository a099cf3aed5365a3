/* SPDX-License-Identifier: Apache-2.0 */
/* identity_token.h - tokens whose project was learned when they were issued (OpenStack Keystone and its kin: POST
 * /v3/auth/tokens, 201, X-Subject-Token).  Takes: the body that came with a token, or the token.  Gives: project and
 * end, or the key that stands for the token.  Never: keeps a token, believes more of a body than it says once. */
#ifndef SLUICE_IDENTITY_TOKEN_H
#define SLUICE_IDENTITY_TOKEN_H

#include "identity/identity.h"

#define IDENTITY_TOKEN_BODY_MAX    65536 /* bytes of a body that are looked at */
#define IDENTITY_TOKEN_PROJECT_MAX 64

enum identity_token_result {
    IDENTITY_TOKEN_GOOD,
    IDENTITY_TOKEN_NO_PROJECT, /* of a domain, or unscoped */
    IDENTITY_TOKEN_UNREADABLE, /* no such body, or over already */
    IDENTITY_TOKEN_RESULTS
};

struct identity_token {
    uint64_t until_s; /* wall clock */
    size_t project_len;
    char project[IDENTITY_TOKEN_PROJECT_MAX];
};

/* {"token": {"expires_at": "2026-11-28T12:00:00.000000Z", "project": {"id": "..."}, ...}}.  The project is 1 to 64
 * visible ASCII characters; a name that stands twice anywhere, or an end that is not after now_s, is unreadable. */
enum identity_token_result identity_token_read(struct span body, uint64_t now_s,
                                               struct identity_token *token);

/* What the token is known by in the whole fleet.  cache: NULL for who asks seldom.  ERR_NOMEM. */
MUST_USE enum err identity_token_mac(struct identity_cache *cache,
                                     const struct identity_secret *secret, struct span token,
                                     uint8_t mac[IDENTITY_KEY_BYTES]);

#endif
