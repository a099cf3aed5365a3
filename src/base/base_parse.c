/* SPDX-License-Identifier: Apache-2.0 */
/* base_parse.c - takes: text.  Gives: the number in it, or false.  Never: guesses, rounds or
 * overflows. */
#include "base/base_parse.h"

#include "base/base_ascii.h"

struct unit {
    struct span name;
    uint64_t factor;
};

#define UNIT(name, factor)                                                                         \
    {                                                                                              \
        {name, sizeof(name) - 1}, factor                                                           \
    }

static const struct unit duration_units[] = {
    UNIT("us", 1),
    UNIT("ms", 1000),
    UNIT("s", 1000000),
    UNIT("m", UINT64_C(60) * 1000000),
    UNIT("h", UINT64_C(3600) * 1000000),
    UNIT("d", UINT64_C(86400) * 1000000),
};

static const struct unit size_units[] = {
    UNIT("", 1),
    UNIT("B", 1),
    UNIT("KiB", UINT64_C(1) << 10),
    UNIT("MiB", UINT64_C(1) << 20),
    UNIT("GiB", UINT64_C(1) << 30),
};

static size_t count_digits(struct span text)
{
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    return digits;
}

bool parse_u64(struct span text, uint64_t *value)
{
    if (text.len == 0 || count_digits(text) != text.len)
        return false;
    uint64_t sum = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (__builtin_mul_overflow(sum, 10u, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(text.ptr[i] - '0'), &sum))
            return false;
    }
    *value = sum;
    return true;
}

static bool parse_with_unit(struct span text, const struct unit *units, size_t count,
                            uint64_t *value)
{
    size_t digits = count_digits(text);
    uint64_t number;
    if (!parse_u64((struct span){text.ptr, digits}, &number))
        return false;
    struct span name = {text.ptr + digits, text.len - digits};
    for (size_t i = 0; i < count; i++) {
        if (span_eq(name, units[i].name))
            return !__builtin_mul_overflow(number, units[i].factor, value);
    }
    return false;
}

bool parse_duration_us(struct span text, uint64_t *us)
{
    uint64_t value;
    if (!parse_with_unit(text, duration_units, sizeof(duration_units) / sizeof(duration_units[0]),
                         &value))
        return false;
    *us = value;
    return true;
}

bool parse_size_bytes(struct span text, uint64_t *bytes)
{
    uint64_t value;
    if (!parse_with_unit(text, size_units, sizeof(size_units) / sizeof(size_units[0]), &value))
        return false;
    *bytes = value;
    return true;
}

static int base64_digit(char byte, const char *last_two)
{
    if (byte >= 'A' && byte <= 'Z')
        return byte - 'A';
    if (byte >= 'a' && byte <= 'z')
        return byte - 'a' + 26;
    if (byte >= '0' && byte <= '9')
        return byte - '0' + 52;
    return byte == last_two[0] ? 62 : byte == last_two[1] ? 63 : -1;
}

/* Digits alone: whole groups of four, then none, two or three. */
static bool take_base64(struct span digits, const char *last_two, char *out, size_t *len)
{
    uint32_t bits = 0;
    unsigned count = 0; /* of bits not given yet */
    *len = 0;
    if (digits.len % 4 == 1)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        int digit = base64_digit(digits.ptr[i], last_two);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        out[(*len)++] = (char)(bits >> count);
    }
    return (bits & ((1u << count) - 1)) == 0;
}

bool parse_base64(struct span text, char *out, size_t *len)
{
    *len = 0;
    if (text.len % 4 != 0)
        return false;
    for (unsigned i = 0; i < 2 && text.len > 0 && text.ptr[text.len - 1] == '='; i++)
        text.len--;
    return take_base64(text, "+/", out, len);
}

bool parse_base64url(struct span text, char *out, size_t *len)
{
    return take_base64(text, "-_", out, len);
}

static unsigned two_digits(const char *at)
{
    return (unsigned)(at[0] - '0') * 10 + (unsigned)(at[1] - '0');
}

/* Days from 1970-01-01 to a day of the Gregorian calendar (from 1970 on): years begin in March, so that the leap day is
 * the last. */
static uint64_t days_of(unsigned year, unsigned month, unsigned day)
{
    unsigned years = year - (month <= 2);
    unsigned months = month > 2 ? month - 3 : month + 9;
    unsigned leaps = years / 4 - years / 100 + years / 400;
    return (uint64_t)years * 365 + leaps + (months * 153 + 2) / 5 + day - 1 - 719468;
}

/* RFC 3339 section 5.7 says which days a month has. */
static unsigned days_in(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && is_leap);
}

/* What stands behind the second: a fraction, in microseconds, and the zone. */
static bool take_fraction(struct span text, uint64_t *us)
{
    size_t digits = 0;
    uint64_t value = 0;
    if (text.len != 0 && text.ptr[0] == '.') {
        for (; 1 + digits < text.len && ascii_is_digit(text.ptr[1 + digits]); digits++)
            if (digits < 6)
                value = value * 10 + (unsigned)(text.ptr[1 + digits] - '0');
        if (digits == 0 || digits > 9)
            return false;
        text = (struct span){text.ptr + 1 + digits, text.len - 1 - digits};
    }
    for (size_t i = digits; i < 6; i++)
        value *= 10;
    *us = value;
    return span_eq(text, SPAN("Z")) || span_eq(text, SPAN("+00:00"));
}

bool parse_rfc3339_us(struct span text, uint64_t *wall_us)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd";
    const char *at = text.ptr;
    uint64_t us;
    if (text.len < sizeof(shape) - 1)
        return false;
    for (size_t i = 0; i < sizeof(shape) - 1; i++)
        if (shape[i] == 'd' ? !ascii_is_digit(at[i]) : at[i] != shape[i])
            return false;
    unsigned year = two_digits(at) * 100 + two_digits(at + 2);
    unsigned month = two_digits(at + 5), day = two_digits(at + 8);
    unsigned hour = two_digits(at + 11), minute = two_digits(at + 14), second = two_digits(at + 17);
    if (year < 1970 || month - 1 > 11 || hour > 23 || minute > 59 || second > 60)
        return false;
    if (day == 0 || day > days_in(year, month))
        return false;
    struct span rest = {at + sizeof(shape) - 1, text.len - (sizeof(shape) - 1)};
    if (!take_fraction(rest, &us))
        return false;
    uint64_t seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *wall_us = seconds * 1000000 + us;
    return true;
}
