/* SPDX-License-Identifier: Apache-2.0 */
/* base_ascii.h - letters and digits of ASCII, whatever the locale.  Takes: a byte.  Gives: what it is, or its small letter. */
#ifndef SLUICE_BASE_ASCII_H
#define SLUICE_BASE_ASCII_H

#include <stdbool.h>
#include <stddef.h>

static inline bool ascii_is_upper(char byte)
{
    return byte >= 'A' && byte <= 'Z';
}

static inline bool ascii_is_letter(char byte)
{
    char small = (char)(byte | 0x20);
    return small >= 'a' && small <= 'z';
}

static inline bool ascii_is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* A letter or a digit. */
static inline bool ascii_is_word(char byte)
{
    return ascii_is_letter(byte) || ascii_is_digit(byte);
}

/* Whatever is no large letter stays as it is. */
static inline char ascii_lower(char byte)
{
    return ascii_is_upper(byte) ? (char)(byte | 0x20) : byte;
}

static inline void ascii_copy_lower(char *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = ascii_lower(text[i]);
}

#endif
