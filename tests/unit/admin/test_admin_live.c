/* SPDX-License-Identifier: Apache-2.0 */
/* test_admin_live.c - the list of refusals of several workers, and what is read of a process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "admin/admin_live.h"
#include "admin/admin_process.h"
#include "config/config_json.h"

static struct record_refused_row row(uint64_t wall_us, uint64_t number, uint8_t who,
                                     uint32_t period_s, const char *subject)
{
    struct record_refused_row made = {
        .wall_us = wall_us,
        .number = number,
        .key = {who},
        .period_s = period_s,
        .used = 5,
        .limit = 5,
        .retry_after_s = 7,
        .quota_len = 4,
        .quota = "user",
        .route_len = 3,
        .route = "all",
        .window_len = period_s == 0 ? 0 : 6,
        .window = "minute",
        .subject_len = (uint8_t)strlen(subject),
    };
    memcpy(made.subject, subject, strlen(subject));
    return made;
}

static void test_the_newest_of_each(void **state)
{
    struct record_refused_row rows[] = {
        row(3000000, 1, 1, 60, "alice"),                                  /* of one worker */
        row(1000000, 2, 2, 60, "bob"),   row(5000000, 1, 1, 60, "alice"), /* of another */
        row(4000000, 2, 1, 0, "alice"),  row(4000000, 3, 3, 60, "carol"),
    };
    static const char *const expected[][2] = {
        {"alice", "minute"}, {"carol", "minute"}, {"alice", "in_flight"}, {"bob", "minute"}};
    (void)state;
    json_t *list = admin_live_refused(rows, 5, 20);
    assert_int_equal(json_array_size(list), 4);
    for (size_t i = 0; i < 4; i++) {
        const json_t *item = json_array_get(list, i);
        assert_string_equal(json_string_value(json_object_get(item, "subject")), expected[i][0]);
        assert_string_equal(json_string_value(json_object_get(item, "window")), expected[i][1]);
    }
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "at")),
                        "1970-01-01T00:00:05.000Z");
    json_decref(list);
    list = admin_live_refused(rows, 4, 2);
    assert_int_equal(json_array_size(list), 2);
    json_decref(list);
    list = admin_live_refused(rows, 0, 20);
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
}

static void test_one_row_as_text(void **state)
{
    struct record_refused_row rows[] = {row(1500, 1, 1, 60, "al\"ice"),
                                        row(0, 1, 2, 60, "\xff\xfe")};
    (void)state;
    rows[1].is_cut = rows[1].is_degraded = true;
    rows[1].retry_after_s = 0;
    json_t *list = admin_live_refused(rows, 2, 20);
    char *text = config_json_text(list, JSON_COMPACT);
    assert_string_equal(
        text, "[{\"at\":\"1970-01-01T00:00:00.001Z\",\"subject\":\"al\\\"ice\",\"kind\":\"ip\","
              "\"quota\":\"user\",\"window\":\"minute\",\"used\":5,\"limit\":5,\"route\":\"all\","
              "\"retry_after_s\":7,\"degraded\":false},"
              "{\"at\":\"1970-01-01T00:00:00.000Z\",\"subject\":\"(bytes)\",\"cut\":true,"
              "\"kind\":\"ip\",\"quota\":\"user\",\"window\":\"minute\",\"used\":5,\"limit\":5,"
              "\"route\":\"all\",\"retry_after_s\":0,\"degraded\":true}]");
    free(text);
    json_decref(list);
}

static void test_resident_memory(void **state)
{
    static const struct {
        const char *statm;
        uint64_t bytes;
    } rows[] = {
        {"10000 250 100 20 0 300 0\n", 250 * 4096},
        {"1 0 0 0 0 0 0\n", 0},
        {"10000\n", 0},
        {"", 0},
        {"x y z\n", 0},
    };
    struct admin_process process;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(admin_process_rss(rows[i].statm, 4096), rows[i].bytes);
    admin_process_read(&process);
    assert_true(process.rss_bytes > 100000 && process.fds >= 1 && process.fds < process.fds_max);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_newest_of_each),
        cmocka_unit_test(test_one_row_as_text),
        cmocka_unit_test(test_resident_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
