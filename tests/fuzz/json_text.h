/* SPDX-License-Identifier: Apache-2.0 */
/* json_text.h - reads back what fmt_json_text wrote: the inside of a JSON string to the bytes it was made of. */
#ifndef SLUICE_TESTS_FUZZ_JSON_TEXT_H
#define SLUICE_TESTS_FUZZ_JSON_TEXT_H

#include "fuzz.h"

#include "base/base_span.h"

static inline unsigned json_text_hex4(const char *at)
{
    unsigned value = 0;
    for (unsigned i = 0; i < 4; i++) {
        const char *digit = memchr("0123456789abcdef", at[i], 16);
        FUZZ_CHECK(digit != NULL);
        value = value * 16 + (unsigned)(digit - "0123456789abcdef");
    }
    return value;
}

/* Decodes up to `end` into `out` (room for as many bytes); returns how many.  \u00XX is one byte; all else
 * stands as it is: valid UTF-8, no control characters, neither of ASCII nor U+0080 to U+009F.  *has_bytes is set
 * when one was from 0x80 on. */
static inline size_t json_text_read(const char *at, const char *end, char *out, bool *has_bytes)
{
    size_t len = 0;
    while (at < end) {
        if (*at != '\\') {
            size_t took = span_utf8_len((struct span){at, (size_t)(end - at)});
            unsigned char first = (unsigned char)*at;
            FUZZ_CHECK(took != 0 && first >= 0x20 && first != 0x7f && first != '"');
            FUZZ_CHECK(first != 0xc2 || (unsigned char)at[1] >= 0xa0);
            memcpy(out + len, at, took);
            at += took;
            len += took;
            continue;
        }
        FUZZ_CHECK(end - at >= 2);
        if (at[1] == 'u') {
            FUZZ_CHECK(end - at >= 6);
            unsigned value = json_text_hex4(at + 2);
            FUZZ_CHECK(value <= 0xff);
            *has_bytes = *has_bytes || value >= 0x80;
            out[len++] = (char)value;
            at += 6;
            continue;
        }
        static const char letters[] = "bfnrt\"\\", meant[] = "\b\f\n\r\t\"\\";
        const char *letter = strchr(letters, at[1]);
        FUZZ_CHECK(at[1] != '\0' && letter != NULL);
        out[len++] = meant[letter - letters];
        at += 2;
    }
    return len;
}

#endif
