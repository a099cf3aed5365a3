/* SPDX-License-Identifier: Apache-2.0 */
/* test_logtool_histogram.c - percentiles are at most 1/32 above the truth and never below it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "logtool/logtool_histogram.h"

static int compare(const void *a, const void *b)
{
    const uint64_t *one = a, *other = b;
    return *one < *other ? -1 : *one > *other;
}

static void test_against_sorted(void **state)
{
    static const uint32_t parts[] = {1, 1000, 50000, 90000, 99000, 99900, 100000};
    enum {
        COUNT = 5000
    };
    uint64_t *times = calloc(COUNT, sizeof(*times)), seed = 7;
    (void)state;
    assert_non_null(times);
    for (unsigned spread = 1; spread < 38; spread += 3) {
        struct logtool_histogram histogram = {0};
        uint64_t octaves = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            times[i] = (seed >> 20) & ((UINT64_C(1) << spread) - 1);
            logtool_histogram_add(&histogram, times[i]);
        }
        qsort(times, COUNT, sizeof(*times), compare);
        for (size_t k = 0; k < sizeof(parts) / sizeof(parts[0]); k++) {
            uint64_t rank = ((uint64_t)COUNT * parts[k] + 99999) / 100000;
            uint64_t want = times[rank - 1];
            uint64_t got = logtool_histogram_percentile(&histogram, parts[k]);
            if (got < want || got > want + want / 32)
                fail_msg("spread %u, part %u: %llu for %llu", spread, parts[k],
                         (unsigned long long)got, (unsigned long long)want);
        }
        for (unsigned power = 0; power < 38; power++)
            octaves += logtool_histogram_octave(&histogram, power);
        assert_int_equal(octaves, COUNT);
    }
    free(times);
}

static void test_edges(void **state)
{
    struct logtool_histogram histogram = {0};
    (void)state;
    assert_int_equal(logtool_histogram_percentile(&histogram, 50000), 0);
    logtool_histogram_add(&histogram, UINT64_C(1) << 52);
    assert_true(logtool_histogram_percentile(&histogram, 50000) == UINT64_C(1) << 52);
    assert_int_equal(logtool_histogram_octave(&histogram, 37), 1);
    logtool_histogram_add(&histogram, 0);
    assert_int_equal(logtool_histogram_percentile(&histogram, 50000), 0);
    assert_int_equal(logtool_histogram_octave(&histogram, 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_sorted),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
