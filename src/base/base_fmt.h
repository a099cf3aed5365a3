/* SPDX-License-Identifier: Apache-2.0 */
/* base_fmt.h - writing text without printf.  Each function writes at `out` and returns the byte
 * after the last one; the caller has made sure of the room that the name's MAX states, and what stands there behind
 * the text may be written over. */
#ifndef SLUICE_BASE_FMT_H
#define SLUICE_BASE_FMT_H

#include <stdint.h>
#include <string.h>

#include "base/base_span.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define FMT_U64_MAX     20
#define FMT_U32_MAX     10
#define FMT_RFC3339_MAX 24 /* 2026-11-22T14:02:11.482Z */
#define FMT_DATE_MAX    29 /* Sun, 06 Nov 1994 08:49:37 GMT (RFC 9110 section 5.6.7) */

/* The text of a number below 1000: as it is, and of three digits. */
struct fmt_thousand {
    char text[3];
    uint8_t len;
};
extern const struct fmt_thousand fmt_thousands[1000];
extern const char fmt_triples[1000][4]; /* "000" to "999" */
extern const char fmt_pairs[];          /* "00", "01" and so on to "99" */

char *fmt_u64_long(char *out, uint64_t value); /* from 1000 on */

/* Most numbers of a log line are short: one move, whatever counts of it. */
static inline char *fmt_u64_short(char *out, unsigned value)
{
    const struct fmt_thousand *three = &fmt_thousands[value];
    memcpy(out, three, sizeof(*three));
    return out + three->len;
}

/* Below a million, without a call. */
static inline __attribute__((always_inline)) char *fmt_u64_middle(char *out, unsigned value)
{
    unsigned high = value / 1000;
    out = fmt_u64_short(out, high);
    memcpy(out, fmt_triples[value - high * 1000], 4);
    return out + 3;
}

static inline char *fmt_u64(char *out, uint64_t value)
{
    return value < 1000 ? fmt_u64_short(out, (unsigned)value) : fmt_u64_long(out, value);
}

char *fmt_hex(char *out, const void *bytes, size_t len); /* lower case, 2 * len characters */
char *fmt_rfc3339_ms(char *out, uint64_t wall_us);
char *fmt_http_date(char *out, uint64_t wall_s);
/* base64url (RFC 4648 section 5) without padding. */
char *fmt_base64url(char *out, const void *bytes, size_t len);
/* base64 (RFC 4648 section 4) with padding: 4 characters for every 3 bytes begun. */
char *fmt_base64(char *out, const void *bytes, size_t len);

static inline char *fmt_span(char *out, struct span text)
{
    if (text.len != 0)
        memcpy(out, text.ptr, text.len);
    return out + text.len;
}

/* Copies sixteen bytes, thirty-two, or ninety-six by as many moves as there are.  Where the compiler takes a way for rare it
 * makes a loop of four bytes at a time of a memcpy. */
static inline __attribute__((always_inline)) void fmt_copy16(char *out, const char *text)
{
#ifdef __SSE2__
    _mm_storeu_si128((__m128i *)(void *)out, _mm_loadu_si128((const __m128i *)(const void *)text));
#else
    memcpy(out, text, 16);
#endif
}

static inline __attribute__((always_inline)) void fmt_copy32(char *out, const char *text)
{
    fmt_copy16(out, text);
    fmt_copy16(out + 16, text + 16);
}

static inline __attribute__((always_inline)) void fmt_copy96(char *out, const char *text)
{
    fmt_copy32(out, text);
    fmt_copy32(out + 32, text + 32);
    fmt_copy32(out + 64, text + 64);
}

#define FMT_LIT(out, literal)                                                                      \
    ((char *)memcpy((out), (literal), sizeof(literal) - 1) + sizeof(literal) - 1)

/* Append `text` as the inside of a JSON string: quotes, backslash and controls escaped, valid UTF-8
 * kept, every byte that is not part of valid UTF-8 written as \u00XX (the bytes of the controls U+0080
 * to U+009F too).  Stops before `end`, never in the middle of a character.  *cut is set when not all fitted, *bytes when a byte was not UTF-8;
 * neither is ever cleared. */
char *fmt_json_text(char *out, const char *end, struct span text, bool *cut, bool *bytes);

#define FMT_CLEAN_TIMES 4 /* as long as the text may become */
/* Append `text` as a terminal may be shown it: controls (C0 and C1: it obeys both) and bytes that are no UTF-8 as \xNN.  Stops
 * before `end`, never in the middle of a character. */
char *fmt_clean(char *out, const char *end, struct span text);

#endif
