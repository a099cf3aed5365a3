/* SPDX-License-Identifier: Apache-2.0 */
/* base_span.c - takes: borrowed bytes.  Gives: comparisons and sub-spans of them.  Never: copies,
 * allocates, or looks at the locale. */
#include "base/base_span.h"

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/base_ascii.h"
#include "base/base_load.h"

#ifdef __SSE2__
/* Sixteen bytes at once: those that differ, differ in the bit that makes a letter small, and are letters. */
static inline bool is_same16(__m128i a, __m128i b)
{
    const __m128i cases = _mm_set1_epi8(0x20);
    __m128i from_a = _mm_add_epi8(_mm_or_si128(a, cases), _mm_set1_epi8((char)(0x80 - 'a')));
    __m128i letters = _mm_cmpgt_epi8(_mm_set1_epi8((char)(0x80 + 26)), from_a);
    __m128i differ = _mm_andnot_si128(_mm_and_si128(letters, cases), _mm_xor_si128(a, b));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(differ, _mm_setzero_si128())) == 0xffff;
}

static inline __m128i load16(const char *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

/* The first eight and the last eight of at least as many, which may overlap. */
static inline __m128i load_ends(struct span text)
{
    __m128i first = _mm_loadl_epi64((const __m128i *)(const void *)text.ptr);
    __m128i last = _mm_loadl_epi64((const __m128i *)(const void *)(text.ptr + text.len - 8));
    return _mm_unpacklo_epi64(first, last);
}

/* Of eight bytes or more. */
static inline bool is_same_long(struct span a, struct span b)
{
    if (a.len <= 16)
        return is_same16(load_ends(a), load_ends(b));
    for (size_t i = 0; i + 16 < a.len; i += 16) {
        if (!is_same16(load16(a.ptr + i), load16(b.ptr + i)))
            return false;
    }
    return is_same16(load16(a.ptr + a.len - 16), load16(b.ptr + b.len - 16));
}
#else
/* Eight bytes at once, as above. */
static inline bool is_same8(uint64_t a, uint64_t b)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), cases = 0x20 * ones, tops = 0x80 * ones;
    uint64_t differ = a ^ b, low = (a | cases) & ~tops;
    if ((differ & ~cases) != 0)
        return false;
    /* The high bit of each byte: from 'a' on, and up to 'z'; seven bits never carry into the next. */
    uint64_t letters = (low + (0x80 - 'a') * ones) & ~(low + (0x80 - 'z' - 1) * ones) & ~a & tops;
    return (differ << 2 & ~letters) == 0;
}

/* Of eight bytes or more; the last eight may overlap those before. */
static inline bool is_same_long(struct span a, struct span b)
{
    for (size_t i = 0; i + 8 < a.len; i += 8) {
        if (!is_same8(load_u64(a.ptr + i), load_u64(b.ptr + i)))
            return false;
    }
    return is_same8(load_u64(a.ptr + a.len - 8), load_u64(b.ptr + b.len - 8));
}
#endif

bool span_eq_nocase(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    if (a.len >= 8)
        return is_same_long(a, b);
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
            return false;
    }
    return true;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

struct span span_trim(struct span text)
{
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

size_t span_find(struct span text, char byte)
{
    if (text.len == 0)
        return 0;
    const char *found = memchr(text.ptr, (unsigned char)byte, text.len);
    return found == NULL ? text.len : (size_t)(found - text.ptr);
}

bool span_starts_with(struct span text, struct span prefix)
{
    return text.len >= prefix.len &&
           (prefix.len == 0 || memcmp(text.ptr, prefix.ptr, prefix.len) == 0);
}

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

size_t span_utf8_len(struct span text)
{
    if (text.len == 0)
        return 0;
    const unsigned char *at = (const unsigned char *)text.ptr;
    unsigned char lead = at[0];
    if (lead < 0x80)
        return 1;
    size_t len = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (len == 0 || text.len < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if (!is_continuation(at[i]))
            return 0;
    }
    /* Overlong, surrogate, above U+10FFFF: told by the second byte alone. */
    if ((lead == 0xe0 && at[1] < 0xa0) || (lead == 0xed && at[1] > 0x9f) ||
        (lead == 0xf0 && at[1] < 0x90) || (lead == 0xf4 && at[1] > 0x8f))
        return 0;
    return len;
}
