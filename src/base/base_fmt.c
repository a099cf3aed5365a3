/* SPDX-License-Identifier: Apache-2.0 */
/* base_fmt.c - takes: numbers, times, bytes.  Gives: text at the caller's place.  Never: allocates,
 * looks at the locale or a clock. */
#include "base/base_fmt.h"

#include <stdbool.h>

#include "base/base_fmt_json.h"
#include "base/base_load.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static const char hex_digits[] = "0123456789abcdef";

const char fmt_pairs[] = "00010203040506070809101112131415161718192021222324"
                         "25262728293031323334353637383940414243444546474849"
                         "50515253545556575859606162636465666768697071727374"
                         "75767778798081828384858687888990919293949596979899";

#define TEN(h, t)                                                                                  \
    ONE(h, t, 0), ONE(h, t, 1), ONE(h, t, 2), ONE(h, t, 3), ONE(h, t, 4), ONE(h, t, 5),            \
        ONE(h, t, 6), ONE(h, t, 7), ONE(h, t, 8), ONE(h, t, 9)
#define HUNDRED(h)                                                                                 \
    TEN(h, 0), TEN(h, 1), TEN(h, 2), TEN(h, 3), TEN(h, 4), TEN(h, 5), TEN(h, 6), TEN(h, 7),        \
        TEN(h, 8), TEN(h, 9)
#define THOUSAND                                                                                   \
    HUNDRED(0), HUNDRED(1), HUNDRED(2), HUNDRED(3), HUNDRED(4), HUNDRED(5), HUNDRED(6),            \
        HUNDRED(7), HUNDRED(8), HUNDRED(9)

#define ONE(h, t, o)                                                                               \
    {                                                                                              \
        {(h) != 0   ? '0' + (h)                                                                    \
         : (t) != 0 ? '0' + (t)                                                                    \
                    : '0' + (o),                                                                   \
         (h) != 0   ? '0' + (t)                                                                    \
         : (t) != 0 ? '0' + (o)                                                                    \
                    : 0,                                                                           \
         (h) != 0 ? '0' + (o) : 0},                                                                \
            (h) != 0   ? 3                                                                         \
            : (t) != 0 ? 2                                                                         \
                       : 1                                                                         \
    }
const struct fmt_thousand fmt_thousands[1000] = {THOUSAND};
#undef ONE

#define ONE(h, t, o)                                                                               \
    {                                                                                              \
        '0' + (h), '0' + (t), '0' + (o)                                                            \
    }
const char fmt_triples[1000][4] = {THOUSAND};
#undef ONE

static inline char *put_pair(char *out, unsigned value)
{
    memcpy(out, fmt_pairs + 2 * value, 2);
    return out + 2;
}

static inline char *put_triple(char *out, unsigned value)
{
    memcpy(out, fmt_triples[value], 4);
    return out + 3;
}

/* By thousands: each is one move, whatever counts of the first. */
char *fmt_u64_long(char *out, uint64_t value)
{
    if (value < 1000000)
        return fmt_u64_middle(out, (unsigned)value);
    uint64_t millions = value / 1000000;
    unsigned rest = (unsigned)(value - millions * 1000000);
    if (millions < 1000)
        out = fmt_u64_short(out, (unsigned)millions);
    else if (millions < 1000000)
        out = fmt_u64_middle(out, (unsigned)millions);
    else
        out = fmt_u64_long(out, millions);
    out = put_triple(out, rest / 1000);
    memcpy(out, fmt_triples[rest % 1000], 3); /* the last of twenty digits: not a byte more */
    return out + 3;
}

/* Eight bytes at a time where the machine has SSE2: every request has an id of sixteen (measured: 190 instructions
 * less). */
char *fmt_hex(char *out, const void *bytes, size_t len)
{
    const unsigned char *next = bytes;
#ifdef __SSE2__
    for (; len >= 8; next += 8, len -= 8, out += 16) {
        const __m128i fours = _mm_set1_epi8(15);
        __m128i word = _mm_loadl_epi64((const __m128i *)(const void *)next);
        __m128i low = _mm_and_si128(word, fours);
        __m128i high = _mm_and_si128(_mm_srli_epi16(word, 4), fours);
        __m128i values = _mm_unpacklo_epi8(high, low);
        __m128i is_letter = _mm_cmpgt_epi8(values, _mm_set1_epi8(9));
        __m128i to_letter = _mm_and_si128(is_letter, _mm_set1_epi8('a' - 10 - '0'));
        __m128i text = _mm_add_epi8(_mm_add_epi8(values, _mm_set1_epi8('0')), to_letter);
        _mm_storeu_si128((__m128i *)(void *)out, text);
    }
#endif
    for (size_t i = 0; i < len; i++) {
        *out++ = hex_digits[next[i] >> 4];
        *out++ = hex_digits[next[i] & 15];
    }
    return out;
}

static char *put_base64(char *out, const void *bytes, size_t len, const char *alphabet)
{
    const unsigned char *next = bytes;
    uint32_t bits = 0;
    unsigned count = 0; /* of bits not written yet */
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | next[i];
        for (count += 8; count >= 6; count -= 6)
            *out++ = alphabet[bits >> (count - 6) & 63];
    }
    if (count > 0)
        *out++ = alphabet[bits << (6 - count) & 63];
    return out;
}

#define BASE64_COMMON "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

char *fmt_base64url(char *out, const void *bytes, size_t len)
{
    return put_base64(out, bytes, len, BASE64_COMMON "-_");
}

char *fmt_base64(char *out, const void *bytes, size_t len)
{
    out = put_base64(out, bytes, len, BASE64_COMMON "+/");
    for (size_t rest = len % 3; rest != 0 && rest < 3; rest++)
        *out++ = '=';
    return out;
}

struct date {
    unsigned year, month, day, weekday; /* month 1..12, weekday 0 = Thursday, as on 1970-01-01 */
    unsigned hour, minute, second;
};

#define LAST_S UINT64_C(253402300799) /* 9999-12-31T23:59:59Z: both forms have four digits */

/* Days to a civil date, after Neri and Schneider, "Euclidean affine functions and their application to
 * calendar algorithms" (2022): a multiplication for each division. */
static inline struct date date_of(uint64_t wall_s)
{
    uint32_t days = (uint32_t)(wall_s / 86400), rest = (uint32_t)(wall_s % 86400);
    uint32_t quarter_days = 4 * (days + 719468) + 3; /* since 0000-03-01 */
    uint32_t century = quarter_days / 146097;
    uint32_t day_of_century = quarter_days % 146097 / 4;
    uint64_t year_part = UINT64_C(2939745) * (4 * day_of_century + 3);
    uint32_t day_of_year = (uint32_t)year_part / 2939745 / 4;
    uint32_t month_part = 2141 * day_of_year + 197913;
    bool is_next_year =
        day_of_year >= 306; /* January and February end the year that began in March */
    return (struct date){
        .year = 100 * century + (uint32_t)(year_part >> 32) + is_next_year,
        .month = (month_part >> 16) - (is_next_year ? 12 : 0),
        .day = (month_part & 0xffff) / 2141 + 1,
        .weekday = days % 7,
        .hour = rest / 3600,
        .minute = rest / 60 % 60,
        .second = rest % 60,
    };
}

static char *put_time(char *out, const struct date *date)
{
    out = put_pair(out, date->hour);
    *out++ = ':';
    out = put_pair(out, date->minute);
    *out++ = ':';
    return put_pair(out, date->second);
}

char *fmt_rfc3339_ms(char *out, uint64_t wall_us)
{
    uint64_t wall_s = wall_us / 1000000;
    unsigned ms = (unsigned)(wall_us % 1000000 / 1000);
    if (wall_s > LAST_S) {
        wall_s = LAST_S;
        ms = 999;
    }
    struct date date = date_of(wall_s);
    out = put_pair(out, date.year / 100);
    out = put_pair(out, date.year % 100);
    *out++ = '-';
    out = put_pair(out, date.month);
    *out++ = '-';
    out = put_pair(out, date.day);
    *out++ = 'T';
    out = put_time(out, &date);
    *out++ = '.';
    *out++ = (char)('0' + ms / 100);
    out = put_pair(out, ms % 100);
    *out++ = 'Z';
    return out;
}

char *fmt_http_date(char *out, uint64_t wall_s)
{
    static const char weekdays[] = "Thu, Fri, Sat, Sun, Mon, Tue, Wed, ";
    static const char months[] = " Jan  Feb  Mar  Apr  May  Jun  Jul  Aug  Sep  Oct  Nov  Dec ";
    struct date date = date_of(wall_s > LAST_S ? LAST_S : wall_s);
    memcpy(out, weekdays + (size_t)5 * date.weekday, 5);
    out = put_pair(out + 5, date.day);
    memcpy(out, months + (size_t)5 * (date.month - 1), 5);
    out = put_pair(out + 5, date.year / 100);
    out = put_pair(out, date.year % 100);
    *out++ = ' ';
    out = put_time(out, &date);
    return FMT_LIT(out, " GMT");
}

static inline bool copy_plain16(char *out, const char *text)
{
    uint64_t low = load_u64(text), high = load_u64(text + 8);
    memcpy(out, &low, 8);
    memcpy(out + 8, &high, 8);
    return fmt_json_is_plain(low, high);
}

/* At least sixteen bytes; the last sixteen may overlap those before. */
static inline bool copy_plain_long(char *out, const char *text, size_t len)
{
    for (size_t at = 0; at + 16 <= len; at += 16) {
        if (!copy_plain16(out + at, text + at))
            return false;
    }
    return len % 16 == 0 || copy_plain16(out + len - 16, text + len - 16);
}

const char fmt_json_escapes[256] = {
    [0x00 ... 0x07] = 'u', ['\b'] = 'b',  ['\t'] = 't',          ['\n'] = 'n',
    [0x0b] = 'u',          ['\f'] = 'f',  ['\r'] = 'r',          [0x0e ... 0x1f] = 'u',
    ['"'] = '"',           ['\\'] = '\\', [0x7f ... 0xff] = 'u',
};

/* The escape of one byte into `escape` (six at most); returns its length. */
static size_t escape_byte(char escape[6], unsigned char byte)
{
    escape[0] = '\\';
    escape[1] = fmt_json_escapes[byte];
    if (escape[1] != 'u')
        return 2;
    escape[2] = escape[3] = '0';
    escape[4] = hex_digits[byte >> 4];
    escape[5] = hex_digits[byte & 15];
    return 6;
}

/* One character: *put bytes at `piece` are to be written for the returned number of input bytes. */
static size_t json_char(char piece[6], size_t *put, const char *text, size_t left, bool *is_byte)
{
    const unsigned char *at = (const unsigned char *)text;
    *is_byte = false;
    if (fmt_json_escapes[at[0]] == 0) {
        piece[0] = text[0];
        *put = 1;
        return 1;
    }
    size_t len = span_utf8_len((struct span){text, left});
    bool is_control = len == 1 || (len == 2 && at[0] == 0xc2 && at[1] < 0xa0);
    if (len > 0 && !is_control) {
        memcpy(piece, text, len);
        *put = len;
        return len;
    }
    /* U+0080..U+009F go as two bytes: a terminal obeys U+009B like ESC [, and this way each escape
     * from \u0080 on stands for one byte of the input and the line can be read back exactly. */
    *is_byte = at[0] >= 0x80;
    *put = escape_byte(piece, at[0]);
    return 1;
}

/* Character by character where there is something to escape or to cut; plain runs in pieces. */
static __attribute__((noinline)) char *json_text_slow(char *out, const char *end, struct span text,
                                                      bool *cut, bool *bytes)
{
    const char *next = text.ptr;
    size_t left = text.len;
    while (left > 0) {
        if (left >= 16 && end - out >= 16 && copy_plain16(out, next)) {
            out += 16;
            next += 16;
            left -= 16;
            continue;
        }
        char piece[6];
        size_t put;
        bool is_byte;
        size_t took = json_char(piece, &put, next, left, &is_byte);
        if (end - out < (ptrdiff_t)put) {
            *cut = true;
            break;
        }
        if (is_byte)
            *bytes = true;
        memcpy(out, piece, put);
        out += put;
        next += took;
        left -= took;
    }
    return out;
}

char *fmt_json_text(char *out, const char *end, struct span text, bool *cut, bool *bytes)
{
    if (text.len == 0)
        return out;
    if ((size_t)(end - out) >= text.len) {
        bool is_copied = text.len <= 16 ? fmt_json_copy_short(out, text.ptr, text.len)
                                        : copy_plain_long(out, text.ptr, text.len);
        if (is_copied)
            return out + text.len;
    }
    return json_text_slow(out, end, text, cut, bytes);
}

char *fmt_json_value_long(struct fmt_json *json, char *out, struct span text, size_t max)
{
    ptrdiff_t room = json->end - out;
    if (text.len - 16 <= 16 && max >= 32 && room >= 32 && copy_plain16(out, text.ptr) &&
        copy_plain16(out + text.len - 16, text.ptr + text.len - 16)) {
        out[text.len] = '"';
        return out + text.len + 1;
    }
    size_t fit = room < 0 ? 0 : (size_t)room < max ? (size_t)room : max;
    if (text.len >= 16 && text.len <= fit && copy_plain_long(out, text.ptr, text.len))
        out += text.len;
    else
        out = json_text_slow(out, out + fit, text, &json->cut, &json->bytes);
    *out = '"';
    return out + 1;
}

/* U+202A to U+202E and U+2066 to U+2069: they turn round what stands behind them (UAX 9, section 2). */
static bool is_turning(struct span text, size_t len)
{
    unsigned char first = (unsigned char)text.ptr[0];
    if (len != 3 || first != 0xe2)
        return false;
    unsigned char second = (unsigned char)text.ptr[1], third = (unsigned char)text.ptr[2];
    return (second == 0x80 && third >= 0xaa && third <= 0xae) ||
           (second == 0x81 && third >= 0xa6 && third <= 0xa9);
}

static bool is_clean(struct span text, size_t len)
{
    unsigned char first = (unsigned char)text.ptr[0];
    if (len == 1)
        return first >= 0x20 && first != 0x7f;
    return len > 1 && !(first == 0xc2 && (unsigned char)text.ptr[1] < 0xa0) &&
           !is_turning(text, len);
}

char *fmt_clean(char *out, const char *end, struct span text)
{
    while (text.len > 0) {
        size_t len = span_utf8_len(text);
        bool as_it_is = is_clean(text, len);
        if ((size_t)(end - out) < (as_it_is ? len : 4))
            return out;
        if (as_it_is) {
            out = fmt_span(out, (struct span){text.ptr, len});
        } else {
            len = 1;
            out = FMT_LIT(out, "\\x");
            out = fmt_hex(out, text.ptr, 1);
        }
        text.ptr += len;
        text.len -= len;
    }
    return out;
}
