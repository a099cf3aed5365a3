/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_arena.c - the arena's cap, alignment and growth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/base_arena.h"

static void fill(void *at, size_t bytes)
{
    assert_non_null(at);
    memset(at, 0xa5, bytes); /* the sanitizer objects when it is not ours */
}

static void test_first_block_is_used(void **state)
{
    (void)state;
    _Alignas(16) char first[128];
    struct arena arena;
    arena_init(&arena, first, sizeof(first), 0);
    char *one = arena_take(&arena, 100);
    assert_ptr_equal(one, first);
    assert_null(arena_take(&arena, 100)); /* cap 0: malloc is not asked */
    char *two = arena_take(&arena, 16);
    assert_ptr_equal(two, first + 112);
    assert_null(arena_take(&arena, 1));
    arena_fini(&arena);
    assert_null(arena_take(&arena, 1)); /* what was the owner's is the owner's again */
}

static void test_alignment(void **state)
{
    (void)state;
    char first[64];
    struct arena arena;
    arena_init(&arena, first + 1, sizeof(first) - 1, 1 << 16);
    for (size_t bytes = 0; bytes < 300; bytes++) {
        void *at = arena_take(&arena, bytes);
        fill(at, bytes);
        assert_int_equal((uintptr_t)at % 16, 0);
    }
    arena_fini(&arena);
}

static void test_cap(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, NULL, 0, 10000);
    size_t taken = 0;
    while (arena_take(&arena, 100) != NULL)
        taken += 100;
    assert_in_range(taken, 8000, 10000);
    assert_true(arena.used_bytes <= 10000);
    assert_null(arena_take(&arena, SIZE_MAX));
    assert_null(arena_take(&arena, SIZE_MAX - 15));
    arena_fini(&arena);
    assert_int_equal(arena.used_bytes, 0);
}

static void test_large_piece_does_not_waste_the_block(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    fill(arena_take(&arena, 16), 16);
    size_t before = arena.used_bytes;
    fill(arena_take(&arena, 100000), 100000);
    fill(arena_take(&arena, 1000), 1000);
    fill(arena_take(&arena, 1000), 1000);
    assert_true(arena.used_bytes <= before + 100000 + 64);
    arena_fini(&arena);
}

static void test_text(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, NULL, 0, 5000);
    struct span copy = arena_copy(&arena, SPAN("a\0b"));
    assert_int_equal(copy.len, 3);
    assert_memory_equal(copy.ptr, "a\0b", 4);
    copy = arena_copy(&arena, SPAN_NONE);
    assert_non_null(copy.ptr);
    assert_string_equal(copy.ptr, "");
    struct span text = arena_printf(&arena, "%s-%d", "x", 42);
    assert_true(span_eq(text, SPAN("x-42")));
    assert_int_equal(text.ptr[text.len], 0);
    assert_null(arena_printf(&arena, "%06000d", 1).ptr);
    assert_null(arena_copy(&arena, (struct span){"", SIZE_MAX}).ptr);
    char *zeroed = arena_take_zeroed(&arena, 33);
    for (unsigned i = 0; i < 33; i++)
        assert_int_equal(zeroed[i], 0);
    arena_fini(&arena);
    arena_fini(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_block_is_used),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_large_piece_does_not_waste_the_block),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
