/* SPDX-License-Identifier: Apache-2.0 */
/* test_admin_query - parameters read back as they were written, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "admin/admin_query.h"

static void test_find(void **state)
{
    static const struct {
        const char *query, *value; /* NULL: refused */
    } rows[] = {
        {"", ""},
        {"name=", ""},
        {"name=alice", "alice"},
        {"a=b&name=x%20y&c", "x y"},
        {"name=a+b", "a+b"},
        {"name=%2B%3d%26", "+=&"},
        {"names=x&nam=y", ""},
        {"name", ""},
        {"&&name=1&&", "1"},
        {"name=a=b", "a=b"},
        {"name=1&name=1", NULL},
        {"name=%", NULL},
        {"name=%4", NULL},
        {"name=%zz", NULL},
        {"name=%4&b=1", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char value[ADMIN_QUERY_VALUE_MAX];
        size_t len;
        bool is_good = admin_query_find(span_of(rows[i].query), "name", value, &len);
        if (is_good != (rows[i].value != NULL))
            print_error("%s\n", rows[i].query);
        assert_int_equal(is_good, rows[i].value != NULL);
        if (!is_good)
            continue;
        assert_string_equal(value, rows[i].value);
        assert_int_equal(len, strlen(value));
    }
}

static void test_too_long(void **state)
{
    char query[2048] = "name=", value[ADMIN_QUERY_VALUE_MAX];
    size_t len;
    (void)state;
    memset(query + 5, 'x', ADMIN_QUERY_VALUE_MAX - 1);
    assert_true(admin_query_find(span_of(query), "name", value, &len));
    assert_int_equal(len, ADMIN_QUERY_VALUE_MAX - 1);
    query[5 + ADMIN_QUERY_VALUE_MAX - 1] = 'x';
    assert_false(admin_query_find(span_of(query), "name", value, &len));
}

static void test_duration(void **state)
{
    static const struct {
        const char *query;
        uint64_t us; /* 7: as it was; 0: refused */
    } rows[] = {
        {"for=1500ms", 1500000},
        {"for=1h", 3600000000},
        {"for=1s", 1000000},
        {"for=", 7},
        {"by=1s", 7},
        {"for=999ms", 0},
        {"for=61m", 0},
        {"for=60", 0},
        {"for=1s&for=1s", 0},
        {"for=-1s", 0},
        {"for=%31s", 1000000},
        {"for=1s%00", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t us = 7;
        bool is_good =
            admin_query_duration(span_of(rows[i].query), "for", 1000000, 3600000000, &us);
        if (is_good != (rows[i].us != 0))
            print_error("%s\n", rows[i].query);
        assert_int_equal(is_good, rows[i].us != 0);
        assert_int_equal(us, is_good ? rows[i].us : 7);
    }
}

static void test_every_byte_comes_back(void **state)
{
    char bytes[256], query[1024] = "name=", value[ADMIN_QUERY_VALUE_MAX];
    size_t len;
    (void)state;
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    char *end = admin_query_escape(query + 5, (struct span){bytes, sizeof(bytes)});
    assert_true(admin_query_find((struct span){query, (size_t)(end - query)}, "name", value, &len));
    assert_int_equal(len, sizeof(bytes));
    assert_memory_equal(value, bytes, sizeof(bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_every_byte_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
