/* SPDX-License-Identifier: Apache-2.0 */
/* config_json.h - making JSON with jansson, and writing it.  A value that could not be
 * made is NULL and makes what holds it NULL too, so failure is looked for once, at the end. */
#ifndef SLUICE_CONFIG_JSON_H
#define SLUICE_CONFIG_JSON_H

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>

#include "base/base_hash.h"
#include "config/config_effective.h"

/* Put a value (taken, may be NULL) into *holder; on failure *holder becomes NULL. */
void config_json_set(json_t **holder, const char *key, json_t *value);
void config_json_append(json_t **holder, json_t *value);

/* As text, malloc'ed; NULL when out of memory or json is NULL. */
char *config_json_text(const json_t *json, size_t flags);

/* The effective object of a table: see config_effective.h.  secret_key: a random one, under which a secret is a fingerprint of it,
 * to compare two objects that are made with it and forgotten; NULL: secrets and private values are "***". */
json_t *config_json_effective(const struct config_table *table,
                              const struct config_version *version,
                              const struct hash_key *secret_key);

#endif
