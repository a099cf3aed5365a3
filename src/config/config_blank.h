/* SPDX-License-Identifier: Apache-2.0 */
/* config_blank.h - comments and trailing commas.  Takes: text that may have them.  Gives: the same text
 * with spaces in their place, so that every other byte keeps its position.  Never looks into strings. */
#ifndef SLUICE_CONFIG_BLANK_H
#define SLUICE_CONFIG_BLANK_H

#include "base/base_span.h"

/* False when a comment has no end; *fault_off is where it begins. */
bool config_blank(char *text, size_t len, size_t *fault_off);

#endif
