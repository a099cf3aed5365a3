/* SPDX-License-Identifier: Apache-2.0 */
/* test_record_id.c - request ids: made, written, and taken from others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "record/record.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define ID           "4f1c0a2b9d8e7f60112233445566778a"

static void test_made_ids(void **state)
{
    (void)state;
    struct rng rng = {{1, 2, 3, 4}};
    struct record_id a, b, back;
    record_id_make(&a, &rng);
    record_id_make(&b, &rng);
    assert_memory_not_equal(a.hex, b.hex, RECORD_ID_HEX);
    assert_true(record_id_parse(&back, (struct span){a.hex, RECORD_ID_HEX}));
    assert_memory_equal(&a, &back, sizeof(a));
}

static void test_written(void **state)
{
    (void)state;
    struct record_id id, back;
    memcpy(id.hex, ID, RECORD_ID_HEX);
    char text[RECORD_ID_MAX + 1];
    char *end = record_id_write(text, &id, 1795356131482999, SPAN("proxy-1.example"));
    *end = '\0';
    assert_string_equal(text, ID "-1795356131482-proxy-1.example");
    assert_true(record_id_parse(&back, (struct span){text, (size_t)(end - text)}));
    assert_memory_equal(&id, &back, sizeof(id));
}

static void test_long_host_is_cut(void **state)
{
    (void)state;
    struct record_id id;
    char host[300], *text = malloc(RECORD_ID_MAX);
    memset(host, 'h', sizeof(host));
    memcpy(id.hex, ID, RECORD_ID_HEX);
    char *end = record_id_write(text, &id, UINT64_MAX, (struct span){host, sizeof(host)});
    assert_in_range(end - text, 64, RECORD_ID_MAX);
    assert_true(record_id_parse(&id, (struct span){text, (size_t)(end - text)}));
    free(text);
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        bool ok;
    } rows[] = {
        {SPAN(ID), true},
        {SPAN(ID "-1795356131482-host"), true},
        {SPAN(ID "-0-a-b.c_D"), true},
        {SPAN(""), false},
        {{NULL, 0}, false},
        {SPAN("4f1c0a2b"), false},
        {SPAN(ID "0"), false},
        {SPAN(ID "-"), false},
        {SPAN(ID "-1795356131482"), false},
        {SPAN(ID "-1795356131482-"), false},
        {SPAN(ID "--host"), false},
        {SPAN(ID "-12x-host"), false},
        {SPAN(ID "-99999999999999999999-host"), false},
        {SPAN(ID "-1-ho st"), false},
        {SPAN(ID "-1-ho\"st"), false},
        {SPAN(ID "-1-host\n"), false},
        {SPAN(ID "-1-h\xc3\xa9"), false},
        {SPAN(ID "-1-{"), false}, /* differs from a letter in the case bit */
        {SPAN(ID "-1-[@"), false},
        {SPAN("4F1C0A2B9D8E7F60112233445566778A"), false},
        {SPAN("4f1c0a2b-9d8e-7f60-1122-33445566778a"), false},
        {SPAN("4f1c0a2b9d8e7f60112233445566778g"), false},
        {SPAN(" 4f1c0a2b9d8e7f60112233445566778"), false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct record_id id = {{0}};
        bool ok = record_id_parse(&id, rows[i].text);
        if (ok != rows[i].ok)
            fail_msg("row %zu gave %d", i, ok);
        if (ok)
            assert_memory_equal(id.hex, ID, RECORD_ID_HEX);
        else
            assert_int_equal(id.hex[0], 0);
    }
    char foreign[RECORD_ID_HEX + 3 + 300];
    struct record_id id;
    memset(foreign, 'a', sizeof(foreign));
    memcpy(foreign + RECORD_ID_HEX, "-1-", 3);
    assert_true(record_id_parse(&id, (struct span){foreign, RECORD_ID_HEX + 3 + 253}));
    assert_false(record_id_parse(&id, (struct span){foreign, RECORD_ID_HEX + 3 + 254}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_ids),
        cmocka_unit_test(test_written),
        cmocka_unit_test(test_long_host_is_cut),
        cmocka_unit_test(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
