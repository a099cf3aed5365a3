/* SPDX-License-Identifier: Apache-2.0 */
/* base_arena.h - memory that is taken piece by piece and dropped whole, up to a cap. */
#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include <stddef.h>

#include "base/base_span.h"

struct arena_block;

/* Owner: whoever embeds it.  Freed by: arena_fini.  Thread: the owner's. */
struct arena {
    struct arena_block *blocks; /* newest first */
    char *next,
        *end; /* free room in the newest block, or in the owner's first block; next is aligned */
    size_t used_bytes, max_bytes; /* of malloc'ed blocks */
};

/* Begin with a first block that the owner holds (NULL, 0: none); take at most max_bytes more from
 * malloc. */
void arena_init(struct arena *arena, void *first, size_t first_bytes, size_t max_bytes);

#define ARENA_ALIGN ((size_t)16)

/* When the first block that there is has no such room. */
void *arena_take_more(struct arena *arena, size_t bytes);

/* 16-byte aligned, not cleared.  NULL when the cap or memory is exhausted. */
static inline void *arena_take(struct arena *arena, size_t bytes)
{
    const size_t whole = (bytes + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
    char *taken = arena->next;
    if (whole - 1 >=
        (size_t)(arena->end - taken)) /* nothing is asked for, or no room, or too much */
        return arena_take_more(arena, bytes);
    arena->next = taken + whole;
    return taken;
}
void *arena_take_zeroed(struct arena *arena, size_t bytes);

/* A copy with a NUL after it; ptr is NULL when there is no room. */
struct span arena_copy(struct arena *arena, struct span text);
struct span arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void arena_fini(struct arena *arena);

#endif
