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
    size_t len = proxy.has_address ? ip_format(text, &proxy.ends.source) : 0;
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

/* ---- writing ---- */

struct written {
    enum net_proxy_version version;
    const char *source, *destination; /* NULL: nobody is named */
    uint16_t source_port, destination_port;
    const char *bytes;
    size_t len;
};

static const struct written WRITTEN[] = {
    {NET_PROXY_V1, NULL, NULL, 0, 0, BYTES("PROXY UNKNOWN\r\n")},
    {NET_PROXY_V2, NULL, NULL, 0, 0, BYTES(V2 "\x20\x00\x00\x00")},
    {NET_PROXY_V1, "192.0.2.1", "198.51.100.2", 1234, 443,
     BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1234 443\r\n")},
    {NET_PROXY_V2, "192.0.2.1", "198.51.100.2", 1234, 443, BYTES(V2 "\x21\x11\x00\x0c" V4_PAIR)},
    {NET_PROXY_V1, "192.0.2.1", "0.0.0.0", 0, 0, BYTES("PROXY TCP4 192.0.2.1 0.0.0.0 0 0\r\n")},
    {NET_PROXY_V1, "2001:db8::7", "2001:db8::7", 1, 65535,
     BYTES("PROXY TCP6 2001:db8::7 2001:db8::7 1 65535\r\n")},
    {NET_PROXY_V2, "2001:db8::7", "2001:db8::7", 1, 2,
     BYTES(V2 "\x21\x21\x00\x24" V6_ADDRESS V6_ADDRESS "\x00\x01\x00\x02")},
    {NET_PROXY_V1, "::ffff:192.0.2.1", "198.51.100.2", 1, 2,
     BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n")},
    {NET_PROXY_V1, "192.0.2.1", "2001:db8::7", 1, 2,
     BYTES("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::7 1 2\r\n")},
    {NET_PROXY_V1, "2001:db8::7", "192.0.2.1", 1, 2,
     BYTES("PROXY TCP6 2001:db8::7 ::ffff:192.0.2.1 1 2\r\n")},
    {NET_PROXY_V2, "192.0.2.1", "2001:db8::7", 1, 2,
     BYTES(V2 "\x21\x21\x00\x24"
              "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01" V6_ADDRESS "\x00\x01\x00\x02")},
    {NET_PROXY_V1, "fff1:fff2:fff3:fff4:fff5:fff6:fff7:fff8",
     "fff1:fff2:fff3:fff4:fff5:fff6:fff7:fff9", 65534, 65535,
     BYTES("PROXY TCP6 fff1:fff2:fff3:fff4:fff5:fff6:fff7:fff8 "
           "fff1:fff2:fff3:fff4:fff5:fff6:fff7:fff9 65534 65535\r\n")},
};

static void test_what_is_written_is_exact_and_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(WRITTEN) / sizeof(WRITTEN[0]); i++) {
        const struct written *row = &WRITTEN[i];
        struct net_proxy_ends ends = {.source_port = row->source_port,
                                      .destination_port = row->destination_port};
        struct net_proxy proxy;
        char *out = malloc(NET_PROXY_WRITTEN_MAX); /* so that a sanitizer sees more than that */
        assert_non_null(out);
        print_message("row %zu\n", i);
        if (row->source != NULL) {
            assert_true(ip_parse(&ends.source, span_of(row->source)));
            assert_true(ip_parse(&ends.destination, span_of(row->destination)));
        }
        char *end = net_proxy_write(out, row->version, row->source == NULL ? NULL : &ends);
        assert_int_equal(end - out, row->len);
        assert_memory_equal(out, row->bytes, row->len);
        assert_int_equal(net_proxy_parse(&proxy, (struct span){out, row->len}), NET_PROXY_DONE);
        assert_int_equal(proxy.len, row->len);
        assert_int_equal(proxy.has_address, row->source != NULL);
        if (row->source != NULL)
            assert_memory_equal(&proxy.ends, &ends, sizeof(ends));
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_a_checksum_that_fits),
        cmocka_unit_test(test_a_line_of_107_bytes_is_the_longest),
        cmocka_unit_test(test_what_is_written_is_exact_and_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
