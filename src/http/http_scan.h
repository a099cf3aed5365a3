/* SPDX-License-Identifier: Apache-2.0 */
/* http_scan.h - where a name, a value or a target ends.  Takes: bytes.  Gives: the index of the first
 * byte that does not belong.  Never reads at or past `len`.  Sixteen bytes at a time where the
 * machine has SSE2; the portable twins do the same byte by byte and are what the tests compare with.
 * Only for this module. */
#ifndef SLUICE_HTTP_SCAN_H
#define SLUICE_HTTP_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Sets of bytes, as bits of HTTP_BYTES[byte]. */
enum http_byte {
    HTTP_BYTE_TOKEN = 1,  /* tchar, RFC 9110 section 5.6.2 */
    HTTP_BYTE_PLAIN = 2,  /* letters, digits and "-": nearly every byte of a field name */
    HTTP_BYTE_VALUE = 4,  /* field-content and white space: no control but HTAB, no DEL */
    HTTP_BYTE_TARGET = 8, /* see http_target_parse */
    HTTP_BYTE_HOST = 16,  /* of a name or an IPv4 address */
    HTTP_BYTE_PATH = 32,  /* may stand raw in a judged path */
};
extern const uint8_t HTTP_BYTES[256];

static inline bool http_byte_is(char byte, enum http_byte set)
{
    return (HTTP_BYTES[(uint8_t)byte] & set) != 0;
}

/* SP or HTAB: what RFC 9110 section 5.6.3 calls OWS. */
static inline bool http_byte_is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static inline size_t http_scan_set(const char *buf, size_t off, size_t len, enum http_byte set)
{
    while (off < len && http_byte_is(buf[off], set))
        off++;
    return off;
}

size_t http_scan_token_portable(const char *buf, size_t off, size_t len, bool *odd);
size_t http_scan_plain_portable(const char *buf, size_t off, size_t len);
size_t http_scan_value_portable(const char *buf, size_t off, size_t len);
size_t http_scan_target_portable(const char *buf, size_t off, size_t len);

#ifdef __SSE2__

static inline __m128i http_scan_load(const char *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

static inline __m128i http_scan_equal(__m128i bytes, char byte)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte));
}

static inline size_t http_scan_first(unsigned stops)
{
    return (size_t)__builtin_ctzl(stops);
}

/* The highest bit of each byte: is it not within low .. high < 0x80?  Moved up so that high becomes the largest
 * signed byte; then what lies below low stays below 0 when low is taken away, with saturation. */
static inline __m128i http_scan_outside(__m128i bytes, char low, char high)
{
    __m128i up = _mm_add_epi8(bytes, _mm_set1_epi8((char)(0x7f - high)));
    return _mm_subs_epi8(up, _mm_set1_epi8((char)(0x7f - high + low)));
}

/* One bit per byte that is not HTTP_BYTE_PLAIN. */
static inline unsigned http_scan_not_plain(__m128i bytes)
{
    __m128i no_letter = http_scan_outside(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 'z');
    __m128i no_digit = http_scan_outside(bytes, '0', '9');
    __m128i neither = _mm_and_si128(no_letter, no_digit);
    return (unsigned)_mm_movemask_epi8(_mm_andnot_si128(http_scan_equal(bytes, '-'), neither));
}

/* One bit per byte that may not be HTTP_BYTE_VALUE: controls, DEL, and also HTAB and bytes from 0x80
 * on, which are rare. */
static inline unsigned http_scan_maybe_not_value(__m128i bytes)
{
    return (unsigned)_mm_movemask_epi8(http_scan_outside(bytes, 0x20, 0x7e));
}

/* One bit per byte that is not HTTP_BYTE_TARGET. */
static inline unsigned http_scan_not_target(__m128i bytes)
{
    __m128i invisible = http_scan_outside(bytes, 0x21, 0x7e);
    /* '"' and '#' differ in bit 0, '<' and '>' in bit 1. */
    __m128i quotes = http_scan_equal(_mm_or_si128(bytes, _mm_set1_epi8(1)), '#');
    __m128i angles = http_scan_equal(_mm_or_si128(bytes, _mm_set1_epi8(2)), '>');
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(invisible, _mm_or_si128(quotes, angles)));
}

/* The scan that the sets share.  The last bytes are looked at through a window that ends
 * at len, so that nothing past it is read. */
#define HTTP_SCAN_BODY(not_in_set, portable)                                                       \
    for (; off + 16 <= len; off += 16) {                                                           \
        unsigned stops = not_in_set(http_scan_load(buf + off));                                    \
        if (stops != 0)                                                                            \
            return off + http_scan_first(stops);                                                   \
    }                                                                                              \
    if (len < 16)                                                                                  \
        return portable(buf, off, len);                                                            \
    unsigned stops = not_in_set(http_scan_load(buf + len - 16)) >> (16 - (len - off));             \
    return stops != 0 ? off + http_scan_first(stops) : len;

/* First byte at or after off that may not be HTTP_BYTE_VALUE; off <= len. */
static inline size_t http_scan_maybe_value(const char *buf, size_t off, size_t len)
{
    HTTP_SCAN_BODY(http_scan_maybe_not_value, http_scan_value_portable)
}

/* First byte at or after off that is not HTTP_BYTE_VALUE; off <= len. */
static inline size_t http_scan_value(const char *buf, size_t off, size_t len)
{
    off = http_scan_maybe_value(buf, off, len);
    if (off < len && http_byte_is(buf[off], HTTP_BYTE_VALUE))
        off = http_scan_value_portable(buf, off, len);
    return off;
}

/* First byte at or after off that is not HTTP_BYTE_PLAIN; off <= len. */
static inline size_t http_scan_plain(const char *buf, size_t off, size_t len)
{
    HTTP_SCAN_BODY(http_scan_not_plain, http_scan_plain_portable)
}

/* First byte at or after off that is not HTTP_BYTE_TARGET; off <= len. */
static inline size_t http_scan_target(const char *buf, size_t off, size_t len)
{
    HTTP_SCAN_BODY(http_scan_not_target, http_scan_target_portable)
}

/* First byte at or after off that is not HTTP_BYTE_TOKEN; off <= len.  *odd is set when a token byte
 * that is not plain was passed, else left alone. */
static inline size_t http_scan_token(const char *buf, size_t off, size_t len, bool *odd)
{
    while (off + 16 <= len) {
        unsigned stops = http_scan_not_plain(http_scan_load(buf + off));
        if (stops != 0) {
            off += http_scan_first(stops);
            if (!http_byte_is(buf[off], HTTP_BYTE_TOKEN))
                return off;
            break;
        }
        off += 16;
    }
    return http_scan_token_portable(buf, off, len, odd);
}

#else

static inline size_t http_scan_plain(const char *buf, size_t off, size_t len)
{
    return http_scan_plain_portable(buf, off, len);
}

static inline size_t http_scan_token(const char *buf, size_t off, size_t len, bool *odd)
{
    return http_scan_token_portable(buf, off, len, odd);
}

static inline size_t http_scan_value(const char *buf, size_t off, size_t len)
{
    return http_scan_value_portable(buf, off, len);
}

static inline size_t http_scan_maybe_value(const char *buf, size_t off, size_t len)
{
    return http_scan_value_portable(buf, off, len);
}

static inline size_t http_scan_target(const char *buf, size_t off, size_t len)
{
    return http_scan_target_portable(buf, off, len);
}

#endif

#endif
