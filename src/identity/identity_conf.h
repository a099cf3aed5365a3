/* SPDX-License-Identifier: Apache-2.0 */
/* identity_conf.h - what may be written about identities (struct identity) and about proxies in front of
 * Sluice (struct identity_trust). */
#ifndef SLUICE_IDENTITY_CONF_H
#define SLUICE_IDENTITY_CONF_H

#include "config/config_table.h"
#include "identity/identity.h"

extern const struct config_table IDENTITY_CONF;
extern const struct config_table IDENTITY_CONF_TRUST;

/* The spellings of all kinds of sources, NULL-terminated. */
extern const char *const IDENTITY_CONF_KINDS[];
/* Those that a later version will know. */
extern const char *const IDENTITY_CONF_LATER_KINDS[];

/* An identity with defaults and no source yet. */
void identity_conf_init(struct identity *identity, struct span name);
/* Add a source; text is kept.  NULL, or what is wrong. */
const char *identity_conf_add_source(struct identity *identity, struct span text,
                                     struct arena *arena);

#endif
