/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_ip.c - addresses, networks and their text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base_ip.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void format(char text[IP_TEXT_MAX + 1], const struct ip *ip)
{
    text[ip_format(text, ip)] = '\0';
}

static void test_parse_and_format(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* NULL: refused */
    } rows[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::FFFF:c000:0201", "192.0.2.1"},
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"2001:DB8::1", "2001:db8::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"},
        {"0:0:3:4:5:6:7:8", "::3:4:5:6:7:8"},
        {"::1.2.3.4", "::102:304"},
        {"fe80:0000:0000:0000:0202:b3ff:fe1e:8329", "fe80::202:b3ff:fe1e:8329"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"", NULL},
        {"1.2.3", NULL},
        {"1.2.3.4.5", NULL},
        {"01.2.3.4", NULL},
        {"1.2.3.04", NULL},
        {"256.1.1.1", NULL},
        {"0x7f.1.1.1", NULL},
        {"2130706433", NULL},
        {" 1.2.3.4", NULL},
        {"1.2.3.4 ", NULL},
        {"1.2.3.4:80", NULL},
        {"[::1]", NULL},
        {"fe80::1%eth0", NULL},
        {"1::2::3", NULL},
        {":::", NULL},
        {"12345::", NULL},
        {"1:2:3:4:5:6:7:8:9", NULL},
        {"1:2:3:4:5:6:7", NULL},
        {"g::1", NULL},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555", NULL},
        {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ip ip;
        char text[IP_TEXT_MAX + 1];
        bool ok = ip_parse(&ip, span_of(rows[i].text));
        if (ok != (rows[i].want != NULL))
            fail_msg("\"%s\" gave %d", rows[i].text, ok);
        if (!ok)
            continue;
        format(text, &ip);
        assert_string_equal(text, rows[i].want);
    }
    struct ip ip;
    assert_false(ip_parse(&ip, SPAN_NONE));
    assert_false(ip_parse(&ip, SPAN("1.2.3.4\0")));
    assert_false(ip_parse(&ip, SPAN("1.2\0.3.4")));
}

static void test_format_agrees_with_parse(void **state)
{
    (void)state;
    /* Every pattern of zero and non-zero groups, read back. */
    for (unsigned pattern = 0; pattern < 256; pattern++) {
        struct ip ip = {{0}}, back;
        char text[IP_TEXT_MAX];
        for (unsigned i = 0; i < 8; i++)
            ip.bytes[2 * i + 1] = (uint8_t)(pattern >> i & 1);
        size_t len = ip_format(text, &ip);
        assert_true(ip_parse(&back, (struct span){text, len}));
        assert_memory_equal(&back, &ip, sizeof(ip));
    }
}

static void test_nets(void **state)
{
    (void)state;
    static const struct {
        const char *net, *in, *out;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", "11.0.0.0"},
        {"10.0.0.0/8", "::ffff:10.1.1.1", "::a01:101"},
        {"192.0.2.7", "192.0.2.7", "192.0.2.6"},
        {"192.0.2.128/25", "192.0.2.255", "192.0.2.127"},
        {"192.0.2.4/31", "192.0.2.5", "192.0.2.6"},
        {"0.0.0.0/0", "203.0.113.9", "::1"},
        {"2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"},
        {"2001:db8::8000:0:0:0/65", "2001:db8::ffff:0:0:1", "2001:db8::7fff:0:0:1"},
        {"::1", "::1", "::"},
        {"::/0", "2001:db8::1", "192.0.2.1"},
        {"::ffff:10.0.0.0/104", "10.9.9.9", "11.9.9.9"},
        {"::ffff:0:0/96", "10.9.9.9", "2001:db8::1"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ip_net net;
        struct ip in, out;
        assert_true(ip_net_parse(&net, span_of(rows[i].net)));
        assert_true(ip_parse(&in, span_of(rows[i].in)));
        assert_true(ip_parse(&out, span_of(rows[i].out)));
        assert_true(ip_net_has(&net, &in));
        assert_false(ip_net_has(&net, &out));
    }
}

static void test_nets_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/08",
        "10.0.0.0/-1",
        "10.0.0.0/ 8",
        "10.0.0.0/8/",
        "/8",
        "2001:db8::/129",
        "2001:db8::1/64",
        "",
        "localhost",
        "10.0.0.0/1000",
        "10.0.0.0/99999999999999999999",
        "::ffff:10.0.0.1/104",
        "::/0x0",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct ip_net net;
        if (ip_net_parse(&net, span_of(texts[i])))
            fail_msg("\"%s\" was taken", texts[i]);
    }
}

static void test_mask(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned v4_bits, v6_bits;
        const char *want;
    } rows[] = {
        {"203.0.113.77", 32, 64, "203.0.113.77"},
        {"203.0.113.77", 24, 64, "203.0.113.0"},
        {"203.0.113.77", 0, 64, "0.0.0.0"},
        {"203.0.113.77", 31, 0, "203.0.113.76"},
        {"2001:db8:1:2:3:4:5:6", 32, 64, "2001:db8:1:2::"},
        {"2001:db8:1:2:3:4:5:6", 32, 128, "2001:db8:1:2:3:4:5:6"},
        {"2001:db8:1:2:3:4:5:6", 32, 0, "::"},
        {"2001:db8:1:ffff::", 32, 49, "2001:db8:1:8000::"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ip ip;
        char text[IP_TEXT_MAX + 1];
        assert_true(ip_parse(&ip, span_of(rows[i].text)));
        ip = ip_mask(&ip, rows[i].v4_bits, rows[i].v6_bits);
        format(text, &ip);
        assert_string_equal(text, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_format),
        cmocka_unit_test(test_format_agrees_with_parse),
        cmocka_unit_test(test_nets),
        cmocka_unit_test(test_nets_refused),
        cmocka_unit_test(test_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
