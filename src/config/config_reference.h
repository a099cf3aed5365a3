/* SPDX-License-Identifier: Apache-2.0 */
/* config_reference.h - the tables as a reference page in Markdown. */
#ifndef SLUICE_CONFIG_REFERENCE_H
#define SLUICE_CONFIG_REFERENCE_H

#include "config/config_table.h"

/* Malloc'ed; NULL when out of memory. */
char *config_reference(const struct config_table *table);

#endif
