/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_lookup.c - many names at once: each has its own answer, and nobody waits longer than was said.  Numbers are names that
 * need no server. */
#include "net/net_lookup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#define MANY           100 /* more than there are threads */
#define LABEL_TOO_LONG 70  /* a name server is not asked */
#define PATIENCE_US    ((uint64_t)60 * 1000000)

static struct net_lookup lookups[MANY];
static char hosts[MANY][LABEL_TOO_LONG + 1];

static void ask_for_many(uint64_t patience_us)
{
    for (unsigned i = 0; i < MANY; i++) {
        const int len = i % 10 == 9
                            ? snprintf(hosts[i], sizeof(hosts[i]), "%0*ux", LABEL_TOO_LONG - 1, i)
                            : snprintf(hosts[i], sizeof(hosts[i]), "127.0.1.%u", i);
        lookups[i] = (struct net_lookup){
            .host = {hosts[i], (size_t)len}, .port = (uint16_t)(1000 + i), .count = 7};
    }
    net_lookup_all(lookups, MANY, patience_us);
}

static void test_each_has_its_own_answer(void **state)
{
    (void)state;
    ask_for_many(PATIENCE_US);
    for (unsigned i = 0; i < MANY; i++) {
        char text[NET_ADDRESS_TEXT_MAX], wanted[64];
        assert_int_equal(lookups[i].count, i % 10 == 9 ? 0 : 1);
        if (lookups[i].count == 0) {
            assert_int_not_equal(lookups[i].result, 0);
            continue;
        }
        snprintf(wanted, sizeof(wanted), "127.0.1.%u:%u", i, 1000 + i);
        text[net_address_format(text, &lookups[i].addresses[0])] = '\0';
        assert_string_equal(text, wanted);
        assert_ptr_equal(lookups[i].host.ptr, hosts[i]);
    }
}

/* Whatever is done by then is an answer; the rest has none, and nothing of it is touched afterwards. */
static void test_without_patience_what_is_missing_is_said(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        ask_for_many(0);
        for (unsigned i = 0; i < MANY; i++)
            assert_true(lookups[i].count == 1 || lookups[i].result != 0);
    }
}

static void test_nothing_is_asked_for_nothing(void **state)
{
    (void)state;
    net_lookup_all(NULL, 0, PATIENCE_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_has_its_own_answer),
        cmocka_unit_test(test_without_patience_what_is_missing_is_said),
        cmocka_unit_test(test_nothing_is_asked_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
