/* SPDX-License-Identifier: Apache-2.0 */
/* base_parse.c - takes: text.  Gives: the number in it, or false.  Never: guesses, rounds or
 * overflows. */
#include "base/base_parse.h"

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
