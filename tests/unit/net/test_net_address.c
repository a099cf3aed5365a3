/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_address.c - what is an address, what is a name, what is neither. */
#include "net/net_address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

struct row {
    const char *text;
    const char *formatted; /* NULL: refused; "name": a host name */
};

static const struct row ROWS[] = {
    {"127.0.0.1:80", "127.0.0.1:80"},
    {"0.0.0.0:65535", "0.0.0.0:65535"},
    {"[::1]:8443", "[::1]:8443"},
    {"[2001:DB8::0:1]:1", "[2001:db8::1]:1"},
    {"unix:/run/sluice/http.sock", "unix:/run/sluice/http.sock"},
    {"unix:relative.sock", "unix:relative.sock"},
    {"localhost:80", "name"},
    {"backend-2.internal:9000", "name"},
    {"my_service:9000", "name"},
    {"", NULL},
    {":80", NULL},
    {"127.0.0.1", NULL},
    {"127.0.0.1:", NULL},
    {"127.0.0.1:0", NULL},
    {"127.0.0.1:65536", NULL},
    {"127.0.0.1:+80", NULL},
    {"127.0.0.1: 80", NULL},
    {"::1:80", NULL},
    {"[::1]", NULL},
    {"[127.0.0.1]:80", NULL},
    {"[name]:80", NULL},
    {"-name:80", NULL},
    {".name:80", NULL},
    {"na me:80", NULL},
    {"name/:80", NULL},
    {"unix:", NULL},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(*ROWS); i++) {
        const struct row *row = &ROWS[i];
        struct net_address address;
        struct span host;
        char text[NET_ADDRESS_TEXT_MAX + 1];
        const char *fault = net_address_parse(&address, span_of(row->text), &host);
        if (row->formatted == NULL) {
            if (fault == NULL)
                fail_msg("accepted: %s", row->text);
            continue;
        }
        if (fault != NULL)
            fail_msg("%s: %s", row->text, fault);
        if (strcmp(row->formatted, "name") == 0) {
            assert_int_equal(address.len, 0);
            assert_true(host.len != 0);
            assert_non_null(net_address_parse(&address, span_of(row->text), NULL));
            continue;
        }
        text[net_address_format(text, &address)] = 0;
        assert_string_equal(text, row->formatted);
    }
}

static void test_a_unix_path_that_does_not_fit_is_refused(void **state)
{
    char text[160] = "unix:/";
    struct net_address address;
    (void)state;
    memset(text + 6, 'a', 110);
    assert_non_null(net_address_parse(&address, span_of(text), NULL));
    text[5 + 107] = 0;
    assert_null(net_address_parse(&address, span_of(text), NULL));
}

static void test_equal_addresses(void **state)
{
    struct net_address a, b;
    (void)state;
    assert_null(net_address_parse(&a, SPAN("127.0.0.1:80"), NULL));
    assert_null(net_address_parse(&b, SPAN("127.0.0.1:80"), NULL));
    assert_true(net_address_eq(&a, &b));
    assert_null(net_address_parse(&b, SPAN("127.0.0.1:81"), NULL));
    assert_false(net_address_eq(&a, &b));
    struct ip ip = net_address_ip(&a);
    assert_true(ip_is_v4(&ip));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_a_unix_path_that_does_not_fit_is_refused),
        cmocka_unit_test(test_equal_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
