/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_proxy.c - headers of the PROXY protocol: which are taken, what they say, and that no piece of a good one is
 * refused. */
#include "net/net_proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V2          "\r\n\r\n\0\r\nQUIT\n"
#define V4_PAIR     "\xc0\x00\x02\x01\xc6\x33\x64\x02\x04\xd2\x01\xbb"
#define V6_ADDRESS  "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
#define BYTES(text) text, sizeof(text) - 1

struct row {
    const char *bytes;
    size_t len;
    const char *address; /* NULL: BAD; "": none is told */
    size_t behind;       /* bytes of the row that are no header */
};

static const struct row ROWS[] = {
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1234 443\r\n"), "192.0.2.1", 0},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 0 65535\r\nGET /"), "192.0.2.1", 5},
    {BYTES("PROXY TCP6 2001:db8::7 ::1 1 2\r\n\r\n"), "2001:db8::7", 2},
    {BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), "192.0.2.1", 0},
    {BYTES("PROXY UNKNOWN\r\n"), "", 0},
    {BYTES("PROXY UNKNOWN anything at all of any number of words\r\nx"), "", 1},
    {BYTES("PROXY\r\n"), NULL, 0},
    {BYTES("PROXY \r\n"), NULL, 0},
    {BYTES("PROXY UNKNOWNS\r\n"), NULL, 0},
    {BYTES("PROXY TCP4\r\n"), NULL, 0},
    {BYTES("proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n"), NULL, 0},
    {BYTES("PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n"), NULL, 0},
    {BYTES("PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 2001:db8::7 ::1 1 2\r\n"), NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.1 ::1 1 2\r\n"), NULL, 0},
    {BYTES("PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n"), NULL, 0},
    {BYTES("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"), NULL, 0},
    {BYTES("GET / HTTP/1.1\r\n"), NULL, 0},
    {BYTES("\x16\x03\x01"), NULL, 0},
    {BYTES(V2 "\x21\x11\x00\x0c" V4_PAIR), "192.0.2.1", 0},
    {BYTES(V2 "\x21\x11\x00\x0c" V4_PAIR "GET"), "192.0.2.1", 3},
    {BYTES(V2 "\x21\x21\x00\x24" V6_ADDRESS V6_ADDRESS "\x00\x01\x00\x02"), "2001:db8::7", 0},
    {BYTES(V2 "\x20\x11\x00\x0c" V4_PAIR), "", 0},
    {BYTES(V2 "\x20\x00\x00\x00"), "", 0},
    {BYTES(V2 "\x20\x11\x00\x00"), "", 0},
    {BYTES(V2 "\x20\x77\x00\x03"
              "abc"
              "G"),
     "", 1},
    {BYTES(V2 "\x21\x00\x00\x00"), "", 0},
    {BYTES(V2 "\x21\x11\x00\x13" V4_PAIR "\x04\x00\x04\x00\x00\x00\x00"), "192.0.2.1", 0},
    {BYTES(V2 "\x21\x11\x00\x0f" V4_PAIR "\x04\x00\x00"), "192.0.2.1", 0},
    {BYTES(V2 "\x21\x11\x00\x13" V4_PAIR "\x03\x00\x04\x00\x00\x00\x00"), NULL, 0},
    {BYTES(V2 "\x21\x11\x00\x12" V4_PAIR "\x03\x00\x03\x00\x00\x00"), NULL, 0},
    {BYTES(V2 "\x21\x11\x00\x13" V4_PAIR "\x04\x00\x05\x00\x00\x00\x00"), NULL, 0},
    {BYTES(V2 "\x21\x11\x00\x0e" V4_PAIR "\x04\x00"), NULL, 0},
    {BYTES(V2 "\x21\x11\x00\x0b" V4_PAIR), NULL, 0},
    {BYTES(V2 "\x21\x12\x00\x0c" V4_PAIR), NULL, 0},
    {BYTES(V2 "\x21\x31\x00\x0c" V4_PAIR), NULL, 0},
    {BYTES(V2 "\x22\x11\x00\x0c" V4_PAIR), NULL, 0},
    {BYTES(V2 "\x11\x11\x00\x0c" V4_PAIR), NULL, 0},
    {BYTES(V2 "\x21\x11\x0f\xf1"), NULL, 0}, /* one byte more than is read */
    {BYTES("\r\n\r\n\0\r\nQUIP\n"), NULL, 0},
};

static void row_judge(const struct row *row, size_t *header_len)
{
    struct net_proxy proxy;
    char text[IP_TEXT_MAX] = "";
    enum net_proxy_result result = net_proxy_parse(&proxy, (struct span){row->bytes, row->len});
    if (row->address == NULL) {
        assert_int_equal(result, NET_PROXY_BAD);
        assert_non_null(proxy.why);
        return;
    }
    assert_int_equal(result, NET_PROXY_DONE);
    size_t len = proxy.has_address ? ip_format(text, &proxy.ip) : 0;
    assert_int_equal(len, strlen(row->address));
    assert_memory_equal(text, row->address, len);
    assert_int_equal(proxy.len, row->len - row->behind);
    *header_len = proxy.len;
}

static void test_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        size_t header_len = 0;
        print_message("row %zu\n", i);
        row_judge(&ROWS[i], &header_len);
        for (size_t len = 0; len < header_len; len++) {
            struct net_proxy proxy;
            char *piece = malloc(len + 1); /* so that a sanitizer sees a look behind it */
            assert_non_null(piece);
            memcpy(piece + 1, ROWS[i].bytes, len);
            assert_int_equal(net_proxy_parse(&proxy, (struct span){piece + 1, len}),
                             NET_PROXY_MORE);
            free(piece);
        }
    }
}

/* The checksum is made here in the other order of bits: most significant first, reflected at the end. */
static void test_a_checksum_that_fits(void **state)
{
    static const char BEGIN[] = V2 "\x21\x11\x00\x13" V4_PAIR "\x03\x00\x04";
    char header[sizeof(BEGIN) - 1 + 4];
    uint32_t crc = UINT32_MAX;
    (void)state;
    memcpy(header, BEGIN, sizeof(BEGIN) - 1);
    memset(header + sizeof(BEGIN) - 1, 0, 4);
    for (size_t i = 0; i < sizeof(header); i++) {
        for (unsigned bit = 0; bit < 8;
             bit++) { /* of the polynomial as it is written, not reflected */
            bool high = (crc >> 31 & 1) != ((unsigned char)header[i] >> bit & 1);
            crc = crc << 1 ^ (high ? 0x1edc6f41 : 0);
        }
    }
    for (unsigned bit = 0; bit < 32; bit++) {
        if ((~crc >> (31 - bit) & 1) != 0)
            header[sizeof(BEGIN) - 1 + 3 - bit / 8] =
                (char)(header[sizeof(BEGIN) - 1 + 3 - bit / 8] | 1 << bit % 8);
    }
    struct row row = {header, sizeof(header), "192.0.2.1", 0};
    size_t len;
    row_judge(&row, &len);
    for (size_t i = 16; i < sizeof(header); i++) {
        if (i == sizeof(header) - 7) /* its type: another attribute is not looked at */
            continue;
        header[i] ^= 0x10;
        struct net_proxy proxy;
        assert_int_equal(net_proxy_parse(&proxy, (struct span){header, sizeof(header)}),
                         NET_PROXY_BAD);
        header[i] ^= 0x10;
    }
}

static void test_a_line_of_107_bytes_is_the_longest(void **state)
{
    char line[109];
    struct net_proxy proxy;
    (void)state;
    int len = snprintf(line, sizeof(line), "PROXY UNKNOWN %091d\r\n", 0);
    assert_int_equal(len, 107);
    assert_int_equal(net_proxy_parse(&proxy, (struct span){line, 107}), NET_PROXY_DONE);
    assert_int_equal(net_proxy_parse(&proxy, (struct span){line, 106}), NET_PROXY_MORE);
    len = snprintf(line, sizeof(line), "PROXY UNKNOWN %092d\r\n", 0);
    assert_int_equal(len, 108);
    assert_int_equal(net_proxy_parse(&proxy, (struct span){line, 107}), NET_PROXY_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_a_checksum_that_fits),
        cmocka_unit_test(test_a_line_of_107_bytes_is_the_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
