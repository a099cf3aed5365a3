/* SPDX-License-Identifier: Apache-2.0 */
/* test_logtool_replay_order - who was first where times are alike: by what the window had used, and no further than times are
 * uncertain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "logtool/logtool_replay_order.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define BEGIN_US     UINT64_C(1795305600000000)
#define LINES_MAX    4

/* A request of one quota, as its line says it. */
struct said {
    uint32_t at_ms, used;
    bool is_refused;
    uint32_t subject, start_s;
    int32_t delta;
};

static void test_orders(void **state)
{
    static const struct {
        const char *name;
        unsigned count;
        struct said said[LINES_MAX];
        uint32_t at_ms[LINES_MAX]; /* then */
    } rows[] = {
        {"as they were", 2, {{.at_ms = 0, .used = 1}, {.at_ms = 1, .used = 2}}, {0, 1}},
        {"the other way round", 2, {{.at_ms = 0, .used = 2}, {.at_ms = 1, .used = 1}}, {1, 0}},
        {"three of them",
         3,
         {{.at_ms = 0, .used = 3}, {.at_ms = 1, .used = 2}, {.at_ms = 2, .used = 1}},
         {2, 1, 0}},
        {"the last of the file was first",
         3,
         {{.at_ms = 5, .used = 2}, {.at_ms = 6, .used = 3}, {.at_ms = 7, .used = 1}},
         {6, 7, 5}},
        {"of one instant", 2, {{.at_ms = 3, .used = 2}, {.at_ms = 3, .used = 1}}, {3, 3}},
        {"refused behind who filled it",
         2,
         {{.at_ms = 0, .used = 5, .is_refused = true}, {.at_ms = 1, .used = 5}},
         {1, 0}},
        {"and before nobody else",
         2,
         {{.at_ms = 0, .used = 5}, {.at_ms = 1, .used = 5, .is_refused = true}},
         {0, 1}},
        {"20 ms apart", 2, {{.at_ms = 0, .used = 2}, {.at_ms = 20, .used = 1}}, {20, 0}},
        {"further apart", 2, {{.at_ms = 0, .used = 2}, {.at_ms = 21, .used = 1}}, {0, 21}},
        {"who is too far blocks nobody else",
         3,
         {{.at_ms = 0, .used = 3}, {.at_ms = 30, .used = 2}, {.at_ms = 31, .used = 1}},
         {0, 31, 30}},
        {"in two seconds", 2, {{.at_ms = 999, .used = 2}, {.at_ms = 1000, .used = 1}}, {999, 1000}},
        {"of two subjects",
         2,
         {{.at_ms = 0, .used = 2, .subject = 1}, {.at_ms = 1, .used = 1, .subject = 2}},
         {0, 1}},
        {"of two windows",
         2,
         {{.at_ms = 0, .used = 2, .subject = 1, .start_s = 60},
          {.at_ms = 1, .used = 1, .subject = 1, .start_s = 120}},
         {0, 1}},
        {"with a refund",
         3,
         {{.at_ms = 0, .used = 2}, {.at_ms = 1, .used = 1}, {.at_ms = 2, .used = 2, .delta = -1}},
         {0, 1, 2}},
    };
    static const struct quota quota = {.limit_count = 1};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct logtool_request requests[LINES_MAX] = {0};
        struct logtool_item items[LINES_MAX] = {0};
        struct logtool_replay replay = {
            .requests = requests, .request_count = rows[i].count, .items = items};
        for (unsigned k = 0; k < rows[i].count; k++) {
            const struct said *said = &rows[i].said[k];
            const struct logtool_window window = {
                .has_numbers = true, .start_s = said->start_s, .used = said->used};
            requests[k].items = k;
            requests[k].item_count[LOGTOOL_OLD] = 1;
            requests[k].at_us = BEGIN_US + said->at_ms * UINT64_C(1000);
            requests[k].is_logged_refused = said->is_refused;
            items[k] = (struct logtool_item){.subject = said->subject, .delta = said->delta};
            logtool_replay_order_note(&requests[k], &quota, &window);
        }
        assert_int_equal(logtool_replay_order(&replay), ERR_OK);
        for (unsigned k = 0; k < rows[i].count; k++) {
            if (requests[k].at_us != BEGIN_US + rows[i].at_ms[k] * UINT64_C(1000))
                print_error("%s: request %u\n", rows[i].name, k);
            assert_int_equal(requests[k].at_us, BEGIN_US + rows[i].at_ms[k] * UINT64_C(1000));
        }
    }
}

/* Only the first fixed window of a line that says its numbers is a place. */
static void test_places(void **state)
{
    static const struct quota fixed = {.algorithm = QUOTA_FIXED},
                              sliding = {.algorithm = QUOTA_SLIDING};
    const struct logtool_window told = {.has_numbers = true, .start_s = 60, .used = 3},
                                mute = {.start_s = 60, .used = 3},
                                second = {.has_numbers = true, .start_s = 3600, .used = 9},
                                huge = {.has_numbers = true, .used = UINT64_C(1) << 32};
    struct logtool_request request = {.item_count[LOGTOOL_OLD] = 1};
    (void)state;
    logtool_replay_order_note(&request, NULL, &told);
    logtool_replay_order_note(&request, &sliding, &told);
    logtool_replay_order_note(&request, &fixed, &mute);
    logtool_replay_order_note(&request, &fixed, &huge);
    assert_false(request.has_place);
    request.item_count[LOGTOOL_OLD] = 2;
    logtool_replay_order_note(&request, &fixed, &told);
    logtool_replay_order_note(&request, &fixed, &second);
    assert_true(request.has_place);
    assert_int_equal(request.place_item, 1);
    assert_int_equal(request.place_start_s, 60);
    assert_int_equal(request.place_used, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
