/* SPDX-License-Identifier: Apache-2.0 */
/* Max-Forwards counts for OPTIONS and TRACE alone and is one plain number there; of TE only "trailers"
 * matters. */
#include "http/http_helpers.h"
#include "http/http_hops.h"

struct row {
    const char *method, *fields;
    bool is_good, has_max_forwards;
    uint32_t max_forwards;
    bool takes_trailers;
};

static const struct row ROWS[] = {
    {"OPTIONS", "", true, false, 0, false},
    {"OPTIONS", "Max-Forwards: 0\r\n", true, true, 0, false},
    {"OPTIONS", "max-forwards:1\r\n", true, true, 1, false},
    {"TRACE", "Max-Forwards: 10 \r\n", true, true, 10, false},
    {"OPTIONS", "Max-Forwards: 999999999\r\n", true, true, 999999999, false},
    {"OPTIONS", "Max-Forwards: 007\r\n", true, true, 7, false},
    {"OPTIONS", "Max-Forwards: 1000000000\r\n", false, false, 0, false},
    {"OPTIONS", "Max-Forwards: 4294967296\r\n", false, false, 0, false},
    {"OPTIONS", "Max-Forwards: 18446744073709551616\r\n", false, false, 0, false},
    {"OPTIONS", "Max-Forwards:\r\n", false, false, 0, false},
    {"OPTIONS", "Max-Forwards: -1\r\n", false, false, 0, false},
    {"OPTIONS", "Max-Forwards: +1\r\n", false, false, 0, false},
    {"TRACE", "Max-Forwards: 0x1\r\n", false, false, 0, false},
    {"TRACE", "Max-Forwards: 1, 1\r\n", false, false, 0, false},
    {"TRACE", "Max-Forwards: 1 1\r\n", false, false, 0, false},
    {"TRACE", "Max-Forwards: 1.0\r\n", false, false, 0, false},
    {"TRACE", "Max-Forwards:\t1\r\n", false, false, 0, false},
    {"TRACE", "Max-Forwards: 1\r\nMax-Forwards: 1\r\n", false, false, 0, false},
    {"GET", "Max-Forwards: 0\r\n", true, false, 0, false},
    {"GET", "Max-Forwards: x\r\nMax-Forwards: y\r\n", true, false, 0, false},
    {"POST", "Max-Forwards: 0\r\n", true, false, 0, false},
    {"options", "Max-Forwards: x\r\n", true, false, 0, false},
    {"GET", "TE: trailers\r\n", true, false, 0, true},
    {"GET", "te: TRAILERS\r\n", true, false, 0, true},
    {"GET", "TE: gzip;q=0.5, trailers\r\n", true, false, 0, true},
    {"GET", "TE: gzip\r\nTE: ,trailers ,\r\n", true, false, 0, true},
    {"OPTIONS", "TE: trailers\r\nMax-Forwards: 3\r\n", true, true, 3, true},
    {"GET", "TE:\r\n", true, false, 0, false},
    {"GET", "TE: gzip, deflate;q=0.5\r\n", true, false, 0, false},
    {"GET", "TE: trailers;q=0\r\n", true, false, 0, false},
    {"GET", "TE: xtrailers, trailersx, trailer\r\n", true, false, 0, false},
    {"GET", "Trailer: trailers\r\n", true, false, 0, false},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        const struct row *row = &ROWS[i];
        char text[256];
        snprintf(text, sizeof(text), "%s / HTTP/1.1\r\n%s\r\n", row->method, row->fields);
        struct test_head t;
        test_request(&t, text);
        struct http_hops hops;
        struct http_fault fault = {HTTP_FAULT_NONE, 0};
        bool is_good = http_hops_read(&t.head, &hops, &fault) == HTTP_PARSE_OK;
        if (is_good != row->is_good)
            fail_msg("%s", text);
        assert_int_equal(fault.id, is_good ? HTTP_FAULT_NONE : HTTP_FAULT_BAD_MAX_FORWARDS);
        if (!is_good)
            continue;
        assert_int_equal(hops.has_max_forwards, row->has_max_forwards);
        assert_int_equal(hops.max_forwards, row->max_forwards);
        assert_int_equal(hops.takes_trailers, row->takes_trailers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
