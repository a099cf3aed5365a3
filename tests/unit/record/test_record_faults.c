/* SPDX-License-Identifier: Apache-2.0 */
/* test_record_faults.c - what is kept of a message that was refused: which bytes, and which of them are masked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "record/record_faults.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const char ID[] = "0123456789abcdef0123456789abcdef";

/* The window as it is kept. */
static const struct {
    const char *message;
    uint32_t offset;
    const char *window;
} CASES[] = {
    {"GET /a\001b HTTP/1.1\r\n\r\n", 6, "GET /a\001b HTTP/1.1\r\n\r\n"},
    {"GET /a?t=s3cret x HTTP/1.1\r\n", 15, "GET /a?******** * HTTP/1.1\r\n"},
    {"GET /a?t=s3cret x\r\n", 15, "GET /a?******** *\r\n"},
    {"GET http://me:pw@h/ HTTP/1.1\r\n", 13, "GET *********:**@h/ HTTP/1.1\r\n"},
    {"HTTP/1.1 2000 OK\r\n", 12, "HTTP/1.1 2000 OK\r\n"},
    {"password=hunter2\r\n", 8, "********=*******\r\n"},
    {"G / HTTP/1.1\r\nHost: u:p@h\r\n", 24, "G / HTTP/1.1\r\nHost: ***@h\r\n"},
    {"G / HTTP/1.1\r\nCookie: a=b;c\r\n", 22, "G / HTTP/1.1\r\nCookie: *****\r\n"},
    {"G / HTTP/1.1\r\nCookie: a=b;c\r\n", 23, "G / HTTP/1.1\r\nCookie: *=***\r\n"},
    {"G / HTTP/1.1\r\nHost: h\rCookie: ab\r\n", 21, "G / HTTP/1.1\r\nHost: h\rCookie: **\r\n"},
    {"G / HTTP/1.1\r\nX: a\r\n tail\r\n", 20, "G / HTTP/1.1\r\nX: *\r\n ****\r\n"},
    {"G / HTTP/1.1\r\nContent-Length: 1,2\r\n", 31, "G / HTTP/1.1\r\nContent-Length: 1,2\r\n" + 7},
    {"G / HTTP/1.1\r\nsecret\r\n", 14, "G / HTTP/1.1\r\n******\r\n"},
};

static void test_windows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(CASES); i++) {
        struct record_faults faults = {0};
        const struct http_fault fault = {HTTP_FAULT_BAD_FIELD_NAME, CASES[i].offset};
        record_faults_add(&faults, 5, false, &fault, SPAN("10.0.0.1"), ID,
                          (struct span){CASES[i].message, strlen(CASES[i].message)});
        const struct record_faults_row *row = &faults.rows[0];
        assert_int_equal(row->len, strlen(CASES[i].window));
        assert_memory_equal(row->bytes, CASES[i].window, row->len);
    }
}

/* Wherever the fault is said to be, no letter of a credential is kept. */
static void test_no_secret_anywhere(void **state)
{
    (void)state;
    static const char message[] =
        "POST /p?key=QQQQQQQQ HTTP/1.1\r\nHost: h\r\nAuthorization: Basic "
        "QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ\r\n"
        "\tQQQQ\r\nX-Auth-Token : QQQQQQQQ\r\nCookie: QQ=QQ\rQQ: QQ\r\n\r\n";
    for (uint32_t offset = 0; offset <= sizeof(message); offset++) {
        struct record_faults faults = {0};
        const struct http_fault fault = {HTTP_FAULT_BAD_FIELD_NAME, offset};
        record_faults_add(&faults, 5, false, &fault, SPAN("x"), ID, SPAN(message));
        const struct record_faults_row *row = &faults.rows[0];
        assert_true(row->len > 0 && row->len <= RECORD_FAULTS_WINDOW);
        assert_true(row->from <= offset);
        for (unsigned i = 0; i < row->len; i++) {
            bool is_name = row->from + i >= strlen(message) - 10; /* "QQ" is a field's name there */
            if (!is_name)
                assert_int_not_equal(row->bytes[i], 'Q');
        }
    }
}

static void test_bounds(void **state)
{
    (void)state;
    static struct record_faults faults;
    const struct http_fault fault = {HTTP_FAULT_BAD_FIELD_NAME, 7};
    unsigned kept = 0;
    for (unsigned i = 0; i < 1000; i++)
        kept += record_faults_may(&faults, 3000000 + i);
    assert_int_equal(kept, RECORD_FAULTS_PER_S);
    assert_int_equal(faults.skipped, 1000 - RECORD_FAULTS_PER_S);
    assert_true(record_faults_may(&faults, 4000000));
    for (unsigned i = 0; i < RECORD_FAULTS + 3; i++)
        record_faults_add(&faults, i, true, &fault, SPAN("server"), ID, SPAN_NONE);
    assert_int_equal(faults.count, RECORD_FAULTS + 3);
    assert_int_equal(faults.rows[0].wall_us, RECORD_FAULTS);
    assert_int_equal(faults.rows[3].wall_us, 3);
    assert_int_equal(faults.rows[0].len, 0);
    assert_true(faults.rows[0].is_response);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_no_secret_anywhere),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
