/* SPDX-License-Identifier: Apache-2.0 */
/* config_effective.h - a file with every default written out.  Takes: a read file without errors.  Gives:
 * JSON, and what a reload cannot change.  Never shows a secret. */
#ifndef SLUICE_CONFIG_EFFECTIVE_H
#define SLUICE_CONFIG_EFFECTIVE_H

#include "config/config_load.h"

/* The name of an item of the list behind `key` that has none in the file; empty: it has none. */
typedef struct span (*config_name_fn)(const void *arg, struct span key, unsigned index);

/* A read file, the secrets that were met in it (which may differ though the texts do not), and the
 * names that the program gave to what has none. */
struct config_version {
    const struct config_doc *doc;
    const struct config_secret *secrets;
    config_name_fn name; /* may be NULL */
    const void *arg;
};

/* Indented JSON, secrets as "***"; malloc'ed, NULL when out of memory. */
char *config_dump(const struct config_table *table, const struct config_version *version);

#define CONFIG_RESTART_MAX 1024

/* Each key whose difference a running process cannot take over, with what can; NULL when there is none. */
const char *config_restart_fault(const struct config_table *table, const struct config_version *old,
                                 const struct config_version *next, char why[CONFIG_RESTART_MAX]);

#endif
