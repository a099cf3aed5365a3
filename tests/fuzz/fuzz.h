/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.h - what the fuzz targets share.  A target is one function; libFuzzer or replay_main.c calls it. */
#ifndef SLUICE_TESTS_FUZZ_H
#define SLUICE_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must be true of every input; stays in builds with NDEBUG. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A copy of exactly this length, so that a sanitizer sees the first byte read past it. */
static inline char *fuzz_copy(const void *bytes, size_t len)
{
    char *copy =
        calloc(1, len != 0 ? len : 1); /* not malloc: gcc takes an empty one for uninitialised */
    FUZZ_CHECK(copy != NULL);
    if (len != 0)
        memcpy(copy, bytes, len);
    return copy;
}

#endif
