/* SPDX-License-Identifier: Apache-2.0 */
/* test_client_addresses.c - connections per address: exact from any thread, IPv6 by /64, nothing left behind. */
#include "client/client_addresses.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

static struct ip ip_of(const char *text)
{
    struct ip ip;
    assert_true(ip_parse(&ip, span_of(text)));
    return ip;
}

static void test_the_last_one_in_and_the_first_one_out(void **state)
{
    struct client_addresses *addresses = client_addresses_new();
    struct ip one = ip_of("192.0.2.1"), other = ip_of("192.0.2.2");
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_true(client_addresses_enter(addresses, &one, 3));
    assert_false(client_addresses_enter(addresses, &one, 3));
    assert_true(client_addresses_enter(addresses, &other, 1));
    assert_false(client_addresses_enter(addresses, &other, 1));
    client_addresses_leave(addresses, &one);
    assert_true(client_addresses_enter(addresses, &one, 3));
    assert_int_equal(client_addresses_count(addresses, &one), 3);
    /* A lower limit ends nothing and lets nobody in; a higher one lets in. */
    assert_false(client_addresses_enter(addresses, &one, 1));
    client_addresses_leave(addresses, &one);
    assert_false(client_addresses_enter(addresses, &one, 2));
    assert_true(client_addresses_enter(addresses, &one, 3));
    for (unsigned i = 0; i < 3; i++)
        client_addresses_leave(addresses, &one);
    client_addresses_leave(addresses, &other);
    assert_int_equal(client_addresses_count(addresses, &one), 0);
    client_addresses_free(addresses);
}

static void test_who_counts_as_one(void **state)
{
    static const struct {
        const char *a, *b;
        bool is_one;
    } rows[] = {
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"192.0.2.1", "192.0.2.0", false},
        {"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
        {"2001:db8::1", "2001:db8:0:1::1", false},
        {"::1", "::2", true},
        {"::1", "0.0.0.1", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client_addresses *addresses = client_addresses_new();
        struct ip a = ip_of(rows[i].a), b = ip_of(rows[i].b);
        assert_true(client_addresses_enter(addresses, &a, 1));
        if (client_addresses_enter(addresses, &b, 1) == rows[i].is_one)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
        if (!rows[i].is_one)
            client_addresses_leave(addresses, &b);
        client_addresses_leave(addresses, &a);
        client_addresses_free(addresses);
    }
}

/* More addresses than there are lists: they share them, and are found all the same. */
static void test_many_addresses(void **state)
{
    enum {
        MANY = 50000
    };
    struct client_addresses *addresses = client_addresses_new();
    struct ip ip = ip_of("10.0.0.0");
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            ip.bytes[13] = (uint8_t)(i >> 16);
            ip.bytes[14] = (uint8_t)(i >> 8);
            ip.bytes[15] = (uint8_t)i;
            assert_int_equal(client_addresses_count(addresses, &ip), round);
            if (round == 0)
                assert_true(client_addresses_enter(addresses, &ip, 1));
            else
                client_addresses_leave(addresses, &ip);
        }
    }
    client_addresses_free(addresses);
}

#define CROWD_MAX 7u

struct crowd {
    struct client_addresses *addresses;
    atomic_uint inside[4], entered;
};

struct member {
    struct crowd *crowd;
    unsigned seed;
};

static void *crowd_thread(void *arg)
{
    struct member *member = arg;
    struct crowd *crowd = member->crowd;
    uint32_t x = member->seed;
    for (unsigned i = 0; i < 20000; i++) {
        x = x * 1664525u + 1013904223u;
        unsigned which = x >> 30;
        struct ip ip = {{0x20, 1, (uint8_t)which}};
        ip.bytes[15] = (uint8_t)x; /* within the /64 */
        if (!client_addresses_enter(crowd->addresses, &ip, CROWD_MAX))
            continue;
        if (atomic_fetch_add(&crowd->inside[which], 1) >= CROWD_MAX)
            return crowd;
        atomic_fetch_add(&crowd->entered, 1);
        atomic_fetch_sub(&crowd->inside[which], 1);
        client_addresses_leave(crowd->addresses, &ip);
    }
    return NULL;
}

static void test_threads_agree(void **state)
{
    enum {
        THREADS = 8
    };
    struct crowd crowd = {.addresses = client_addresses_new()};
    struct member members[THREADS];
    pthread_t threads[THREADS];
    void *fault;
    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        members[i] = (struct member){&crowd, i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_thread, &members[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &fault), 0);
        assert_null(fault);
    }
    assert_true(atomic_load(&crowd.entered) > 0);
    client_addresses_free(crowd.addresses); /* asserts that nobody is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_one_in_and_the_first_one_out),
        cmocka_unit_test(test_who_counts_as_one),
        cmocka_unit_test(test_many_addresses),
        cmocka_unit_test(test_threads_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
