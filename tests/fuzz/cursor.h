/* SPDX-License-Identifier: Apache-2.0 */
/* cursor.h - a fuzzer's input as a row of numbers and texts.  Past its end everything is 0 and empty. */
#ifndef SLUICE_TESTS_FUZZ_CURSOR_H
#define SLUICE_TESTS_FUZZ_CURSOR_H

#include "fuzz.h"

#include "base/base_span.h"

struct cursor {
    const uint8_t *at;
    size_t left;
};

static inline unsigned cursor_byte(struct cursor *cursor)
{
    if (cursor->left == 0)
        return 0;
    cursor->left--;
    return *cursor->at++;
}

static inline uint64_t cursor_number(struct cursor *cursor, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | cursor_byte(cursor);
    return value;
}

/* A byte from 0x80 on stands for sixteen times what is over that: long texts need no long prefix. */
static inline struct span cursor_text(struct cursor *cursor)
{
    size_t len = cursor_byte(cursor);
    if (len >= 0x80)
        len = (len - 0x80) * 16;
    if (len > cursor->left)
        len = cursor->left;
    struct span text = {(const char *)cursor->at, len};
    cursor->at += len;
    cursor->left -= len;
    return text;
}

/* Up to the next byte `end`, which is passed. */
static inline struct span cursor_line(struct cursor *cursor, char end)
{
    struct span rest = {(const char *)cursor->at, cursor->left};
    size_t len = rest.len != 0 ? span_find(rest, end) : 0, took = len + (len < rest.len);
    cursor->at += took;
    cursor->left -= took;
    return (struct span){rest.ptr, len};
}

#endif
