/* SPDX-License-Identifier: Apache-2.0 */
/* test_quota_tier.c - members are found, others are not, however full the table is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quota/quota_tier.h"

#define MEMBERS 100000

static void subject_of(uint8_t subject[16], uint32_t number)
{
    memset(subject, 0, 16);
    memcpy(subject, &number, sizeof(number));
}

static struct quota_tiers tiers_of(const struct quota_tier *rows, uint32_t count)
{
    uint32_t room = quota_members_room(count);
    struct quota_tiers tiers = {
        .tiers = rows,
        .count = 2,
        .members = calloc(room, sizeof(struct quota_member)),
        .mask = room - 1,
    };
    assert_non_null(tiers.members);
    return tiers;
}

static void test_room(void **state)
{
    (void)state;
    static const uint32_t rows[][2] = {{0, 2}, {1, 2},  {2, 4},          {3, 8},
                                       {4, 8}, {5, 16}, {100000, 262144}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(quota_members_room(rows[i][0]), rows[i][1]);
}

static void test_many(void **state)
{
    (void)state;
    static const struct quota_tier rows[] = {{{"free", 4}, NULL}, {{"pro", 3}, NULL}};
    struct quota_tiers tiers = tiers_of(rows, MEMBERS);
    uint8_t subject[16];
    for (uint32_t i = 0; i < MEMBERS; i++) {
        subject_of(subject, i * 2654435761u);
        assert_int_equal(quota_members_add(&tiers, subject, i % 2), -1);
    }
    for (uint32_t i = 0; i < MEMBERS; i++) {
        subject_of(subject, i * 2654435761u);
        assert_ptr_equal(quota_tiers_find(&tiers, subject), &rows[i % 2]);
        assert_int_equal(quota_members_add(&tiers, subject, 0), i % 2);
        subject[15] = 1; /* begins the same */
        assert_null(quota_tiers_find(&tiers, subject));
    }
    free(tiers.members);
}

/* All fall on one place, at the table's end: the search goes round. */
static void test_collisions(void **state)
{
    (void)state;
    static const struct quota_tier rows[] = {{{"free", 4}, NULL}, {{"pro", 3}, NULL}};
    struct quota_tiers tiers = tiers_of(rows, 8);
    uint8_t subject[16];
    for (uint32_t i = 0; i < 8; i++) {
        subject_of(subject, 15);
        subject[8] = (uint8_t)i;
        assert_null(quota_tiers_find(&tiers, subject));
        assert_int_equal(quota_members_add(&tiers, subject, 1), -1);
    }
    for (uint32_t i = 0; i < 8; i++) {
        subject[8] = (uint8_t)i;
        assert_ptr_equal(quota_tiers_find(&tiers, subject), &rows[1]);
    }
    free(tiers.members);
}

static void test_nobody(void **state)
{
    (void)state;
    struct quota_tiers tiers = {.count = 1};
    uint8_t subject[16] = {0};
    assert_null(quota_tiers_find(&tiers, subject));
    tiers = tiers_of(NULL, 0);
    assert_null(quota_tiers_find(&tiers, subject));
    free(tiers.members);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_collisions),
        cmocka_unit_test(test_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
