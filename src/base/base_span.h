/* SPDX-License-Identifier: Apache-2.0 */
/* base_span.h - a borrowed run of bytes.  Never owns, never needs a terminating NUL. */
#ifndef SLUICE_BASE_SPAN_H
#define SLUICE_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *ptr;
    size_t len;
};

struct span_pair {
    struct span name, value;
};

#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})
#define SPAN_NONE     ((struct span){NULL, 0})

static inline struct span span_of(const char *text)
{
    return (struct span){text, text == NULL ? 0 : strlen(text)};
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Are `len` bytes the same?  For short texts that mostly are: a call of memcmp costs more than the comparison. */
static inline __attribute__((always_inline)) bool span_same(const char *a, const char *b,
                                                            size_t len)
{
    uint64_t x, y;
    size_t at = 0;
    if (len < 8) {
        while (at < len && a[at] == b[at])
            at++;
        return at == len;
    }
    for (; at + 8 < len; at += 8) { /* the last eight may overlap those before */
        memcpy(&x, a + at, 8);
        memcpy(&y, b + at, 8);
        if (x != y)
            return false;
    }
    memcpy(&x, a + len - 8, 8);
    memcpy(&y, b + len - 8, 8);
    return x == y;
}

/* Compare ASCII letters without case; bytes above 0x7f compare as they are. */
bool span_eq_nocase(struct span a, struct span b);

/* Remove SP and HTAB at both ends. */
struct span span_trim(struct span text);

/* The index of the first `byte`, or text.len. */
size_t span_find(struct span text, char byte);

bool span_starts_with(struct span text, struct span prefix);

/* The length of the UTF-8 character that the text begins with, 1 to 4; 0 when it begins with none
 * (RFC 3629: overlong forms, surrogates, above U+10FFFF and torn characters are none). */
size_t span_utf8_len(struct span text);

#endif
