/* SPDX-License-Identifier: Apache-2.0 */
/* test_admin_relay.c - which requests get through the port of `sluice dashboard`, and what becomes of the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "admin/admin_relay.h"

#define KEY  "000102030405060708090a0b0c0d0e0f"
#define HOST "Host: 127.0.0.1:9182\r\n"

static const uint8_t KEY_BYTES[ADMIN_RELAY_KEY_BYTES] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                         8, 9, 10, 11, 12, 13, 14, 15};

static enum admin_relay_verdict judge(const char *bytes, size_t len, bool *is_head)
{
    struct admin_relay relay;
    size_t scanned = 0;
    admin_relay_init(&relay, KEY_BYTES, 9182);
    return admin_relay_judge(&relay, bytes, len, &scanned, is_head);
}

static void test_requests(void **state)
{
    static const struct {
        const char *target, *fields;
        enum admin_relay_verdict verdict;
    } rows[] = {
        {"/" KEY "/", HOST, ADMIN_RELAY_PAGE},
        {"/" KEY "/v1/live", HOST, ADMIN_RELAY_LIVE},
        {"/" KEY "/", "Host: localhost:9182\r\n", ADMIN_RELAY_PAGE},
        {"/" KEY "/", "HOST: LOCALHOST:9182\r\n", ADMIN_RELAY_PAGE},
        {"/" KEY "/", HOST "Sec-Fetch-Site: none\r\n", ADMIN_RELAY_PAGE},
        {"/" KEY "/", HOST "Sec-Fetch-Site: same-origin\r\n", ADMIN_RELAY_PAGE},
        {"/", HOST, ADMIN_RELAY_NOTHING},
        {"/" KEY, HOST, ADMIN_RELAY_NOTHING},
        {"/" KEY "x", HOST, ADMIN_RELAY_NOTHING},
        {"/" KEY "/dashboard", HOST, ADMIN_RELAY_NOTHING},
        {"/" KEY "/v1/status", HOST, ADMIN_RELAY_NOTHING},
        {"/" KEY "/v1/live/", HOST, ADMIN_RELAY_NOTHING},
        {"/" KEY "/v1/live?a=b", HOST, ADMIN_RELAY_NOTHING},
        {"/" KEY "/V1/LIVE", HOST, ADMIN_RELAY_NOTHING},
        {"/" KEY "//", HOST, ADMIN_RELAY_NOTHING},
        {"//" KEY "/", HOST, ADMIN_RELAY_NOTHING},
        {"/000102030405060708090A0B0C0D0E0F/", HOST, ADMIN_RELAY_NOTHING},
        {"/100102030405060708090a0b0c0d0e0f/", HOST, ADMIN_RELAY_NOTHING},
        {"/000102030405060708090a0b0c0d0e0e/", HOST, ADMIN_RELAY_NOTHING},
        {"/00000000000000000000000000000000/", HOST, ADMIN_RELAY_NOTHING},
        {"/" KEY "/", "", ADMIN_RELAY_MALFORMED},
        {"/" KEY "/", "Host:\r\n", ADMIN_RELAY_MALFORMED},
        {"/" KEY "/", HOST HOST, ADMIN_RELAY_MALFORMED},
        {"/" KEY "/", "Host: 127.0.0.1\r\n", ADMIN_RELAY_OTHER_HOST},
        {"/" KEY "/", "Host: 127.0.0.1:9183\r\n", ADMIN_RELAY_OTHER_HOST},
        {"/" KEY "/", "Host: 127.0.0.1:918\r\n", ADMIN_RELAY_OTHER_HOST},
        {"/" KEY "/", "Host: rebound.test:9182\r\n", ADMIN_RELAY_OTHER_HOST},
        {"/" KEY "/", HOST "Origin: http://127.0.0.1:9182\r\n", ADMIN_RELAY_OF_A_PAGE},
        {"/" KEY "/", HOST "Origin: null\r\n", ADMIN_RELAY_OF_A_PAGE},
        {"/" KEY "/", HOST "Sec-Fetch-Site: cross-site\r\n", ADMIN_RELAY_OF_A_PAGE},
        {"/" KEY "/", HOST "Sec-Fetch-Site: same-site\r\n", ADMIN_RELAY_OF_A_PAGE},
        {"/" KEY "/", HOST "Content-Length: 1\r\n", ADMIN_RELAY_MALFORMED},
        {"/" KEY "/", HOST "Transfer-Encoding: chunked\r\n", ADMIN_RELAY_MALFORMED},
        {"/" KEY "/", HOST "No colon\r\n", ADMIN_RELAY_MALFORMED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char bytes[512];
        bool is_head;
        int len = snprintf(bytes, sizeof(bytes), "GET %s HTTP/1.1\r\n%s\r\n", rows[i].target,
                           rows[i].fields);
        print_message("%s", bytes);
        assert_int_equal(judge(bytes, (size_t)len, &is_head), rows[i].verdict);
        assert_false(is_head);
        for (size_t cut = 0; cut < (size_t)len && rows[i].verdict <= ADMIN_RELAY_LIVE; cut++)
            assert_int_equal(judge(bytes, cut, &is_head), ADMIN_RELAY_MORE);
    }
}

static void test_methods(void **state)
{
    static const struct {
        const char *method;
        enum admin_relay_verdict verdict, of_nothing;
        bool is_head;
    } rows[] = {
        {"GET", ADMIN_RELAY_LIVE, ADMIN_RELAY_NOTHING, false},
        {"HEAD", ADMIN_RELAY_LIVE, ADMIN_RELAY_NOTHING, true},
        {"POST", ADMIN_RELAY_METHOD, ADMIN_RELAY_NOTHING, false},
        {"OPTIONS", ADMIN_RELAY_METHOD, ADMIN_RELAY_NOTHING, false},
        {"get", ADMIN_RELAY_METHOD, ADMIN_RELAY_NOTHING, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char bytes[256];
        bool is_head;
        int len = snprintf(bytes, sizeof(bytes), "%s /" KEY "/v1/live HTTP/1.1\r\n" HOST "\r\n",
                           rows[i].method);
        assert_int_equal(judge(bytes, (size_t)len, &is_head), rows[i].verdict);
        assert_int_equal(is_head, rows[i].is_head);
        len =
            snprintf(bytes, sizeof(bytes), "%s /v1/live HTTP/1.1\r\n" HOST "\r\n", rows[i].method);
        assert_int_equal(judge(bytes, (size_t)len, &is_head), rows[i].of_nothing);
    }
}

static void test_a_head_without_end(void **state)
{
    static char bytes[ADMIN_RELAY_HEAD_MAX];
    bool is_head;
    (void)state;
    memset(bytes, '\r', sizeof(bytes));
    assert_int_equal(judge(bytes, sizeof(bytes), &is_head), ADMIN_RELAY_MALFORMED);
    int len = snprintf(bytes, sizeof(bytes), "GET / HTTP/1.1\r\n");
    for (size_t at = (size_t)len; at + 8 < sizeof(bytes); at += 8)
        memcpy(bytes + at, "Abc: d\r\n", 8);
    assert_int_equal(judge(bytes, sizeof(bytes), &is_head), ADMIN_RELAY_MALFORMED);
}

static void test_answers(void **state)
{
    static const struct {
        enum admin_relay_verdict verdict;
        const char *path;
        unsigned status;
    } rows[] = {
        {ADMIN_RELAY_PAGE, "/dashboard", 200}, {ADMIN_RELAY_LIVE, "/v1/live", 200},
        {ADMIN_RELAY_MALFORMED, NULL, 400},    {ADMIN_RELAY_OF_A_PAGE, NULL, 403},
        {ADMIN_RELAY_OTHER_HOST, NULL, 403},   {ADMIN_RELAY_NOTHING, NULL, 404},
        {ADMIN_RELAY_METHOD, NULL, 405},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].path == NULL)
            assert_null(admin_relay_path(rows[i].verdict));
        else
            assert_string_equal(admin_relay_path(rows[i].verdict), rows[i].path);
        assert_int_equal(admin_relay_status(rows[i].verdict), rows[i].status);
        assert_true(rows[i].path != NULL || strlen(admin_relay_sentence(rows[i].verdict)) > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_a_head_without_end),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
