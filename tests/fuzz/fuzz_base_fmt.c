/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_base_fmt.c - text written by hand, read back.  Input: an 8-byte number, the room, then the text.  Checked: JSON
 * escapes give the bytes again, whole or a beginning of them, never more than the room, never half a
 * character; numbers, times, hex and base64url are what the C library makes of them. */
#include <time.h>

#include "base/base_fmt_json.h"
#include "base/base_ip.h"
#include "base/base_parse.h"
#include "cursor.h"
#include "json_text.h"

#include <arpa/inet.h>

#define LAST_S UINT64_C(253402300799) /* the end of year 9999 */

/* The escaped text is a beginning of the text, all of it unless `cut`. */
static void check_json(const char *out, const char *end, struct span text, bool cut, bool bytes)
{
    char *back = calloc(1, (size_t)(end - out) + 1);
    FUZZ_CHECK(back != NULL);
    bool has_bytes = false;
    size_t len = json_text_read(out, end, back, &has_bytes);
    FUZZ_CHECK(len <= text.len && (len == 0 || memcmp(back, text.ptr, len) == 0));
    FUZZ_CHECK(cut == (len < text.len) && bytes == has_bytes);
    free(back);
}

static void check_json_text(struct span text, size_t room)
{
    char *out = calloc(1, room + 1), *copy = fuzz_copy(text.ptr, text.len);
    struct span exact = {copy, text.len};
    bool cut = false, bytes = false;
    FUZZ_CHECK(out != NULL);
    char *end = fmt_json_text(out, out + room, exact, &cut, &bytes);
    FUZZ_CHECK((size_t)(end - out) <= room);
    check_json(out, end, exact, cut, bytes);
    free(out);

    /* A value has room for its quote behind the end, and never takes more than its own maximum. */
    const size_t max = 16 + room % 300;
    out = calloc(1, (room < max ? room : max) + 1);
    FUZZ_CHECK(out != NULL);
    struct fmt_json json = {.end = out + room};
    if (text.len <= 16 && room < 16) { /* the short way writes only when sixteen fit */
        free(out);
        out = calloc(1, 17);
        FUZZ_CHECK(out != NULL);
        json.end = out + room;
    }
    end = fmt_json_value(&json, out, exact, max);
    FUZZ_CHECK((size_t)(end - out) <= (room < max ? room : max) + 1 && end[-1] == '"');
    check_json(out, end - 1, exact, json.cut, json.bytes);
    free(out);
    free(copy);
}

static void check_same(const char *begin, const char *end, const char *expected)
{
    FUZZ_CHECK((size_t)(end - begin) == strlen(expected));
    FUZZ_CHECK(memcmp(begin, expected, strlen(expected)) == 0);
}

static void check_numbers(uint64_t value)
{
    char out[64], expected[64];
    uint64_t back;
    snprintf(expected, sizeof(expected), "%llu", (unsigned long long)value);
    check_same(out, fmt_u64(out, value), expected);
    FUZZ_CHECK(parse_u64(span_of(expected), &back) && back == value);

    time_t second = (time_t)(value > LAST_S ? LAST_S : value);
    struct tm tm;
    FUZZ_CHECK(gmtime_r(&second, &tm) != NULL);
    FUZZ_CHECK(strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm) != 0);
    check_same(out, fmt_http_date(out, value), expected);

    second = (time_t)(value / 1000000 > LAST_S ? LAST_S : value / 1000000);
    FUZZ_CHECK(gmtime_r(&second, &tm) != NULL);
    size_t len = strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &tm);
    char *end = fmt_rfc3339_ms(out, value);
    FUZZ_CHECK((size_t)(end - out) == len + 5 && memcmp(out, expected, len) == 0);
    if (value / 1000000 <= LAST_S) {
        snprintf(expected, sizeof(expected), ".%03uZ", (unsigned)(value / 1000 % 1000));
        check_same(out + len, end, expected);
    }
}

static void check_bytes(struct span text)
{
    char *out = malloc(text.len * 2 + 4), *at = out;
    FUZZ_CHECK(out != NULL);
    FUZZ_CHECK(fmt_hex(out, text.ptr, text.len) == out + 2 * text.len);
    for (size_t i = 0; i < text.len; i++, at += 2) {
        char expected[3];
        snprintf(expected, sizeof(expected), "%02x", (unsigned char)text.ptr[i]);
        FUZZ_CHECK(memcmp(at, expected, 2) == 0);
    }

    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t len = (size_t)(fmt_base64url(out, text.ptr, text.len) - out), done = 0;
    FUZZ_CHECK(len == (text.len * 8 + 5) / 6);
    unsigned bits = 0, held = 0;
    for (size_t i = 0; i < len; i++) {
        const char *digit = strchr(digits, out[i]);
        FUZZ_CHECK(out[i] != '\0' && digit != NULL);
        bits = (bits << 6 | (unsigned)(digit - digits)) & 0xffff;
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        FUZZ_CHECK((unsigned char)text.ptr[done++] == (bits >> held & 0xff));
    }
    FUZZ_CHECK(done == text.len && (bits & ((1U << held) - 1)) == 0);

    /* The other base64 has two other digits, and padding. */
    char *padded = malloc(text.len * 2 + 4);
    FUZZ_CHECK(padded != NULL);
    size_t padded_len = (size_t)(fmt_base64(padded, text.ptr, text.len) - padded);
    FUZZ_CHECK(padded_len == (text.len + 2) / 3 * 4 && padded_len >= len);
    for (size_t i = 0; i < padded_len; i++) {
        char digit = i >= len ? '=' : out[i] == '-' ? '+' : out[i] == '_' ? '/' : out[i];
        FUZZ_CHECK(padded[i] == digit);
    }
    free(padded);
    free(out);
}

/* Addresses: what we take inet_pton takes, to the same bytes; what is written reads the same. */
static void check_address(struct span text)
{
    struct ip ip, again;
    char line[64], out[IP_TEXT_MAX];
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};
    if (!ip_parse(&ip, text))
        return;
    FUZZ_CHECK(text.len < sizeof(line));
    memcpy(line, text.ptr, text.len);
    line[text.len] = '\0';
    FUZZ_CHECK(inet_pton(AF_INET, line, bytes + 12) == 1 || inet_pton(AF_INET6, line, bytes) == 1);
    FUZZ_CHECK(memcmp(bytes, ip.bytes, 16) == 0);
    size_t len = ip_format(out, &ip);
    FUZZ_CHECK(len <= sizeof(out) && ip_parse(&again, (struct span){out, len}));
    FUZZ_CHECK(memcmp(&ip, &again, sizeof(ip)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor cursor = {data, size};
    if (size > 4096)
        return 0;
    const uint64_t number = cursor_number(&cursor, 8);
    const size_t room = cursor_number(&cursor, 2) % 2048;
    struct span text = {(const char *)cursor.at, cursor.left};
    check_numbers(number);
    check_numbers(number >> 16);
    check_numbers(number >> 40);
    if (text.len == 0)
        return 0;
    check_json_text(text, room);
    check_json_text(text, text.len);
    check_bytes(text);
    check_address(text);
    return 0;
}
