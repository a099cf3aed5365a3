/* SPDX-License-Identifier: Apache-2.0 */
/* base_arena.c - takes: sizes.  Gives: memory that goes back all at once.  Never: gives more than
 * its cap, or frees a piece alone. */
#include "base/base_arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_BLOCK_BYTES ((size_t)4096)

struct arena_block {
    struct arena_block *next;
    size_t bytes;
};

_Static_assert(sizeof(struct arena_block) % 16 == 0, "room behind the header is aligned");

/* Bytes to skip so that `at` is aligned. */
static size_t padding(const char *at)
{
    return (size_t)(0 - (uintptr_t)at) & (ARENA_ALIGN - 1);
}

/* The first aligned place from `at` on, or the end. */
static char *aligned(char *at, char *end)
{
    size_t skip = padding(at);
    return (size_t)(end - at) < skip ? end : at + skip;
}

void arena_init(struct arena *arena, void *first, size_t first_bytes, size_t max_bytes)
{
    char *end = first == NULL ? NULL : (char *)first + first_bytes;
    *arena = (struct arena){
        .next = first == NULL ? NULL : aligned(first, end),
        .end = end,
        .max_bytes = max_bytes,
    };
}

static char *take_from(char **next, char *end, size_t bytes)
{
    if (*next == NULL || (size_t)(end - *next) < bytes)
        return NULL;
    char *taken = *next;
    *next = aligned(taken + bytes, end);
    return taken;
}

/* A new block with room for `bytes` at least; NULL when the cap or memory says no. */
static struct arena_block *add_block(struct arena *arena, size_t bytes)
{
    size_t left = arena->max_bytes - arena->used_bytes;
    if (left < sizeof(struct arena_block) || left - sizeof(struct arena_block) < bytes)
        return NULL;
    size_t size = sizeof(struct arena_block) + bytes;
    if (size < ARENA_BLOCK_BYTES)
        size = left < ARENA_BLOCK_BYTES ? left : ARENA_BLOCK_BYTES;
    struct arena_block *block = malloc(size);
    if (block == NULL)
        return NULL;
    block->next = arena->blocks;
    block->bytes = size;
    arena->blocks = block;
    arena->used_bytes += size;
    return block;
}

void *arena_take_more(struct arena *arena, size_t bytes)
{
    if (bytes == 0)
        bytes = 1;
    char *taken = take_from(&arena->next, arena->end, bytes);
    if (taken != NULL)
        return taken;

    struct arena_block *block = add_block(arena, bytes);
    if (block == NULL)
        return NULL;
    char *next = (char *)(block + 1), *end = (char *)block + block->bytes;
    taken = take_from(&next, end, bytes);
    assert(taken != NULL);
    /* A large piece gets a block of its own; small ones go on in the roomier of the two. */
    if (arena->next == NULL || end - next > arena->end - arena->next) {
        arena->next = next;
        arena->end = end;
    }
    return taken;
}

void *arena_take_zeroed(struct arena *arena, size_t bytes)
{
    void *taken = arena_take(arena, bytes);
    if (taken != NULL)
        memset(taken, 0, bytes);
    return taken;
}

struct span arena_copy(struct arena *arena, struct span text)
{
    if (text.len == SIZE_MAX)
        return SPAN_NONE;
    char *copy = arena_take(arena, text.len + 1);
    if (copy == NULL)
        return SPAN_NONE;
    if (text.len != 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return (struct span){copy, text.len};
}

struct span arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    struct span text = SPAN_NONE;
    int len = vsnprintf(NULL, 0, format, args);
    char *copy = len < 0 ? NULL : arena_take(arena, (size_t)len + 1);
    if (copy != NULL) {
        vsnprintf(copy, (size_t)len + 1, format, again);
        text = (struct span){copy, (size_t)len};
    }
    va_end(again);
    va_end(args);
    return text;
}

void arena_fini(struct arena *arena)
{
    if (arena == NULL)
        return;
    while (arena->blocks != NULL) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
    arena->used_bytes = 0;
    arena->next = arena->end = NULL;
}
