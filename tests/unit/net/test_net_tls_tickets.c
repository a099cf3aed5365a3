/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_tls_tickets.c - keys of sessions: which one seals, which ones open, and that children see the same. */
#include "net/net_tls_tickets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_rotation(void **state)
{
    struct net_tls_tickets *tickets = net_tls_tickets_new();
    struct net_tls_ticket_key first, second, third, found;
    bool is_newest = false;
    (void)state;
    assert_non_null(tickets);
    assert_true(net_tls_tickets_newest(tickets, &first));
    assert_true(net_tls_tickets_find(tickets, first.name, &found, &is_newest));
    assert_true(is_newest);
    assert_memory_equal(&found, &first, sizeof(found));

    assert_true(net_tls_tickets_rotate(tickets));
    assert_true(net_tls_tickets_newest(tickets, &second));
    assert_memory_not_equal(second.name, first.name, sizeof(first.name));
    assert_memory_not_equal(second.cipher, first.cipher, sizeof(first.cipher));
    assert_memory_not_equal(second.mac, first.mac, sizeof(first.mac));
    assert_true(net_tls_tickets_find(tickets, first.name, &found, &is_newest));
    assert_false(is_newest);
    assert_memory_equal(&found, &first, sizeof(found));

    assert_true(net_tls_tickets_rotate(tickets));
    assert_true(net_tls_tickets_newest(tickets, &third));
    assert_false(net_tls_tickets_find(tickets, first.name, &found, &is_newest));
    assert_true(net_tls_tickets_find(tickets, second.name, &found, &is_newest));
    assert_false(is_newest);
    net_tls_tickets_free(tickets);
}

/* Another process goes on with them, and makes its own from then on. */
static void test_copied(void **state)
{
    struct net_tls_tickets *from = net_tls_tickets_new(), *to = net_tls_tickets_new();
    unsigned char bytes[NET_TLS_TICKETS_BYTES] = {0};
    struct net_tls_ticket_key first, second, found;
    bool is_newest;
    (void)state;
    assert_true(net_tls_tickets_newest(from, &first));
    assert_true(net_tls_tickets_rotate(from));
    assert_true(net_tls_tickets_newest(from, &second));
    assert_false(net_tls_tickets_import(to, bytes)); /* zeroes are no keys */
    assert_true(net_tls_tickets_export(from, bytes));
    assert_true(net_tls_tickets_import(to, bytes));
    assert_true(net_tls_tickets_newest(to, &found));
    assert_memory_equal(&found, &second, sizeof(found));
    assert_true(net_tls_tickets_find(to, first.name, &found, &is_newest));
    assert_false(is_newest);
    assert_memory_equal(&found, &first, sizeof(found));
    assert_true(net_tls_tickets_rotate(to));
    assert_true(net_tls_tickets_newest(from, &found));
    assert_memory_equal(&found, &second, sizeof(found));
    net_tls_tickets_free(from);
    net_tls_tickets_free(to);
}

/* Of the very first key's predecessor nothing is known to anybody either. */
static void test_no_key_of_zeroes(void **state)
{
    static const struct net_tls_ticket_key zeroes;
    struct net_tls_tickets *tickets = net_tls_tickets_new();
    struct net_tls_ticket_key found;
    bool is_newest;
    (void)state;
    assert_false(net_tls_tickets_find(tickets, zeroes.name, &found, &is_newest));
    net_tls_tickets_free(tickets);
}

static void test_children_see_what_the_parent_makes(void **state)
{
    struct net_tls_tickets *tickets = net_tls_tickets_new();
    struct net_tls_ticket_key key;
    int go[2], said[2], status;
    char byte = 0;
    (void)state;
    assert_return_code(pipe(go), 0);
    assert_return_code(pipe(said), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool is_read = read(go[0], &byte, 1) == 1 && net_tls_tickets_newest(tickets, &key);
        _exit(is_read && write(said[1], &key, sizeof(key)) == (ssize_t)sizeof(key) ? 0 : 1);
    }
    assert_true(net_tls_tickets_rotate(tickets));
    assert_int_equal(write(go[1], &byte, 1), 1);
    struct net_tls_ticket_key seen, newest;
    assert_int_equal(read(said[0], &seen, sizeof(seen)), sizeof(seen));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(net_tls_tickets_newest(tickets, &newest));
    assert_memory_equal(&seen, &newest, sizeof(seen));
    close(go[0]);
    close(go[1]);
    close(said[0]);
    close(said[1]);
    net_tls_tickets_free(tickets);
}

struct readers {
    struct net_tls_tickets *tickets;
    atomic_bool is_over;
    atomic_uint torn;
};

/* A key that is read while another is made is one of the two, whole: its parts are never of different keys.  The
 * reader finds by name what it just read; parts that do not belong together would not be found, or differ. */
static void *reader(void *arg)
{
    struct readers *readers = arg;
    struct net_tls_ticket_key key, found;
    bool is_newest;
    while (!atomic_load(&readers->is_over)) {
        if (!net_tls_tickets_newest(readers->tickets, &key))
            continue;
        if (net_tls_tickets_find(readers->tickets, key.name, &found, &is_newest) &&
            memcmp(&key, &found, sizeof(key)) != 0)
            atomic_fetch_add(&readers->torn, 1);
    }
    return NULL;
}

static void test_no_key_is_torn(void **state)
{
    struct readers readers = {.tickets = net_tls_tickets_new()};
    pthread_t threads[2];
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, &readers), 0);
    for (int i = 0; i < 20000; i++)
        assert_true(net_tls_tickets_rotate(readers.tickets));
    atomic_store(&readers.is_over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&readers.torn), 0);
    net_tls_tickets_free(readers.tickets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_copied),
        cmocka_unit_test(test_no_key_of_zeroes),
        cmocka_unit_test(test_children_see_what_the_parent_makes),
        cmocka_unit_test(test_no_key_is_torn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
