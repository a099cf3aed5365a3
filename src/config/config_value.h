/* SPDX-License-Identifier: Apache-2.0 */
/* config_value.h - one value by one row, for config_load alone: is it of the row's type and within its
 * bounds?  Then it is stored.  Every fault goes to the report. */
#ifndef SLUICE_CONFIG_VALUE_H
#define SLUICE_CONFIG_VALUE_H

#include "config/config_load.h"

/* For the types that hold no further tables. */
void config_value_take(struct config_load *load, const struct config_directive *row,
                       const struct config_node *node, void *base);

/* "true or false", "a duration such as \"30s\"": what the row wants, for messages and the reference. */
struct config_quoted config_value_expected(const struct config_directive *row);

/* Is it one of a NULL-terminated list (NULL: an empty one)?  The index, or -1. */
int config_word_index(const char *const *words, struct span word);

#endif
