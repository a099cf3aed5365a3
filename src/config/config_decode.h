/* SPDX-License-Identifier: Apache-2.0 */
/* config_decode.h - what a JSON token means, by jansson.  Takes: a token that config_scan has accepted.
 * Gives: its value.  False only when out of memory, or for a number that does not fit. */
#ifndef SLUICE_CONFIG_DECODE_H
#define SLUICE_CONFIG_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_arena.h"

/* A string without its quotation marks and escapes, with a NUL behind it. */
bool config_decode_text(struct span token, struct arena *arena, struct span *text);

enum config_number {
    CONFIG_WHOLE,
    CONFIG_FRACTION, /* 1.5, and also 1e3 */
    CONFIG_TOO_LARGE,
    CONFIG_UNREAD, /* out of memory */
};
enum config_number config_decode_number(struct span token, int64_t *number);

/* Is a number in it too large to be kept? */
bool config_decode_overflows(struct span token);

/* Any value as it is written, but without white space; with a NUL behind it. */
bool config_decode_compact(struct span token, struct arena *arena, struct span *text);

#endif
