/* SPDX-License-Identifier: Apache-2.0 */
/* config_schema.h - the tables as a JSON Schema (draft 2020-12).  What it refuses the loader refuses;
 * rules between distant parts of the file are the loader's alone. */
#ifndef SLUICE_CONFIG_SCHEMA_H
#define SLUICE_CONFIG_SCHEMA_H

#include "config/config_table.h"

/* Indented JSON, malloc'ed; NULL when out of memory. */
char *config_schema(const struct config_table *table, const char *title);

#endif
