/* SPDX-License-Identifier: Apache-2.0 */
/* streams.h - event streams whose events say when they were sent, by a clock that both ends share. */
#ifndef SLUICE_TESTS_CHAOS_STREAMS_H
#define SLUICE_TESTS_CHAOS_STREAMS_H

#include <stdint.h>
#include <time.h>

static inline uint64_t streams_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Reads `argc` words: SECONDS and pairs of PORT COUNT.  Gives the exit code. */
int streams_read(int argc, char **argv);

#endif
