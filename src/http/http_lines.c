/* SPDX-License-Identifier: Apache-2.0 */
/* http_lines.c - see http_lines.h.  One loop, with looks of sixteen bytes, or of thirty-two where the processor has
 * AVX2: that is seen when it runs, since one program serves all. */
#include "http/http_lines.h"

#include <string.h>

#include "http/http_fields.h"
#include "http/http_scan.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define LOOK          16 /* bytes that are looked at in one go, where SSE2 is */
#define SHORT_LOOKS   4  /* before a value counts as long */

/* How long the plain name of less than 32 bytes is that begins at `at`; what follows need not be a colon.  0: it goes on to
 * the end. */
static ALWAYS_INLINE size_t name_len(const char *at, const char *end)
{
    const size_t room = (size_t)(end - at);
#ifdef __SSE2__
    if (room >= LOOK) {
        unsigned stops = http_scan_not_plain(http_scan_load(at));
        if (stops != 0)
            return http_scan_first(stops);
        if (room >= 2 * LOOK) {
            stops = http_scan_not_plain(http_scan_load(at + LOOK)) | 1U << 15;
            return LOOK + http_scan_first(stops);
        }
    }
#endif
    const size_t len = http_scan_plain_portable(at, 0, room < 31 ? room : 31);
    return len == room ? 0 : len;
}

#ifdef __SSE2__
/* Skips sixty-four bytes at a time while all are plain: values of kilobytes are tokens. */
static ALWAYS_INLINE const char *skip_long_value(const char *at, const char *end)
{
    while (end - at >= 4 * LOOK) {
        __m128i odd = http_scan_outside(http_scan_load(at), 0x20, 0x7e);
        for (unsigned i = 1; i < 4; i++) {
            __m128i bytes = http_scan_load(at + i * LOOK);
            odd = _mm_or_si128(odd, http_scan_outside(bytes, 0x20, 0x7e));
        }
        if (_mm_movemask_epi8(odd) != 0)
            break;
        at += 4 * LOOK;
    }
    return at;
}
#endif

/* Where a value ends that has no HTAB and no byte from 0x80 on; `end` when it goes on there. */
static ALWAYS_INLINE const char *value_end(const char *at, const char *end)
{
#ifdef __SSE2__
    const char *const last = end - LOOK;
#pragma GCC unroll 4
    for (unsigned i = 0; i < SHORT_LOOKS; i++) {
        unsigned stops = at > last ? 0 : http_scan_maybe_not_value(http_scan_load(at));
        if (stops != 0)
            return at + http_scan_first(stops);
        if (at <= last)
            at += LOOK;
    }
    for (at = skip_long_value(at, end); at <= last; at += LOOK) {
        unsigned stops = http_scan_maybe_not_value(http_scan_load(at));
        if (stops != 0)
            return at + http_scan_first(stops);
    }
    unsigned stops = http_scan_maybe_not_value(http_scan_load(last)) >> (at - last);
    return stops != 0 ? at + http_scan_first(stops) : end;
#else
    return at + http_scan_value_portable(at, 0, (size_t)(end - at));
#endif
}

/* What was scanned has no control byte but HTAB, and the colon before it stops the search from the end. */
static ALWAYS_INLINE void trim_value(const char **begin, const char **end)
{
    while ((unsigned char)(*end)[-1] <= ' ')
        --*end;
    while (*begin < *end && (unsigned char)**begin <= ' ')
        ++*begin;
}

/* What the loop keeps in registers; it calls nothing (measured: 40 instructions less per line). */
struct reading {
    const char *buf, *at, *end;
    struct http_field *field;
    uint64_t present, repeated;
};

static ALWAYS_INLINE struct reading begin(const struct http_head *head, const char *buf,
                                          size_t stop, size_t off)
{
    return (struct reading){buf,           buf + off,
                            buf + stop,    head->fields + head->field_count,
                            head->present, head->repeated};
}

static ALWAYS_INLINE void finish(struct http_head *head, const struct reading *r, size_t *off)
{
    head->field_count = (uint16_t)(r->field - head->fields);
    head->present = r->present;
    head->repeated = r->repeated;
    *off = (size_t)(r->at - r->buf);
}

static ALWAYS_INLINE bool ends_line(const struct reading *r, const char *at)
{
    return at <= r->end - 2 && memcmp(at, "\r\n", 2) == 0;
}

/* The line at r->at has this name; its value goes from behind the colon to `ending`, where its CRLF stands. */
static ALWAYS_INLINE void keep_line(struct http_head *head, struct reading *r, size_t len,
                                    const char *ending)
{
    const char *value = r->at + len + 1;
    const enum http_field_id id = http_field_lookup(r->at, len);
    struct http_field *field = r->field++;
    field->name_off = (uint32_t)(r->at - r->buf);
    field->name_len = (uint16_t)len;
    field->id = (uint8_t)id;
    r->at = ending + 2;
    if (value[0] == ' ' && (unsigned char)value[1] > ' ' && ending[-1] != ' ')
        value++; /* as nearly all write it */
    else
        trim_value(&value, &ending);
    field->value_off = (uint32_t)(value - r->buf);
    field->value_len = (uint32_t)(ending - value);
    if (id == HTTP_FIELD_OTHER)
        return;
    const uint64_t bit = HTTP_FIELD_BIT(id);
    r->repeated |= r->present & bit;
    if ((r->present & bit) == 0)
        head->first[id] = (uint16_t)(field - head->fields);
    r->present |= bit;
}

void http_lines_read_portable(struct http_head *head, const char *buf, size_t stop, size_t *off,
                              unsigned max)
{
    if (*off >= stop || stop < LOOK)
        return;
    struct reading r = begin(head, buf, stop, *off);
    const struct http_field *const room_end = head->fields + max;
    while (r.field != room_end) {
        size_t len = name_len(r.at, r.end);
        if (len < 2 || r.at[len] != ':')
            break;
        const char *ending = value_end(r.at + len + 1, r.end);
        if (!ends_line(&r, ending))
            break;
        keep_line(head, &r, len, ending);
    }
    finish(head, &r, off);
}

#ifdef __x86_64__
#include <immintrin.h>

#define WIDE      __attribute__((target("avx2,bmi")))
#define WIDE_LOOK 32
#define SKIP      (8 * WIDE_LOOK)

/* Made once for all lines: the compiler would make what it knows anew at each use. */
struct constants {
    __m256i rows, columns, low, one, span;
};
#define KEPT(vector) __asm__("" : "+x"(vector))

WIDE static ALWAYS_INLINE __m256i wide_load(const char *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

/* A bit stands for one or two rows of the code table that have HTTP_BYTE_PLAIN in the same columns: 0x2. ("-"), 0x3.
 * (digits), 0x4. and 0x6. ("A" to "O"), 0x5. and 0x7. ("P" to "Z"). */
WIDE static ALWAYS_INLINE struct constants wide_constants(void)
{
    const __m128i rows = _mm_setr_epi8(0, 0, 1, 2, 4, 8, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i columns =
        _mm_setr_epi8(10, 14, 14, 14, 14, 14, 14, 14, 14, 14, 12, 4, 4, 5, 4, 4);
    struct constants c = {
        .rows = _mm256_broadcastsi128_si256(rows),
        .columns = _mm256_broadcastsi128_si256(columns),
        .low = _mm256_set1_epi8(0x0f),
        .one = _mm256_set1_epi8(0x7f - 0x7e),
        .span = _mm256_set1_epi8(0x7f - 0x7e + 0x20),
    };
    KEPT(c.rows);
    KEPT(c.columns);
    KEPT(c.low);
    KEPT(c.one);
    KEPT(c.span);
    return c;
}

/* One bit per byte that is not HTTP_BYTE_PLAIN. */
WIDE static ALWAYS_INLINE unsigned wide_not_plain(const struct constants *c, __m256i bytes)
{
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), c->low);
    __m256i good = _mm256_and_si256(_mm256_shuffle_epi8(c->rows, high),
                                    _mm256_shuffle_epi8(c->columns, bytes));
    return (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(good, _mm256_setzero_si256()));
}

/* As http_scan_maybe_not_value. */
WIDE static ALWAYS_INLINE unsigned wide_not_value(const struct constants *c, __m256i bytes)
{
    __m256i outside = _mm256_subs_epi8(_mm256_add_epi8(bytes, c->one), c->span);
    return (unsigned)_mm256_movemask_epi8(outside);
}

WIDE static ALWAYS_INLINE size_t wide_name_len(const struct constants *c, const char *at)
{
    return http_scan_first(wide_not_plain(c, wide_load(at)) | 1U << 31);
}

/* The same where fewer than WIDE_LOOK bytes are left; 0 when it goes on to their end. */
WIDE static ALWAYS_INLINE size_t wide_last_name_len(const struct constants *c, const char *at,
                                                    const char *last)
{
    unsigned stops = (unsigned)((uint64_t)wide_not_plain(c, wide_load(last)) >> (at - last));
    return stops == 0 ? 0 : http_scan_first(stops);
}

/* While all are plain: the least byte, as signed, is none from 0x80 on and no control, and the greatest is not DEL. */
WIDE static ALWAYS_INLINE const char *wide_skip(const struct constants *c, const char *at,
                                                const char *end)
{
    while (end - at >= SKIP) {
        __m256i least = wide_load(at), greatest = least;
        for (unsigned i = 1; i < SKIP / WIDE_LOOK; i++) {
            least = _mm256_min_epi8(least, wide_load(at + i * WIDE_LOOK));
            greatest = _mm256_max_epi8(greatest, wide_load(at + i * WIDE_LOOK));
        }
        if ((wide_not_value(c, least) | wide_not_value(c, greatest)) != 0)
            break;
        at += SKIP;
    }
    return at;
}

/* A value of which WIDE_LOOK bytes or more were plain.  `end` is WIDE_LOOK or more behind where all begins. */
WIDE static ALWAYS_INLINE const char *wide_rest(const struct constants *c, const char *at,
                                                const char *end)
{
    const char *const last = end - WIDE_LOOK;
    unsigned stops;
    if (at <= last) {
        stops = wide_not_value(c, wide_load(at));
        if (stops != 0)
            return at + http_scan_first(stops);
        at += WIDE_LOOK;
    }
    for (at = wide_skip(c, at, end); at <= last; at += WIDE_LOOK) {
        stops = wide_not_value(c, wide_load(at));
        if (stops != 0)
            return at + http_scan_first(stops);
    }
    stops = (unsigned)((uint64_t)wide_not_value(c, wide_load(last)) >> (at - last));
    return stops != 0 ? at + http_scan_first(stops) : end;
}

WIDE static ALWAYS_INLINE const char *wide_value_end(const struct constants *c, const char *at,
                                                     const char *end)
{
    if (at > end - WIDE_LOOK)
        return wide_rest(c, at, end);
    unsigned stops = wide_not_value(c, wide_load(at));
    return stops != 0 ? at + http_scan_first(stops) : wide_rest(c, at + WIDE_LOOK, end);
}

WIDE static void wide_lines(struct http_head *head, const char *buf, size_t stop, size_t *off,
                            unsigned max)
{
    const struct constants c = wide_constants();
    struct reading r = begin(head, buf, stop, *off);
    const struct http_field *const room_end = head->fields + max;
    const char *const last = r.end - WIDE_LOOK;
    while (r.field != room_end) {
        size_t len = r.at <= last ? wide_name_len(&c, r.at) : wide_last_name_len(&c, r.at, last);
        if (len < 2 || r.at[len] != ':')
            break;
        const char *ending = wide_value_end(&c, r.at + len + 1, r.end);
        if (!ends_line(&r, ending))
            break;
        keep_line(head, &r, len, ending);
    }
    finish(head, &r, off);
}

void http_lines_read(struct http_head *head, const char *buf, size_t stop, size_t *off,
                     unsigned max)
{
    if (*off < stop && stop >= WIDE_LOOK && __builtin_cpu_supports("avx2") &&
        __builtin_cpu_supports("bmi"))
        wide_lines(head, buf, stop, off, max);
    else
        http_lines_read_portable(head, buf, stop, off, max);
}
#else
void http_lines_read(struct http_head *head, const char *buf, size_t stop, size_t *off,
                     unsigned max)
{
    http_lines_read_portable(head, buf, stop, off, max);
}
#endif
