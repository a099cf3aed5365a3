/* SPDX-License-Identifier: Apache-2.0 */
/* identity_conf.h - what may be written about identities (struct identity_draft) and about proxies in front of
 * Sluice (struct identity_trust). */
#ifndef SLUICE_IDENTITY_CONF_H
#define SLUICE_IDENTITY_CONF_H

#include "config/config_table.h"
#include "identity/identity.h"
#include "identity/identity_jwt.h"

#define IDENTITY_LIMITS_MAX 4 /* of its bucket */

/* "minute": 60 */
struct identity_limit_draft {
    struct span window;
    uint32_t limit;
};

/* One identity of the file. */
struct identity_draft {
    struct identity identity; /* first: rows of struct identity are rows of the draft */
    struct config_items keys; /* struct identity_key_draft */
    uint64_t leeway_us;
    struct identity_limit_draft unverified[IDENTITY_LIMITS_MAX];
    uint8_t unverified_count;
};
struct identity_key_draft {
    uint32_t algorithm; /* enum identity_algorithm */
    struct span key;
    struct identity_jwt_terms terms;
};

extern const struct config_table IDENTITY_CONF;
extern const struct config_table IDENTITY_CONF_TRUST;

/* The spellings of all kinds of sources, NULL-terminated. */
extern const char *const IDENTITY_CONF_KINDS[];

/* An identity with defaults and no source yet. */
void identity_conf_init(struct identity *identity, struct span name);
/* Add a source; text is kept.  NULL, or what is wrong. */
const char *identity_conf_add_source(struct identity *identity, struct span text,
                                     struct arena *arena);

#endif
