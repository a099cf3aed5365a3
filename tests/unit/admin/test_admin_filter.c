/* SPDX-License-Identifier: Apache-2.0 */
/* test_admin_filter - which lines an expression means, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "admin/admin_filter.h"

static const char REQUEST[] =
    "{\"v\":1,\"boot\":\"c3f1\",\"seq\":7,\"ts\":\"2026-11-22T14:02:11.482Z\",\"path\":\"/a\\\"b\","
    "\"route\":\"search\",\"decision\":\"refuse\",\"refused_by\":[\"ip/minute\",\"user/day\"],"
    "\"near\":true,\"cost\":5,\"subjects\":{\"user\":\"alice\",\"ip\":\"203.0.113.7\"},"
    "\"quotas\":[{\"q\":\"ip\",\"w\":\"minute\",\"status\":1}],\"status\":429,\"end\":\"limited\","
    "\"t_total\":150000}\n";
static const char EVENT[] = "{\"v\":1,\"seq\":8,\"event\":\"reset\",\"subject\":\"alice\"}\n";

static void test_lines(void **state)
{
    static const struct {
        const char *expression;
        bool has_request, has_event;
    } rows[] = {
        {"", true, true},
        {"   ", true, true},
        {"route=search", true, false},
        {"route=Search", false, false},
        {"route!=search", false, false},
        {"route!=other", true, false},
        {"route=a|b|search", true, false},
        {"route!=a|search", false, false},
        {"route = search & status >= 429", true, false},
        {"route=search&status>429", false, false},
        {"status=429|503", true, false},
        {"status=0429", true, false},
        {"status<429", false, false},
        {"status<=429", true, false},
        {"t_total>100ms", true, false},
        {"t_total>150ms", false, false},
        {"t_total>=150ms", true, false},
        {"t_total=150000", true, false},
        {"subject=alice", true, true},
        {"subject=203.0.113.7", true, false},
        {"subject=user", false, false},
        {"subject!=bob", true, true},
        {"refused_by=user/day", true, false},
        {"refused_by=user", false, false},
        {"near=true", true, false},
        {"v=1", true, true},
        {"ts=2026-11-22T14:02:11.482Z", true, false},
        {"cut=true", false, false},
        {"event=reset|grant", false, true},
        {"event=\"reset\" & subject=alice", false, true},
        {"cost>4&cost<6&cost=5", true, false},
        {"cost>4&cost<5", false, false},
    };
    struct admin_filter *filter = malloc(sizeof(*filter));
    char why[256];
    (void)state;
    assert_non_null(filter);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool is_good = admin_filter_parse(filter, span_of(rows[i].expression), why);
        assert_true(is_good);
        assert_int_equal(admin_filter_has(filter, span_of(REQUEST)), rows[i].has_request);
        assert_int_equal(admin_filter_has(filter, span_of(EVENT)), rows[i].has_event);
    }
    free(filter);
}

/* What stands escaped in a line is written as it is meant. */
static void test_escaped(void **state)
{
    struct admin_filter *filter = malloc(sizeof(*filter));
    char why[256];
    (void)state;
    assert_non_null(filter);
    assert_true(admin_filter_parse(filter, SPAN("path=/a\"b"), why));
    assert_true(admin_filter_has(filter, span_of(REQUEST)));
    free(filter);
}

static void test_torn_lines(void **state)
{
    struct admin_filter *filter = malloc(sizeof(*filter));
    char why[256];
    (void)state;
    assert_non_null(filter);
    assert_true(admin_filter_parse(filter, SPAN("t_total>0"), why));
    for (size_t len = 0; len < sizeof(REQUEST) - 4; len++) {
        char *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, REQUEST, len);
        assert_false(admin_filter_has(filter, (struct span){copy, len}));
        free(copy);
    }
    free(filter);
}

static void test_limits(void **state)
{
    struct admin_filter *filter = malloc(sizeof(*filter));
    char text[2000] = "", why[256];
    (void)state;
    assert_non_null(filter);
    for (unsigned i = 0; i < 17; i++)
        strcat(text, i == 0 ? "cost=1" : "&cost=1");
    assert_false(admin_filter_parse(filter, span_of(text), why));
    assert_string_equal(why, "at byte 113: there are more than 16 conditions");
    strcpy(text, "cost=1");
    for (unsigned i = 0; i < 32; i++)
        strcat(text, "|1");
    assert_false(admin_filter_parse(filter, span_of(text), why));
    assert_non_null(strstr(why, "there are more than 32 values"));
    memset(text, 'x', 1001);
    assert_false(admin_filter_parse(filter, (struct span){text, 1001}, why));
    assert_non_null(strstr(why, "longer than 1000 bytes"));
    /* A value of bytes that all need escapes has room. */
    memcpy(text, "path=", 5);
    memset(text + 5, 1, 995);
    assert_true(admin_filter_parse(filter, (struct span){text, 1000}, why));
    free(filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_escaped),
        cmocka_unit_test(test_torn_lines),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
