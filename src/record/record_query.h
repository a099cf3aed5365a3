/* SPDX-License-Identifier: Apache-2.0 */
/* record_query.h - the names of a query, for a line; and what both writers of lines keep to.  Used by record_access.c and
 * record_usual.h alone. */
#ifndef SLUICE_RECORD_RECORD_QUERY_H
#define SLUICE_RECORD_RECORD_QUERY_H

#include "base/base_fmt_json.h"
#include "base/base_load.h"

/* What the longer texts may take at most, escapes included: one of them must not push out the rest. */
#define PATH_MAX_BYTES  2048
#define QUERY_MAX_BYTES 1024
#define HOST_MAX_BYTES  512
#define NAME_MAX_BYTES  256 /* of routes, upstreams, quotas, ids of others */
#define PARAM_MAX_BYTES 64  /* a longer one is hardly a name, but may be a secret */
#define WORD_MAX_BYTES  64

static inline bool has_room(const struct fmt_json *json, const char *out, size_t bytes)
{
    return json->end - out > (ptrdiff_t)bytes;
}

/* The end of a list whose entries each brought a comma. */
static inline char *close_list(char *out, const char *first, char close)
{
    if (out != first)
        out--;
    *out = close;
    return out + 1;
}

/* The first '&' or `other`, or the end.  Eight bytes at once: names and values are mostly short, so that a call costs
 * more than the look, and byte by byte it was a tenth of a line. */
static inline const char *find_either(const char *next, const char *end, char other)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    for (; end - next >= 8; next += 8) {
        uint64_t word = load_u64(next);
        uint64_t one = word ^ ones * '&', two = word ^ ones * (unsigned char)other;
        /* A borrow can only make a hit behind a real one. */
        uint64_t hits = (((one - ones) & ~one) | ((two - ones) & ~two)) & tops;
        if (hits != 0)
            return next + __builtin_ctzll(hits) / 8;
    }
#endif
    while (next < end && *next != '&' && *next != other)
        next++;
    return next;
}

#ifdef __SSE2__
/* The next name of a query of 16 bytes or more, with the comma, and *next behind its value; NULL when it is empty, longer
 * than the look or not plain.  One look at sixteen bytes finds its end, what must not stand in it and mostly the end of
 * its value: a name and a value are short. */
static inline char *put_param_fast(char *out, const char **next, const char *end)
{
    const char *at = end - *next >= 16 ? *next : end - 16;
    unsigned skip = (unsigned)(*next - at);
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i and = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('&'));
    __m128i is = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('='));
    unsigned ands = (unsigned)_mm_movemask_epi8(and) >> skip;
    unsigned stops = (unsigned)_mm_movemask_epi8(_mm_or_si128(and, is)) >> skip;
    unsigned special = (unsigned)_mm_movemask_epi8(fmt_json_special16(bytes)) >> skip;
    if (at + 16 == end)
        stops |= 0x10000u >> skip;
    if (stops == 0 || (stops & 1) != 0 || (special & (stops ^ (stops - 1)) >> 1) != 0)
        return NULL;
    unsigned len = (unsigned)__builtin_ctz(stops);
    *out++ = '"';
    if (skip == 0)
        _mm_storeu_si128((__m128i *)(void *)out, bytes);
    else
        (void)fmt_json_copy_short(out, *next, len);
    memcpy(out + len, "\",", 2);
    ands >>= len;
    if (ands != 0)
        *next += len + (unsigned)__builtin_ctz(ands) + 1;
    else if (at + 16 == end)
        *next = end;
    else {
        *next = find_either(at + 16, end, '&');
        *next += *next < end;
    }
    return out + len + 2;
}
#endif

/* ["name",...]: what stands before a '=', as it was sent.  Values never reach the log. */
static inline char *put_query(struct fmt_json *json, char *out, struct span query)
{
    char *begin = out, *first = out = FMT_LIT(out, ",\"query\":[");
    const char *next = query.ptr, *end = query.ptr + query.len;
    while (next < end) {
        struct span param = {next, 0};
#ifdef __SSE2__
        bool may_look = query.len >= 16 && out - first <= QUERY_MAX_BYTES &&
                        has_room(json, out, PARAM_MAX_BYTES + 4);
        char *behind = may_look ? put_param_fast(out, &next, end) : NULL;
        if (behind != NULL) {
            out = behind;
            continue;
        }
#endif
        next = find_either(next, end, '=');
        param.len = (size_t)(next - param.ptr);
        next = find_either(next, end, '&');
        if (next < end)
            next++;
        if (param.len == 0)
            continue;
        if (out - first > QUERY_MAX_BYTES || !has_room(json, out, PARAM_MAX_BYTES + 4)) {
            json->cut = true;
            break;
        }
        *out++ = '"';
        out = fmt_json_value(json, out, param, PARAM_MAX_BYTES);
        *out++ = ',';
    }
    return out == first ? begin : close_list(out, first, ']');
}

#endif
