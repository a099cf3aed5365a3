/* SPDX-License-Identifier: Apache-2.0 */
/* test_main_channel.c - messages with descriptors: whole, cut, many, and from a peer that sends nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "main/main_channel.h"

struct fixture {
    int fds[2];
    char *buffer;
};

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_int_equal(main_channel_open(f->fds), ERR_OK);
    f->buffer = malloc(MAIN_CHANNEL_BUFFER_BYTES);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 2; i++)
        if (f->fds[i] >= 0)
            close(f->fds[i]);
    free(f->buffer);
    free(f);
    return 0;
}

static void test_there_and_back(void **state)
{
    struct fixture *f = *state;
    struct main_message got;
    assert_int_equal(main_channel_receive(f->fds[1], &got, f->buffer), ERR_AGAIN);
    const struct main_message sent[] = {
        {.kind = MAIN_MESSAGE_READY},
        {.kind = MAIN_MESSAGE_REFUSED, .ticket = 7, .value = 9, .text = SPAN("why\0not")},
        {.kind = MAIN_MESSAGE_STOP, .ticket = UINT32_MAX, .value = UINT32_MAX},
    };
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(main_channel_send(f->fds[0], &sent[i]), ERR_OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(main_channel_receive(f->fds[1], &got, f->buffer), ERR_OK);
        assert_int_equal(got.kind, sent[i].kind);
        assert_int_equal(got.ticket, sent[i].ticket);
        assert_int_equal(got.value, sent[i].value);
        assert_true(span_eq(got.text, sent[i].text));
        assert_int_equal(got.fd_count, 0);
    }
    close(f->fds[0]);
    f->fds[0] = -1;
    assert_int_equal(main_channel_receive(f->fds[1], &got, f->buffer), ERR_CLOSED);
    assert_int_equal(main_channel_send(f->fds[1], &sent[0]), ERR_CLOSED);
}

static void test_long_text_is_cut(void **state)
{
    struct fixture *f = *state;
    char *text = malloc(1 << 20);
    struct main_message got, sent = {.kind = MAIN_MESSAGE_REFUSED, .text = {text, (1 << 20)}};
    for (unsigned i = 0; i < 1 << 20; i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    for (unsigned odd = 0; odd < 2; odd++) {
        sent.text.ptr = text + odd;
        sent.text.len = (1 << 20) - odd;
        assert_int_equal(main_channel_send(f->fds[0], &sent), ERR_OK);
        assert_int_equal(main_channel_receive(f->fds[1], &got, f->buffer), ERR_OK);
        assert_in_range(got.text.len, MAIN_CHANNEL_TEXT_MAX - 3, MAIN_CHANNEL_TEXT_MAX);
        /* never in the middle of a character */
        assert_int_equal((unsigned char)got.text.ptr[got.text.len - 1], 0xa4);
    }
    free(text);
}

static void test_descriptors(void **state)
{
    struct fixture *f = *state;
    struct main_message got, sent = {.kind = MAIN_MESSAGE_SOCKETS};
    unsigned before = open_descriptors();
    for (unsigned i = 0; i < MAIN_CHANNEL_FDS_MAX; i++)
        sent.fds[sent.fd_count++] = dup(0);
    assert_int_equal(main_channel_send(f->fds[0], &sent), ERR_OK);
    assert_int_equal(main_channel_receive(f->fds[1], &got, f->buffer), ERR_OK);
    assert_int_equal(got.fd_count, MAIN_CHANNEL_FDS_MAX);
    assert_int_equal(open_descriptors(), before + 2 * MAIN_CHANNEL_FDS_MAX);
    for (unsigned i = 0; i < MAIN_CHANNEL_FDS_MAX; i++) {
        close(sent.fds[i]);
        close(got.fds[i]);
    }
    assert_int_equal(open_descriptors(), before);
}

static void test_a_peer_that_does_not_read(void **state)
{
    struct fixture *f = *state;
    const struct main_message sent = {.kind = MAIN_MESSAGE_REOPEN};
    enum err err = ERR_OK;
    for (unsigned i = 0; i < 1000000 && err == ERR_OK; i++)
        err = main_channel_send(f->fds[0], &sent);
    assert_int_equal(err, ERR_AGAIN);
}

static void test_nonsense(void **state)
{
    struct fixture *f = *state;
    struct main_message got;
    unsigned before = open_descriptors();
    uint32_t words[8] = {MAIN_MESSAGE_APPLY, 0, 0, 1000};
    static const size_t sizes[] = {1, 15, 16, 20, 32};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        union {
            struct cmsghdr head;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec iov = {words, sizes[i]};
        struct msghdr header = {.msg_iov = &iov,
                                .msg_iovlen = 1,
                                .msg_control = control.bytes,
                                .msg_controllen = sizeof(control.bytes)};
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        assert_true(sendmsg(f->fds[0], &header, 0) > 0);
        assert_int_equal(main_channel_receive(f->fds[1], &got, f->buffer), ERR_INVALID);
        assert_int_equal(got.fd_count, 0);
    }
    assert_int_equal(open_descriptors(), before);
}

/* Two programs of different versions say these to each other in an upgrade. */
static void test_numbers_of_a_takeover(void **state)
{
    (void)state;
    assert_int_equal(MAIN_MESSAGE_TAKEOVER_READY, 1000);
    assert_int_equal(MAIN_MESSAGE_TAKEOVER_FAULT, 1001);
    assert_int_equal(MAIN_MESSAGE_TAKEOVER_DONE, 1002);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_text_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_peer_that_does_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
        cmocka_unit_test(test_numbers_of_a_takeover),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
