/* SPDX-License-Identifier: Apache-2.0 */
/* test_config_near - distances between names, and which one is suggested. */
#include "config_bench.h"

#include "config/config_near.h"

static void test_distance(void **state)
{
    static const struct {
        const char *a, *b;
        unsigned distance;
    } rows[] = {
        {"", "", 0},
        {"abc", "abc", 0},
        {"abc", "ABC", 0},
        {"abc", "ab", 1},
        {"abc", "xabc", 1},
        {"abc", "axc", 1},
        {"abc", "acb", 1},
        {"", "abc", 3},
        {"workers", "wrokers", 1},
        {"minute", "minutes", 1},
        {"kitten", "sitting", 3},
        {"ca", "abc", 3}, /* optimal string alignment: nothing is changed twice */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(config_distance(span_of(rows[i].a), span_of(rows[i].b)), rows[i].distance);
        assert_int_equal(config_distance(span_of(rows[i].b), span_of(rows[i].a)), rows[i].distance);
    }
    char text[65];
    memset(text, 'a', sizeof(text));
    assert_int_equal(config_distance((struct span){text, 65}, SPAN("a")), CONFIG_FAR);
    assert_int_equal(config_distance((struct span){text, 64}, (struct span){text, 64}), 0);
}

static void test_suggestion(void **state)
{
    static const char *const names[] = {"header", "headers", "header_count", "body", "ip", "key"};
    static const struct {
        const char *wrong, *best;
    } rows[] = {
        {"headre", "header"}, {"headrs", "headers"}, {"header_cuont", "header_count"},
        {"bod", "body"},      {"ipp", "ip"},         {"kye", "key"},
        {"xyz", NULL},        {"x", NULL},           {"nothing_like_it", NULL},
        {"max_body", "body"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config_near near = config_near_to(span_of(rows[i].wrong));
        for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++)
            config_near_try(&near, span_of(names[j]), false);
        if (!span_eq(near.best, span_of(rows[i].best)))
            fail_msg("%s: %.*s", rows[i].wrong, (int)near.best.len, near.best.ptr);
    }
    /* The one that is not there yet is likelier meant. */
    struct config_near near = config_near_to(SPAN("headerz"));
    config_near_try(&near, SPAN("headers"), true);
    config_near_try(&near, SPAN("header"), false);
    assert_true(span_eq(near.best, SPAN("header")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_suggestion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
