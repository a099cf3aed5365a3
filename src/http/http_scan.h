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
#ifdef __x86_64__
#include <immintrin.h>
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

static inline size_t http_scan_query_portable(const char *buf, size_t off, size_t len)
{
    while (off < len && buf[off] != '?')
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

/* First "?" at or after off, or len; off <= len. */
static inline size_t http_scan_query(const char *buf, size_t off, size_t len)
{
    for (; off + 16 <= len; off += 16) {
        unsigned marks =
            (unsigned)_mm_movemask_epi8(http_scan_equal(http_scan_load(buf + off), '?'));
        if (marks != 0)
            return off + http_scan_first(marks);
    }
    return http_scan_query_portable(buf, off, len);
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

static inline size_t http_scan_query(const char *buf, size_t off, size_t len)
{
    return http_scan_query_portable(buf, off, len);
}

#endif

#ifdef __x86_64__
/* ---- thirty-two bytes at a time ---- */

/* Of functions for processors with AVX2, which http_scan_has_wide tells when the program runs. */
#define HTTP_SCAN_WIDE         __attribute__((target("avx2,bmi")))
#define HTTP_SCAN_WIDE_LOOK    32
#define HTTP_SCAN_IN_WIDE      HTTP_SCAN_WIDE static inline __attribute__((always_inline))

/* A vector that is made once; the compiler would make what it knows anew at each use. */
#define HTTP_SCAN_KEPT(vector) __asm__("" : "+x"(vector))

static inline bool http_scan_has_wide(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
}

/* A set of bytes below 0x80: a byte is in it when its row, by the upper half, and its column, by the lower half, have a
 * bit in common. */
struct http_scan_table {
    __m256i rows, columns, low, none;
};

HTTP_SCAN_IN_WIDE struct http_scan_table http_scan_wide_table(__m128i rows, __m128i columns)
{
    struct http_scan_table table = {
        .rows = _mm256_broadcastsi128_si256(rows),
        .columns = _mm256_broadcastsi128_si256(columns),
        .low = _mm256_set1_epi8(0x0f),
        .none = _mm256_setzero_si256(),
    };
    HTTP_SCAN_KEPT(table.rows);
    HTTP_SCAN_KEPT(table.columns);
    HTTP_SCAN_KEPT(table.low);
    HTTP_SCAN_KEPT(table.none);
    return table;
}

HTTP_SCAN_IN_WIDE __m256i http_scan_wide_load(const char *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

/* One bit per byte that is not in the set. */
HTTP_SCAN_IN_WIDE unsigned http_scan_wide_not_in(const struct http_scan_table *table, __m256i bytes)
{
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), table->low);
    __m256i good = _mm256_and_si256(_mm256_shuffle_epi8(table->rows, high),
                                    _mm256_shuffle_epi8(table->columns, bytes));
    return (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(good, table->none));
}

/* HTTP_BYTE_TARGET: a bit for 0x2., without space, "\"" and "#"; for 0x3., without "<" and ">"; for 0x4. to 0x6.; for 0x7.,
 * without DEL. */
HTTP_SCAN_IN_WIDE struct http_scan_table http_scan_wide_targets(void)
{
    return http_scan_wide_table(
        _mm_setr_epi8(0, 0, 1, 2, 4, 4, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0),
        _mm_setr_epi8(14, 15, 14, 14, 15, 15, 15, 15, 15, 15, 15, 15, 13, 15, 13, 7));
}

/* http_scan_target and http_scan_query (up to there) in one. */
HTTP_SCAN_IN_WIDE size_t http_scan_wide_target(const char *buf, size_t off, size_t len,
                                               size_t *query)
{
    const struct http_scan_table targets = http_scan_wide_targets();
    size_t first = SIZE_MAX;
    for (; off + HTTP_SCAN_WIDE_LOOK <= len; off += HTTP_SCAN_WIDE_LOOK) {
        __m256i bytes = http_scan_wide_load(buf + off);
        unsigned marks =
            (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('?')));
        unsigned stops = http_scan_wide_not_in(&targets, bytes);
        if (marks != 0 && first == SIZE_MAX)
            first = off + http_scan_first(marks);
        if (stops != 0) {
            size_t end = off + http_scan_first(stops);
            *query = first < end ? first : end;
            return end;
        }
    }
    size_t end = http_scan_target(buf, off, len);
    *query = first != SIZE_MAX ? first : http_scan_query(buf, off, end);
    return end;
}
#endif

#endif
