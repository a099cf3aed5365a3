/* SPDX-License-Identifier: Apache-2.0 */
/* test_logtool_timeline - whatever order instants come in, each is counted in the step that holds it, and steps are as short as their
 * number allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "logtool/logtool_timeline.h"

#define STEPS LOGTOOL_TIMELINE_STEPS

static uint64_t sum(const struct logtool_timeline *line, uint64_t *refused)
{
    uint64_t requests = 0;
    *refused = 0;
    for (unsigned i = 0; i < STEPS; i++) {
        requests += line->steps[i].requests;
        *refused += line->steps[i].refused;
        if (i < line->first || i > line->last)
            assert_int_equal(line->steps[i].requests, 0);
    }
    return requests;
}

static void test_one_step_a_second(void **state)
{
    struct logtool_timeline line = {0};
    (void)state;
    for (uint64_t s = 0; s < STEPS; s++)
        logtool_timeline_add(&line, 1000 + s, s % 3 == 0);
    assert_int_equal(line.width_s, 1);
    assert_int_equal(line.from_s, 1000);
    assert_int_equal(line.first, 0);
    assert_int_equal(line.last, STEPS - 1);
    for (unsigned i = 0; i < STEPS; i++) {
        assert_int_equal(line.steps[i].requests, 1);
        assert_int_equal(line.steps[i].refused, i % 3 == 0);
    }
}

static void test_far_and_back(void **state)
{
    static const uint64_t far[] = {5, 1000000, 3, 86400, 0, UINT64_C(253402300799), 7};
    struct logtool_timeline line = {0};
    uint64_t refused;
    (void)state;
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        logtool_timeline_add(&line, far[i], i % 2 == 0);
        assert_int_equal(sum(&line, &refused), i + 1);
        assert_int_equal(refused, i / 2 + 1);
        assert_int_equal(line.from_s % line.width_s, 0);
    }
    assert_int_equal(line.steps[0].requests, 6);
    assert_true(line.last >= STEPS / 2);
}

/* Against a count of each second. */
static void test_any_order(void **state)
{
    static uint16_t seconds[5000];
    struct logtool_timeline line = {0};
    uint64_t seed = 7, refused;
    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        unsigned at = (unsigned)(seed >> 40) % (i < 10000 ? 300 : 5000);
        seconds[at]++;
        logtool_timeline_add(&line, 777 + at, false);
    }
    assert_int_equal(sum(&line, &refused), 20000);
    assert_int_equal(line.width_s, 32); /* 5,000 s in at most 240 steps */
    for (unsigned i = line.first; i <= line.last; i++) {
        uint64_t expected = 0, from = line.from_s + i * line.width_s;
        for (uint64_t s = from; s < from + line.width_s; s++)
            expected += s >= 777 && s - 777 < 5000 ? seconds[s - 777] : 0;
        assert_int_equal(line.steps[i].requests, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_step_a_second),
        cmocka_unit_test(test_far_and_back),
        cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
