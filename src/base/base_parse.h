/* SPDX-License-Identifier: Apache-2.0 */
/* base_parse.h - strings to numbers, durations and sizes.  The whole string or nothing; no sign, no
 * space, no overflow. */
#ifndef SLUICE_BASE_PARSE_H
#define SLUICE_BASE_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"

/* What a hexadecimal digit of either case stands for, -1 when it is none. */
static inline int parse_hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Decimal digits only. */
bool parse_u64(struct span text, uint64_t *value);

/* "250us", "250ms", "30s", "5m", "1h", "1d"; a whole number and one unit.  In microseconds. */
bool parse_duration_us(struct span text, uint64_t *us);

/* "512", "64KiB", "12MiB", "1GiB"; KiB, MiB, GiB are powers of 1024.  "B" alone is allowed. */
bool parse_size_bytes(struct span text, uint64_t *bytes);

/* base64 (RFC 4648 section 4), canonical: whole groups, padded, no bits behind the last byte; so two texts never
 * mean the same bytes.  `out` has room for PARSE_BASE64_MAX(text.len). */
#define PARSE_BASE64_MAX(len) ((len) / 4 * 3)
bool parse_base64(struct span text, char *out, size_t *len);
/* The same of base64url (section 5), without padding. */
#define PARSE_BASE64URL_MAX(len) (((len) + 3) / 4 * 3)
bool parse_base64url(struct span text, char *out, size_t *len);

/* An instant in UTC, "2026-11-22T14:02:11.482Z" (RFC 3339 section 5.6): with up to nine digits of a fraction, of which six
 * count, or none; "Z" or "+00:00".  Years 1970 to 9999, days that the month has; a leap second is no fault. */
bool parse_rfc3339_us(struct span text, uint64_t *wall_us);

#endif
