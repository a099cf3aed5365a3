/* SPDX-License-Identifier: Apache-2.0 */
/* test_reply_error.c - statuses and bodies of what Sluice says itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reply/reply.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define ID           "4f1c0a2b9d8e7f60112233445566778a"

static void test_statuses(void **state)
{
    (void)state;
    static const struct {
        enum reply_error_id id;
        unsigned status;
    } rows[] = {
        {REPLY_ERROR_NO_ROUTE, 404},          {REPLY_ERROR_THROTTLED, 429},
        {REPLY_ERROR_BAD_REQUEST, 400},       {REPLY_ERROR_BODY_TOO_LARGE, 413},
        {REPLY_ERROR_URI_TOO_LARGE, 414},     {REPLY_ERROR_HEADERS_TOO_LARGE, 431},
        {REPLY_ERROR_IDENTITY_REQUIRED, 401}, {REPLY_ERROR_ADDRESS_DENIED, 403},
        {REPLY_ERROR_UPSTREAM_FAILED, 502},   {REPLY_ERROR_NO_SERVER, 502},
        {REPLY_ERROR_UPSTREAM_TIMEOUT, 504},  {REPLY_ERROR_CLIENT_TIMEOUT, 408},
        {REPLY_ERROR_STORE_AWAY, 503},        {REPLY_ERROR_OVERLOADED, 503},
        {REPLY_ERROR_DRAINING, 503},          {REPLY_ERROR_INTERNAL, 500},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(reply_error_status(rows[i].id), rows[i].status);
}

static void test_bodies(void **state)
{
    (void)state;
    static const struct reply_body_dialect iva = {{"IVA", 3}}, odd = {{"A\"\n", 3}};
    static const struct {
        const struct reply_body_dialect *dialect;
        struct reply_error error;
        const char *want;
    } rows[] = {
        {&REPLY_APIG,
         {REPLY_ERROR_NO_ROUTE, {NULL, 0}, {ID, 32}},
         "{\"error_code\":\"APIG.0101\",\"error_msg\":\"The API does not exist or has not been "
         "published in the environment.\",\"request_id\":\"" ID "\"}"},
        {&iva,
         {REPLY_ERROR_THROTTLED, {"policy x", 8}, {ID, 32}},
         "{\"error_code\":\"IVA.0308\",\"error_msg\":\"policy x\",\"request_id\":\"" ID "\"}"},
        {&REPLY_APIG,
         {REPLY_ERROR_INTERNAL, {NULL, 0}, {NULL, 0}},
         "{\"error_code\":\"APIG.0601\",\"error_msg\":\"Internal server error.\"}"},
        {&odd,
         {REPLY_ERROR_THROTTLED, {"a\"b\\\x01\xff", 6}, {"\"", 1}},
         "{\"error_code\":\"A\\\"\\n.0308\",\"error_msg\":\"a\\\"b\\\\\\u0001\\u00ff\","
         "\"request_id\":\"\\\"\"}"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[REPLY_BODY_MAX + 1];
        *reply_error_body(text, rows[i].dialect, &rows[i].error) = '\0';
        assert_string_equal(text, rows[i].want);
    }
}

static void test_every_row_has_a_body(void **state)
{
    (void)state;
    for (unsigned id = 0; id < REPLY_ERRORS; id++) {
        char text[REPLY_BODY_MAX + 1];
        const struct reply_error error = {.id = id, .request_id = {ID, 32}};
        *reply_error_body(text, &REPLY_APIG, &error) = '\0';
        assert_memory_equal(text, "{\"error_code\":\"APIG.0", 20);
        assert_non_null(strstr(text, ".\",\"request_id\":\"" ID "\"}"));
        assert_in_range(reply_error_status(id), 400, 599);
    }
}

static void test_long_texts_are_cut(void **state)
{
    (void)state;
    char long_text[4000];
    memset(long_text, 1, sizeof(long_text)); /* six bytes each */
    const struct span all = {long_text, sizeof(long_text)};
    const struct reply_body_dialect dialect = {all};
    const struct reply_error error = {REPLY_ERROR_THROTTLED, all, all};
    char *text = malloc(REPLY_BODY_MAX);
    char *end = reply_error_body(text, &dialect, &error);
    assert_in_range(end - text, 900, REPLY_BODY_MAX);
    assert_memory_equal(end - 8, "\\u0001\"}", 8);
    free(text);
}

static void test_a_throttle_message_fits_a_body(void **state)
{
    (void)state;
    char message[REPLY_MESSAGE_MAX], text[REPLY_BODY_MAX + 1];
    memset(message, '"', sizeof(message)); /* the worst that a quota's name brings in practice */
    const struct reply_error error = {REPLY_ERROR_THROTTLED, {message, sizeof(message)}, {ID, 32}};
    *reply_error_body(text, &REPLY_APIG, &error) = '\0';
    unsigned escapes = 0;
    for (const char *at = text; (at = strstr(at, "\\\"")) != NULL; at += 2)
        escapes++;
    assert_int_equal(escapes, REPLY_MESSAGE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_every_row_has_a_body),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_a_throttle_message_fits_a_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
