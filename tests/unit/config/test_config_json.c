/* SPDX-License-Identifier: Apache-2.0 */
/* test_config_json.c - building JSON when memory is out: one failed step leaves nothing, and those after it nothing
 * more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/config_json.h"

/* json_string(NULL) is what an allocation that failed looks like. */
static void test_set(void **state)
{
    (void)state;
    json_t *object = json_object();
    config_json_set(&object, "a", json_integer(1));
    assert_int_equal(json_integer_value(json_object_get(object, "a")), 1);
    config_json_set(&object, "b", json_string(NULL));
    assert_null(object);
    config_json_set(&object, "c", json_integer(2));
    assert_null(object);
}

static void test_append(void **state)
{
    (void)state;
    json_t *array = json_array();
    config_json_append(&array, json_integer(1));
    assert_int_equal(json_array_size(array), 1);
    config_json_append(&array, json_string(NULL));
    assert_null(array);
    config_json_append(&array, json_integer(2));
    assert_null(array);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_append),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
