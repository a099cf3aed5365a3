/* SPDX-License-Identifier: Apache-2.0 */
/* test_main_farewell - what those hear who wait for the end, and one more than may wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "main/main_exit.h"
#include "main/main_farewell.h"

/* Gives the end of somebody who waits. */
static int wait_with(struct main_farewell *farewell)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    main_farewell_add(farewell, fds[0]);
    return fds[1];
}

/* A whole response, and then the end of the connection. */
static void assert_hears(int fd, const char *status, const char *body)
{
    char text[2048], length[64];
    ssize_t n = read(fd, text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_int_equal(strncmp(text, status, strlen(status)), 0);
    snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n", strlen(body));
    assert_non_null(strstr(text, length));
    const char *end = strstr(text, "\r\n\r\n");
    assert_non_null(end);
    assert_string_equal(end + 4, body);
    assert_int_equal(read(fd, text, sizeof(text)), 0);
    close(fd);
}

#define PROBLEM(title, status, detail, unfinished)                                                 \
    "{\"type\":\"about:blank\",\"title\":\"" title "\",\"status\":" status ",\"detail\":\"" detail \
    "\",\"unfinished\":" unfinished "}"

static void test_say(void **state)
{
    static const struct {
        int exit_code;
        bool is_cut;
        uint32_t unfinished;
        const char *status, *body;
    } rows[] = {
        {MAIN_EXIT_OK, false, 0, "HTTP/1.1 200 OK\r\n", "{\"drained\":true,\"unfinished\":0}"},
        {MAIN_EXIT_OK, true, 0, "HTTP/1.1 504 Gateway Timeout\r\n",
         PROBLEM("Gateway Timeout", "504", "a second order to stop has ended it at once", "0")},
        {MAIN_EXIT_DEADLINE, false, 7, "HTTP/1.1 504 Gateway Timeout\r\n",
         PROBLEM("Gateway Timeout", "504",
                 "the deadline passed: 7 connections with unfinished requests were ended", "7")},
        {MAIN_EXIT_DEADLINE, false, 0, "HTTP/1.1 504 Gateway Timeout\r\n",
         PROBLEM("Gateway Timeout", "504",
                 "the deadline passed and the serving process did not end: it was killed", "0")},
        {MAIN_EXIT_INTERNAL, false, 0, "HTTP/1.1 500 Internal Server Error\r\n",
         PROBLEM("Internal Server Error", "500",
                 "the service failed while it ended: see the error log", "0")},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct main_farewell farewell = {.unfinished = rows[i].unfinished};
        int first = wait_with(&farewell), second = wait_with(&farewell);
        main_farewell_say(&farewell, rows[i].exit_code, rows[i].is_cut);
        assert_hears(first, rows[i].status, rows[i].body);
        assert_hears(second, rows[i].status, rows[i].body);
        assert_int_equal(farewell.count, 0);
    }
}

static void test_too_many(void **state)
{
    struct main_farewell farewell = {0};
    int fds[MAIN_FAREWELL_MAX];
    (void)state;
    for (unsigned i = 0; i < MAIN_FAREWELL_MAX; i++)
        fds[i] = wait_with(&farewell);
    assert_hears(wait_with(&farewell), "HTTP/1.1 409 Conflict\r\n",
                 PROBLEM("Conflict", "409",
                         "the service is draining, and 16 wait for its end already", "0"));
    close(fds[0]); /* gone in the meantime */
    main_farewell_say(&farewell, MAIN_EXIT_OK, false);
    for (unsigned i = 1; i < MAIN_FAREWELL_MAX; i++)
        assert_hears(fds[i], "HTTP/1.1 200 OK\r\n", "{\"drained\":true,\"unfinished\":0}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_say), cmocka_unit_test(test_too_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
