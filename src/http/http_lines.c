/* SPDX-License-Identifier: Apache-2.0 */
/* http_lines.c - see http_lines.h.  One loop with looks of sixteen bytes, and the other (http_lines_loop.h) where the
 * processor has AVX2: that is seen when it runs, since one program serves all. */
#include "http/http_lines.h"

#include "http/http_lines_loop.h"

#define LOOK        16 /* bytes that are looked at in one go, where SSE2 is */
#define SHORT_LOOKS 4  /* before a value counts as long */

/* How long the plain name of less than 32 bytes is that begins at `at`; what follows need not be a colon.  0: it goes on to
 * the end. */
static HTTP_LINES_INLINE size_t name_len(const char *at, const char *end)
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
static HTTP_LINES_INLINE const char *skip_long_value(const char *at, const char *end)
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
static HTTP_LINES_INLINE const char *value_end(const char *at, const char *end)
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

static inline bool ends_line(const struct http_lines *r, const char *at)
{
    return at <= r->end - 2 && memcmp(at, "\r\n", 2) == 0;
}

void http_lines_read_portable(struct http_head *head, const char *buf, size_t stop, size_t *off,
                              unsigned max)
{
    if (*off >= stop || stop < LOOK)
        return;
    struct http_lines r = http_lines_begin(head, buf, stop, *off);
    const struct http_field *const room_end = head->fields + max;
    while (r.field != room_end) {
        size_t len = name_len(r.at, r.end);
        if (len < 2 || r.at[len] != ':')
            break;
        const char *ending = value_end(r.at + len + 1, r.end);
        if (!ends_line(&r, ending))
            break;
        http_lines_keep(head, &r, len, ending);
    }
    http_lines_finish(head, &r, off);
}

#ifdef HTTP_SCAN_WIDE
#define SKIP (8 * HTTP_SCAN_WIDE_LOOK)

/* While all are plain: how far each lies below '~', where what lies above comes out greatest. */
HTTP_LINES_WIDE const char *skip_wide(const char *at, const char *end)
{
    const __m256i top = _mm256_set1_epi8('~'), most = _mm256_set1_epi8('~' - ' ');
    while (end - at >= SKIP) {
        __m256i greatest = _mm256_sub_epi8(top, http_scan_wide_load(at));
        for (unsigned i = 1; i < SKIP / HTTP_SCAN_WIDE_LOOK; i++) {
            __m256i bytes = http_scan_wide_load(at + i * HTTP_SCAN_WIDE_LOOK);
            greatest = _mm256_max_epu8(greatest, _mm256_sub_epi8(top, bytes));
        }
        __m256i beyond = _mm256_subs_epu8(greatest, most);
        if (!_mm256_testz_si256(beyond, beyond))
            break;
        at += SKIP;
    }
    return at;
}

HTTP_SCAN_WIDE __attribute__((noinline)) const char *http_lines_long_value_end(const char *at,
                                                                               const char *last)
{
    const struct http_lines_constants c = http_lines_constants();
    for (at = skip_wide(at, last + HTTP_SCAN_WIDE_LOOK); at <= last; at += HTTP_SCAN_WIDE_LOOK) {
        unsigned stops = http_lines_not_value(&c, http_scan_wide_load(at));
        if (stops != 0)
            return at + http_scan_first(stops);
    }
    return http_lines_last_value_end(&c, at, last);
}

HTTP_SCAN_WIDE static void read_wide(struct http_head *head, const char *buf, size_t stop,
                                     size_t *off, unsigned max)
{
    http_lines_loop_wide(head, buf, stop, off, max);
}

void http_lines_read(struct http_head *head, const char *buf, size_t stop, size_t *off,
                     unsigned max)
{
    if (http_scan_has_wide())
        read_wide(head, buf, stop, off, max);
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
