/* SPDX-License-Identifier: Apache-2.0 */
/* base_fmt.c - takes: numbers, times, bytes.  Gives: text at the caller's place.  Never: allocates,
 * looks at the locale or a clock. */
#include "base/base_fmt.h"

#include <stdbool.h>

static const char hex_digits[] = "0123456789abcdef";

static const char digit_pairs[] = "00010203040506070809101112131415161718192021222324"
                                  "25262728293031323334353637383940414243444546474849"
                                  "50515253545556575859606162636465666768697071727374"
                                  "75767778798081828384858687888990919293949596979899";

static inline char *put_pair(char *out, unsigned value)
{
    memcpy(out, digit_pairs + 2 * value, 2);
    return out + 2;
}

/* 1233 / 4096 is a little above log10(2): the guess is right or one too high. */
static inline unsigned count_digits(uint64_t value)
{
    static const uint64_t powers[FMT_U64_MAX] = {
        UINT64_C(0),
        UINT64_C(10),
        UINT64_C(100),
        UINT64_C(1000),
        UINT64_C(10000),
        UINT64_C(100000),
        UINT64_C(1000000),
        UINT64_C(10000000),
        UINT64_C(100000000),
        UINT64_C(1000000000),
        UINT64_C(10000000000),
        UINT64_C(100000000000),
        UINT64_C(1000000000000),
        UINT64_C(10000000000000),
        UINT64_C(100000000000000),
        UINT64_C(1000000000000000),
        UINT64_C(10000000000000000),
        UINT64_C(100000000000000000),
        UINT64_C(1000000000000000000),
        UINT64_C(10000000000000000000),
    };
    unsigned guess = (unsigned)(64 - __builtin_clzll(value | 1)) * 1233 >> 12;
    return guess + (value >= powers[guess]);
}

char *fmt_u64(char *out, uint64_t value)
{
    unsigned len = count_digits(value);
    char *at = out + len;
    while (value >= 100) {
        at -= 2;
        put_pair(at, (unsigned)(value % 100));
        value /= 100;
    }
    if (value >= 10)
        put_pair(out, (unsigned)value);
    else
        *out = (char)('0' + value);
    return out + len;
}

char *fmt_hex(char *out, const void *bytes, size_t len)
{
    const unsigned char *next = bytes;
    for (size_t i = 0; i < len; i++) {
        *out++ = hex_digits[next[i] >> 4];
        *out++ = hex_digits[next[i] & 15];
    }
    return out;
}

char *fmt_base64url(char *out, const void *bytes, size_t len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
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

struct date {
    unsigned year, month, day, weekday; /* month 1..12, weekday 0 = Thursday, as on 1970-01-01 */
    unsigned hour, minute, second;
};

#define LAST_S UINT64_C(253402300799) /* 9999-12-31T23:59:59Z: both forms have four digits */

/* Days to a civil date, after Hinnant, "chrono-compatible low-level date algorithms" (2014). */
static struct date date_of(uint64_t wall_s)
{
    unsigned days = (unsigned)(wall_s / 86400), rest = (unsigned)(wall_s % 86400);
    unsigned z = days + 719468; /* since 0000-03-01 */
    unsigned era = z / 146097, day_of_era = z % 146097;
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned from_march = (5 * day_of_year + 2) / 153;
    unsigned month = from_march < 10 ? from_march + 3 : from_march - 9;
    return (struct date){
        .year = era * 400 + year_of_era + (month <= 2),
        .month = month,
        .day = day_of_year - (153 * from_march + 2) / 5 + 1,
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

/* Is there a byte in the word that cannot stand in a JSON string as it is?  Eight bytes at once: log
 * lines are made of short plain values, and a table look-up per byte was most of a line's cost. */
static inline bool has_special(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\'),
             del = word ^ (ones * 0x7f);
    uint64_t found = (word - ones * 0x20) | (quote - ones) | (backslash - ones) | (del - ones);
    /* A borrow out of a lower byte can only follow a byte that is special itself. */
    return ((found | word) & tops) != 0;
}

static inline uint64_t load4(const char *at)
{
    uint32_t word;
    memcpy(&word, at, 4);
    return word;
}

/* Copy plain text in pieces of eight; the last piece may overlap the one before.  Returns how much was
 * copied; stops before the first piece with a special byte. */
static inline size_t copy_plain(char *out, const char *text, size_t len)
{
    size_t done = 0;
    uint64_t word;
    for (; len - done >= 8; done += 8) {
        memcpy(&word, text + done, 8);
        if (has_special(word))
            return done;
        memcpy(out + done, &word, 8);
    }
    if (done == len)
        return done;
    memcpy(&word, text + len - 8, 8);
    if (has_special(word))
        return done;
    memcpy(out + len - 8, &word, 8);
    return len;
}

/* The same for less than eight bytes: two pieces of four that may overlap, or three bytes that may be
 * one and the same.  All or nothing. */
static inline size_t copy_plain_short(char *out, const char *text, size_t len)
{
    if (len >= 4) {
        uint64_t first = load4(text), last = load4(text + len - 4);
        if (has_special(first | last << 32))
            return 0;
        memcpy(out, &first, 4);
        memcpy(out + len - 4, &last, 4);
        return len;
    }
    if (len == 0)
        return 0;
    const unsigned char *at = (const unsigned char *)text;
    size_t middle = len / 2, end = len - 1;
    uint32_t three = at[0] | (uint32_t)at[middle] << 8 | (uint32_t)at[end] << 16;
    if (has_special(three | UINT64_C(0x6161616161) << 24))
        return 0;
    out[0] = text[0];
    out[middle] = text[middle];
    out[end] = text[end];
    return len;
}

/* The escape of one byte into `escape` (six at most); returns its length. */
static size_t escape_byte(char escape[6], unsigned char byte)
{
    static const char letters[32] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    char letter = byte < 0x20 ? letters[byte] : (byte == '"' || byte == '\\') ? (char)byte : 0;
    escape[0] = '\\';
    if (letter != 0) {
        escape[1] = letter;
        return 2;
    }
    memcpy(escape + 1, "u00", 3);
    escape[4] = hex_digits[byte >> 4];
    escape[5] = hex_digits[byte & 15];
    return 6;
}

/* One character: *put bytes at `piece` are to be written for the returned number of input bytes. */
static size_t json_char(char piece[6], size_t *put, const char *text, size_t left, bool *is_byte)
{
    const unsigned char *at = (const unsigned char *)text;
    *is_byte = false;
    if (at[0] >= 0x20 && at[0] < 0x7f && at[0] != '"' && at[0] != '\\') {
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

char *fmt_json_text(char *out, const char *end, struct span text, bool *cut, bool *bytes)
{
    const char *next = text.ptr;
    size_t left = text.len;
    while (left > 0) {
        size_t room = (size_t)(end - out);
        size_t fit = left < room ? left : room;
        size_t plain = fit >= 8 ? copy_plain(out, next, fit) : copy_plain_short(out, next, fit);
        out += plain;
        next += plain;
        left -= plain;
        if (left == 0)
            break;

        char piece[6];
        size_t put;
        bool is_byte;
        size_t took = json_char(piece, &put, next, left, &is_byte);
        if ((size_t)(end - out) < put) {
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
