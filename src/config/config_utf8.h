/* SPDX-License-Identifier: Apache-2.0 */
/* config_utf8.h - where the next character of a text begins.  Takes: bytes.  Gives: lengths.  Never
 * accepts overlong forms, surrogates or code points above U+10FFFF (RFC 3629). */
#ifndef SLUICE_CONFIG_UTF8_H
#define SLUICE_CONFIG_UTF8_H

#include "base/base_span.h"

/* The length of the valid character at the front of a text that is not empty; 0 when there is none. */
size_t config_utf8_len(struct span text);

/* The same, but a byte that belongs to no character counts as one. */
size_t config_utf8_step(struct span text);

#endif
