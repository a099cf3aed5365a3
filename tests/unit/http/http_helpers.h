/* SPDX-License-Identifier: Apache-2.0 */
/* http_helpers.h - what the tests of module http share. */
#ifndef SLUICE_TESTS_HTTP_HELPERS_H
#define SLUICE_TESTS_HTTP_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/http_head.h"

#define TEST_FIELDS_MAX 128

static const struct http_head_limits TEST_LIMITS = {
    .line_max_bytes = 32768, .field_max_bytes = 32768, .head_max_bytes = 131072, .field_max = 100};

/* A head with its array of fields. */
struct test_head {
    struct http_head head;
    struct http_field fields[TEST_FIELDS_MAX];
};

static inline void test_head_init(struct test_head *t)
{
    memset(t, 0, sizeof(*t));
    t->head.fields = t->fields;
    t->head.field_max = TEST_FIELDS_MAX;
}

/* A copy of exactly this length, so that a sanitizer sees the first byte read past it. */
static inline char *test_copy(const char *bytes, size_t len)
{
    char *copy = malloc(len != 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    return copy;
}

/* Parse a request that must be good; the bytes stay the caller's. */
static inline void test_request(struct test_head *t, const char *text)
{
    struct http_fault fault = {HTTP_FAULT_NONE, 0};
    size_t scanned = 0;
    test_head_init(t);
    enum http_parse parse =
        http_head_parse_request(&t->head, text, strlen(text), &scanned, &TEST_LIMITS, &fault);
    if (parse != HTTP_PARSE_OK)
        fail_msg("%s at %u: %s", http_fault_name(fault.id), fault.offset, text);
}

static inline void test_response(struct test_head *t, const char *text)
{
    struct http_fault fault = {HTTP_FAULT_NONE, 0};
    size_t scanned = 0;
    test_head_init(t);
    enum http_parse parse =
        http_head_parse_response(&t->head, text, strlen(text), &scanned, &TEST_LIMITS, &fault);
    if (parse != HTTP_PARSE_OK)
        fail_msg("%s at %u: %s", http_fault_name(fault.id), fault.offset, text);
}

static inline void test_span_is(struct span span, const char *expected)
{
    if (!span_eq(span, span_of(expected)))
        fail_msg("got \"%.*s\", not \"%s\"", (int)span.len, span.ptr, expected);
}

#endif
