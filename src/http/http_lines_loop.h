/* SPDX-License-Identifier: Apache-2.0 */
/* http_lines_loop.h - what the loops behind http_lines.h share, and in line the one with looks of thirty-two bytes.  Takes
 * and gives what http_lines_read does.  Only for http_lines.c, and for http_head.c, whose requests go through the loop
 * without a call. */
#ifndef SLUICE_HTTP_LINES_LOOP_H
#define SLUICE_HTTP_LINES_LOOP_H

#include <string.h>

#include "http/http_fields.h"
#include "http/http_lines.h"
#include "http/http_scan.h"

#define HTTP_LINES_INLINE inline __attribute__((always_inline))

/* What was scanned has no control byte but HTAB, and the colon before it stops the search from the end. */
static HTTP_LINES_INLINE void http_lines_trim(const char **begin, const char **end)
{
    while ((unsigned char)(*end)[-1] <= ' ')
        --*end;
    while (*begin < *end && (unsigned char)**begin <= ' ')
        ++*begin;
}

/* What the loop keeps in registers; it calls nothing (measured: 40 instructions less per line). */
struct http_lines {
    const char *buf, *at, *end;
    struct http_field *field;
    uint64_t present, repeated;
};

static HTTP_LINES_INLINE struct http_lines
http_lines_begin(const struct http_head *head, const char *buf, size_t stop, size_t off)
{
    return (struct http_lines){buf,           buf + off,
                               buf + stop,    head->fields + head->field_count,
                               head->present, head->repeated};
}

static HTTP_LINES_INLINE void http_lines_finish(struct http_head *head, const struct http_lines *r,
                                                size_t *off)
{
    head->field_count = (uint16_t)(r->field - head->fields);
    head->present = r->present;
    head->repeated = r->repeated;
    *off = (size_t)(r->at - r->buf);
}

/* The line at r->at has this name; its value goes from behind the colon to `ending`, where its CRLF stands. */
static HTTP_LINES_INLINE void http_lines_keep(struct http_head *head, struct http_lines *r,
                                              size_t len, const char *ending)
{
    const char *const name = r->at, *value = name + len + 1;
    struct http_field *field = r->field++;
    r->at = ending + 2;
    if (value[0] == ' ' && (unsigned char)value[1] > ' ' && ending[-1] != ' ')
        value++; /* as nearly all write it */
    else
        http_lines_trim(&value, &ending);
    field->name_off = (uint32_t)(name - r->buf);
    field->name_len = (uint16_t)len;
    field->value_off = (uint32_t)(value - r->buf);
    field->value_len = (uint32_t)(ending - value);
    field->id = HTTP_FIELD_OTHER;
    const enum http_field_id id = http_field_lookup(name, len);
    if (id == HTTP_FIELD_OTHER)
        return;
    const uint64_t bit = HTTP_FIELD_BIT(id);
    field->id = (uint8_t)id;
    r->repeated |= r->present & bit;
    if ((r->present & bit) == 0)
        head->first[id] = (uint16_t)(field - head->fields);
    r->present |= bit;
}

#ifdef HTTP_SCAN_WIDE
#define HTTP_LINES_WIDE HTTP_SCAN_IN_WIDE

/* Made once for all lines: the compiler would make what it knows anew at each use. */
struct http_lines_constants {
    struct http_scan_table plain;
    __m256i one, span;
};

/* A bit stands for one or two rows of the code table that have HTTP_BYTE_PLAIN in the same columns: 0x2. ("-"), 0x3.
 * (digits), 0x4. and 0x6. ("A" to "O"), 0x5. and 0x7. ("P" to "Z"). */
HTTP_LINES_WIDE struct http_lines_constants http_lines_constants(void)
{
    const __m128i rows = _mm_setr_epi8(0, 0, 1, 2, 4, 8, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i columns =
        _mm_setr_epi8(10, 14, 14, 14, 14, 14, 14, 14, 14, 14, 12, 4, 4, 5, 4, 4);
    struct http_lines_constants c = {
        .plain = http_scan_wide_table(rows, columns),
        .one = _mm256_set1_epi8(0x7f - 0x7e),
        .span = _mm256_set1_epi8(0x7f - 0x7e + 0x20),
    };
    HTTP_SCAN_KEPT(c.one);
    HTTP_SCAN_KEPT(c.span);
    return c;
}

/* As http_scan_maybe_not_value. */
HTTP_LINES_WIDE unsigned http_lines_not_value(const struct http_lines_constants *c, __m256i bytes)
{
    __m256i outside = _mm256_subs_epi8(_mm256_add_epi8(bytes, c->one), c->span);
    return (unsigned)_mm256_movemask_epi8(outside);
}

HTTP_LINES_WIDE size_t http_lines_wide_name_len(const struct http_lines_constants *c,
                                                const char *at)
{
    return http_scan_first(http_scan_wide_not_in(&c->plain, http_scan_wide_load(at)) | 1U << 31);
}

/* The same where fewer than HTTP_SCAN_WIDE_LOOK bytes are left; 0 when it goes on to their end. */
HTTP_LINES_WIDE size_t http_lines_wide_last_name_len(const struct http_lines_constants *c,
                                                     const char *at, const char *last)
{
    unsigned stops =
        (unsigned)((uint64_t)http_scan_wide_not_in(&c->plain, http_scan_wide_load(last)) >>
                   (at - last));
    return stops == 0 ? 0 : http_scan_first(stops);
}

/* The same for a value of which two looks were plain: see http_lines.c.  `last` is where a look begins that sees all that
 * is left.  NULL: it goes on to the end. */
const char *http_lines_long_value_end(const char *at, const char *last);

/* Likewise, where fewer than HTTP_SCAN_WIDE_LOOK bytes are left: through a window that begins at `last`. */
HTTP_LINES_WIDE const char *http_lines_last_value_end(const struct http_lines_constants *c,
                                                      const char *at, const char *last)
{
    uint64_t stops = http_lines_not_value(c, http_scan_wide_load(last));
    stops >>= at - last;
    return stops != 0 ? at + http_scan_first((unsigned)stops) : NULL;
}

/* Where a value ends that has no HTAB and no byte from 0x80 on; NULL when it goes on to the end. */
HTTP_LINES_WIDE const char *http_lines_wide_value_end(const struct http_lines_constants *c,
                                                      const char *at, const char *last)
{
#pragma GCC unroll 2
    for (unsigned i = 0; i < 2; i++) {
        if (at > last)
            return http_lines_last_value_end(c, at, last);
        unsigned stops = http_lines_not_value(c, http_scan_wide_load(at));
        if (stops != 0)
            return at + http_scan_first(stops);
        at += HTTP_SCAN_WIDE_LOOK;
    }
    return http_lines_long_value_end(at, last);
}

HTTP_LINES_WIDE void http_lines_loop_wide(struct http_head *head, const char *buf, size_t stop,
                                          size_t *off, unsigned max)
{
    if (*off >= stop || stop <= HTTP_SCAN_WIDE_LOOK) {
        http_lines_read_portable(head, buf, stop, off, max);
        return;
    }
    const struct http_lines_constants c = http_lines_constants();
    struct http_lines r = http_lines_begin(head, buf, stop, *off);
    const struct http_field *const room_end = head->fields + max;
    /* The last byte can only be an LF: whatever is found before it has one behind it. */
    const char *const last = r.end - 1 - HTTP_SCAN_WIDE_LOOK;
    while (r.field != room_end) {
        size_t len = r.at <= last ? http_lines_wide_name_len(&c, r.at)
                                  : http_lines_wide_last_name_len(&c, r.at, last);
        if (len < 2 || r.at[len] != ':')
            break;
        const char *ending = http_lines_wide_value_end(&c, r.at + len + 1, last);
        if (ending == NULL || memcmp(ending, "\r\n", 2) != 0)
            break;
        http_lines_keep(head, &r, len, ending);
    }
    http_lines_finish(head, &r, off);
}
#endif

#endif
