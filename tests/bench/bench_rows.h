/* SPDX-License-Identifier: Apache-2.0 */
/* bench_rows.h - the main program of a microbenchmark: a table of things to do over and over.
 * Without arguments: nanoseconds of each, the best of a few turns.  With the number of a row and how often: does only
 * that, for valgrind, which counts the instructions (tests/bench/micro.py takes a short run off a long one). */
#ifndef SLUICE_BENCH_ROWS_H
#define SLUICE_BENCH_ROWS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base_clock.h"

#define BENCH_TURNS   7
#define BENCH_TURN_US 20000

struct bench_row {
    const char *name;
    bool (*run)(void); /* false: it did not do what it should */
};

static inline bool bench_repeat(const struct bench_row *row, uint64_t count)
{
    bool is_right = true;
    for (uint64_t i = 0; i < count; i++)
        is_right &= row->run();
    return is_right;
}

/* As many as take a turn's time. */
static inline uint64_t bench_count(const struct bench_row *row)
{
    uint64_t count = 64, took_us;
    do {
        count *= 2;
        uint64_t begin_us = clock_mono_us();
        bench_repeat(row, count);
        took_us = clock_mono_us() - begin_us;
    } while (took_us < BENCH_TURN_US);
    return count;
}

static inline bool bench_time(const struct bench_row *row)
{
    uint64_t best_us = UINT64_MAX, count = bench_count(row);
    bool is_right = true;
    for (unsigned turn = 0; turn < BENCH_TURNS; turn++) {
        uint64_t begin_us = clock_mono_us();
        is_right &= bench_repeat(row, count);
        uint64_t took_us = clock_mono_us() - begin_us;
        best_us = took_us < best_us ? took_us : best_us;
    }
    printf("%s\t%.1f\n", row->name, (double)best_us * 1000 / (double)count);
    return is_right;
}

static inline int bench_main(int argc, char **argv, const struct bench_row *rows, unsigned count)
{
    bool is_right = true;
    unsigned row = argc == 3 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    if (argc == 3 && row < count) {
        is_right = bench_repeat(&rows[row], strtoull(argv[2], NULL, 10));
    } else {
        for (unsigned i = 0; i < count; i++)
            is_right &= bench_time(&rows[i]);
    }
    if (!is_right)
        fprintf(stderr, "%s: something was not as it should be\n", argv[0]);
    return is_right ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
