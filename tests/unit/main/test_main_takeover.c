/* SPDX-License-Identifier: Apache-2.0 */
/* test_main_takeover.c - what one program hands over to the next: all of it comes back, and what is no description is refused
 * without a descriptor left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "main/main_takeover.h"

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static int listening(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void test_all_of_it_comes_back(void **state)
{
    struct main_inherited sockets[] = {{.fd = listening()},
                                       {.fd = listening(), .is_activated = true}};
    struct main_takeover said = {
        .sockets = {sockets, 2},
        .memory = memfd_create("counters", MFD_CLOEXEC),
        .memory_subjects = 1000,
        .memory_layout = 7,
        .memory_life = 3,
        .orders = {{{1, UINT64_MAX}, {UPSTREAM_ORDER_DRAIN, 12345678901}},
                   {{0, 2}, {UPSTREAM_ORDER_DOWN, 5}}},
        .order_count = 2,
        .boot = "1f2e3d4c",
        .pid = 4711,
        .generation = 12,
    };
    static struct main_takeover heard;
    (void)state;
    for (size_t i = 0; i < sizeof(said.tickets); i++)
        said.tickets[i] = (unsigned char)(i * 37);
    assert_int_equal(main_takeover_read(&heard, main_takeover_write(&said)), ERR_OK);
    assert_int_equal(heard.sockets.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(heard.sockets.list[i].fd, sockets[i].fd);
        assert_int_equal(heard.sockets.list[i].is_activated, sockets[i].is_activated);
        assert_int_equal(fcntl(sockets[i].fd, F_GETFD), FD_CLOEXEC);
    }
    assert_int_equal(heard.memory, said.memory);
    assert_int_equal(heard.memory_subjects, 1000);
    assert_int_equal(heard.memory_layout, 7);
    assert_int_equal(heard.memory_life, 3);
    assert_memory_equal(heard.tickets, said.tickets, sizeof(said.tickets));
    assert_int_equal(heard.order_count, 2);
    assert_true(heard.orders[0].key.lo == said.orders[0].key.lo &&
                heard.orders[0].key.hi == said.orders[0].key.hi);
    assert_int_equal(heard.orders[0].ordered.order, UPSTREAM_ORDER_DRAIN);
    assert_true(heard.orders[0].ordered.at_us == 12345678901);
    assert_int_equal(heard.orders[1].ordered.order, UPSTREAM_ORDER_DOWN);
    assert_string_equal(heard.boot, "1f2e3d4c");
    assert_int_equal(heard.pid, 4711);
    assert_int_equal(heard.generation, 12);
    main_takeover_fini(&heard);
}

static int described(const char *text)
{
    int fd = memfd_create("description", MFD_CLOEXEC);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void test_what_is_no_description(void **state)
{
    static const char *const rows[] = {
        "",
        "\n",
        "from\n",
        "from 1\n",
        "from 1 2\n",
        "from 1 2 abcdefghi\n", /* a boot has eight characters */
        "from -1 2 abcdefgh\n",
        "from 2147483648 2 abcdefgh\n",
        "from 0 2 abcdefgh\n", /* nobody is 0 */
        "from  1 2 abcdefgh\n",
        "fromage 1 2 abcdefgh\n",
        "what 1\nfrom 1 2 abcdefgh\n",
        "socket\nfrom 1 2 abcdefgh\n",
        "socket 999 0\nfrom 1 2 abcdefgh\n", /* not open */
        "socket x 0\nfrom 1 2 abcdefgh\n",
        "memory 999 1 1 1\nfrom 1 2 abcdefgh\n",
        "memory 1 1\nfrom 1 2 abcdefgh\n",
        "tickets 00\nfrom 1 2 abcdefgh\n",
        "order 1 2 0 5\nfrom 1 2 abcdefgh\n", /* no order is none */
        "order 1 2 9 5\nfrom 1 2 abcdefgh\n",
        "order 18446744073709551616 2 1 5\nfrom 1 2 abcdefgh\n",
    };
    static struct main_takeover heard;
    (void)state;
    const unsigned before = open_descriptors();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum err err = main_takeover_read(&heard, described(rows[i]));
        if (err != ERR_INVALID)
            print_error("%s\n", rows[i]);
        assert_int_equal(err, ERR_INVALID);
        main_takeover_fini(&heard);
    }
    assert_int_equal(open_descriptors(), before);
}

static void test_a_line_without_an_end(void **state)
{
    static struct main_takeover heard;
    char *text = malloc(100001);
    (void)state;
    memset(text, '1', 100000);
    memcpy(text, "from 1 2 ", 9);
    text[100000] = '\0';
    assert_int_equal(main_takeover_read(&heard, described(text)), ERR_INVALID);
    main_takeover_fini(&heard);
    free(text);
}

static void test_more_orders_than_there_can_be(void **state)
{
    static struct main_takeover heard;
    static const char line[] = "order 1 2 1 5\n";
    char *text = malloc(sizeof(line) * (UPSTREAM_ORDERS_MAX + 2) + 32), *out = text;
    (void)state;
    for (unsigned i = 0; i <= UPSTREAM_ORDERS_MAX; i++)
        out = stpcpy(out, line);
    strcpy(out, "from 1 2 abcdefgh\n");
    assert_int_equal(main_takeover_read(&heard, described(text)), ERR_INVALID);
    main_takeover_fini(&heard);
    assert_int_equal(main_takeover_read(&heard, described(text + strlen(line))), ERR_OK);
    assert_int_equal(heard.order_count, UPSTREAM_ORDERS_MAX);
    main_takeover_fini(&heard);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_of_it_comes_back),
        cmocka_unit_test(test_what_is_no_description),
        cmocka_unit_test(test_a_line_without_an_end),
        cmocka_unit_test(test_more_orders_than_there_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
