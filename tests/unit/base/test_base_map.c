/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_map.c - the map and the list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/base_list.h"
#include "base/base_map.h"

static void test_map(void **state)
{
    (void)state;
    struct map map;
    static int values[1000];
    map_init(&map);
    assert_null(map_find(&map, SPAN("a")));
    for (int i = 0; i < 1000; i++) {
        char name[16];
        int len = snprintf(name, sizeof(name), "name-%d", i);
        struct span key = {name, (size_t)len}; /* the buffer is reused: keys must be copied */
        assert_null(map_find(&map, key));
        assert_int_equal(map_add(&map, key, &values[i]), ERR_OK);
        assert_int_equal(map_add(&map, key, &values[0]), ERR_EXISTS);
    }
    assert_int_equal(map.count, 1000);
    for (int i = 0; i < 1000; i++) {
        char name[16];
        int len = snprintf(name, sizeof(name), "name-%d", i);
        assert_ptr_equal(map_find(&map, (struct span){name, (size_t)len}), &values[i]);
    }
    map_fini(&map);
    assert_null(map_find(&map, SPAN("name-1")));
    map_fini(NULL);
}

static void test_map_odd_keys(void **state)
{
    (void)state;
    struct map map;
    int a, b, c;
    map_init(&map);
    assert_int_equal(map_add(&map, SPAN_NONE, &a), ERR_OK);
    assert_int_equal(map_add(&map, SPAN(""), &b), ERR_EXISTS);
    assert_int_equal(map_add(&map, SPAN("a"), &b), ERR_OK);
    assert_int_equal(map_add(&map, SPAN("a\0"), &c), ERR_OK);
    assert_ptr_equal(map_find(&map, SPAN("")), &a);
    assert_ptr_equal(map_find(&map, SPAN("a")), &b);
    assert_ptr_equal(map_find(&map, SPAN("a\0")), &c);
    map_fini(&map);
}

struct item {
    int value;
    struct list node;
};

static int sum_and_order(struct list *head)
{
    int digits = 0;
    LIST_EACH (node, head) {
        digits = digits * 10 + LIST_OF(node, struct item, node)->value;
    }
    return digits;
}

static void test_list(void **state)
{
    (void)state;
    struct list head;
    struct item items[] = {{.value = 1}, {.value = 2}, {.value = 3}};
    list_init(&head);
    assert_true(list_is_empty(&head));
    list_push_back(&head, &items[1].node);
    list_push_back(&head, &items[2].node);
    list_push_front(&head, &items[0].node);
    assert_int_equal(sum_and_order(&head), 123);
    list_remove(&items[1].node);
    list_remove(&items[1].node); /* twice is harmless */
    assert_int_equal(sum_and_order(&head), 13);
    LIST_EACH_SAFE (node, &head) {
        list_remove(node);
    }
    assert_true(list_is_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_map_odd_keys),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
