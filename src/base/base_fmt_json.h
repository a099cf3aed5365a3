/* SPDX-License-Identifier: Apache-2.0 */
/* base_fmt_json.h - JSON text for lines of many fields.  Most values are short and plain: those are copied
 * and judged here, in the caller's code, sixteen bytes at once; a call and a look at every byte were most of
 * a log line's cost. */
#ifndef SLUICE_BASE_FMT_JSON_H
#define SLUICE_BASE_FMT_JSON_H

#include "base/base_fmt.h"
#include "base/base_load.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Where values may go on to, and what happened to them (as in fmt_json_text). */
struct fmt_json {
    const char *end;
    bool cut, bytes;
};

/* Per byte: 0 when it stands in a JSON string as it is, else the letter of its escape ('u' without one). */
extern const char fmt_json_escapes[256];

#ifdef __SSE2__
/* 0xff for each byte that may not stand in a JSON string as it is. */
static inline __m128i fmt_json_special16(__m128i bytes)
{
    /* With bit 1 turned over the quote comes to lie beside the controls, and nothing else does; signed,
     * the bytes from 0x80 on are below both. */
    __m128i turned = _mm_xor_si128(bytes, _mm_set1_epi8(2));
    __m128i special = _mm_cmpgt_epi8(_mm_set1_epi8(0x21), turned);
    special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    return _mm_or_si128(special, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
}

/* May all sixteen bytes stand in a JSON string as they are? */
static inline bool fmt_json_is_plain(uint64_t low, uint64_t high)
{
    __m128i bytes = _mm_set_epi64x((long long)high, (long long)low);
    return _mm_movemask_epi8(fmt_json_special16(bytes)) == 0;
}
#else
static inline uint64_t fmt_json_special(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\'),
             del = word ^ (ones * 0x7f);
    /* A borrow out of a lower byte can only follow a byte that is special itself. */
    uint64_t found = (word - ones * 0x20) | (quote - ones) | (backslash - ones) | (del - ones);
    return (found | word) & tops;
}

static inline bool fmt_json_is_plain(uint64_t low, uint64_t high)
{
    return (fmt_json_special(low) | fmt_json_special(high)) == 0;
}
#endif

/* One to sixteen bytes, as two pieces that may overlap; false when one of them is not plain. */
static inline __attribute__((always_inline)) bool fmt_json_copy_short(char *out, const char *text,
                                                                      size_t len)
{
    if (len >= 8) {
        uint64_t first = load_u64(text), last = load_u64(text + len - 8);
        memcpy(out, &first, 8);
        memcpy(out + len - 8, &last, 8);
        return fmt_json_is_plain(first, last);
    }
    if (len >= 4) {
        uint32_t first = load_u32(text), last = load_u32(text + len - 4);
        uint64_t both = first | (uint64_t)last << 32;
        memcpy(out, &first, 4);
        memcpy(out + len - 4, &last, 4);
        return fmt_json_is_plain(both, both);
    }
    size_t middle = len / 2; /* all three may be one byte */
    unsigned char first = (unsigned char)text[0], second = (unsigned char)text[middle],
                  third = (unsigned char)text[len - 1];
    out[0] = (char)first;
    out[middle] = (char)second;
    out[len - 1] = (char)third;
    return (fmt_json_escapes[first] | fmt_json_escapes[second] | fmt_json_escapes[third]) == 0;
}

char *fmt_json_value_long(struct fmt_json *json, char *out, struct span text, size_t max);

/* The text as at most max bytes (16 or more), then the closing quote.  The quote is always written: there is
 * room for it behind json->end. */
static inline __attribute__((always_inline)) char *fmt_json_value(struct fmt_json *json, char *out,
                                                                  struct span text, size_t max)
{
    if (text.len - 1 < 16 && json->end - out >= 16 &&
        fmt_json_copy_short(out, text.ptr, text.len)) {
        out[text.len] = '"';
        return out + text.len + 1;
    }
    return fmt_json_value_long(json, out, text, max);
}

#endif
