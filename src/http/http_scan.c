/* SPDX-License-Identifier: Apache-2.0 */
/* http_scan.c - the sets of bytes, and the scans byte by byte: for machines without SSE2, for the
 * tail of a short buffer, and as the other side of the comparison in the tests. */
#include "http/http_scan.h"

#define T HTTP_BYTE_TOKEN
#define P HTTP_BYTE_PLAIN
#define V HTTP_BYTE_VALUE
#define G HTTP_BYTE_TARGET
#define H HTTP_BYTE_HOST
#define R HTTP_BYTE_PATH

const uint8_t HTTP_BYTES[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | V | G | R,
    ['"'] = V,
    ['#'] = T | V,
    ['$'] = T | V | G | R,
    ['%'] = T | V | G, /* in a path: only as the beginning of an escape */
    ['&'] = T | V | G | R,
    ['\''] = T | V | G | R,
    ['('] = V | G | R,
    [')'] = V | G | R,
    ['*'] = T | V | G | R,
    ['+'] = T | V | G | R,
    [','] = V | G | R,
    ['-'] = T | P | V | G | H | R,
    ['.'] = T | V | G | H | R,
    ['/'] = V | G,
    ['0' ... '9'] = T | P | V | G | H | R,
    [':'] = V | G | R,
    [';'] = V | G,
    ['<'] = V,
    ['='] = V | G | R,
    ['>'] = V,
    ['?'] = V | G,
    ['@'] = V | G | R,
    ['A' ... 'Z'] = T | P | V | G | H | R,
    ['['] = V | G | R,
    ['\\'] = V | G,
    [']'] = V | G | R,
    ['^'] = T | V | G | R,
    ['_'] = T | V | G | H | R,
    ['`'] = T | V | G | R,
    ['a' ... 'z'] = T | P | V | G | H | R,
    ['{'] = V | G | R,
    ['|'] = T | V | G | R,
    ['}'] = V | G | R,
    ['~'] = T | V | G | R,
    [0x80 ... 0xff] = V, /* obs-text, RFC 9110 section 5.5 */
};

size_t http_scan_token_portable(const char *buf, size_t off, size_t len, bool *odd)
{
    while (off < len && http_byte_is(buf[off], HTTP_BYTE_TOKEN)) {
        if (!http_byte_is(buf[off], HTTP_BYTE_PLAIN))
            *odd = true;
        off++;
    }
    return off;
}

size_t http_scan_plain_portable(const char *buf, size_t off, size_t len)
{
    return http_scan_set(buf, off, len, HTTP_BYTE_PLAIN);
}

size_t http_scan_value_portable(const char *buf, size_t off, size_t len)
{
    return http_scan_set(buf, off, len, HTTP_BYTE_VALUE);
}

size_t http_scan_target_portable(const char *buf, size_t off, size_t len)
{
    return http_scan_set(buf, off, len, HTTP_BYTE_TARGET);
}
