/* SPDX-License-Identifier: Apache-2.0 */
/* main_channel.c - see main_channel.h.  Takes: messages.  Gives: messages, whole or not at all. */
#include "main/main_channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHANNEL_TRIES    20
#define CHANNEL_PAUSE_NS 10000000

struct channel_head {
    uint32_t kind, ticket, value, text_len;
};

union channel_control {
    struct cmsghdr head; /* for its alignment */
    char bytes[CMSG_SPACE(sizeof(int) * MAIN_CHANNEL_FDS_MAX)];
};

enum err main_channel_open(int fds[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
        return ERR_SYSTEM;
    return ERR_OK;
}

/* The text becomes JSON: never cut it in the middle of a UTF-8 character. */
static uint32_t channel_cut(struct span text)
{
    uint32_t len = MAIN_CHANNEL_TEXT_MAX;
    while (len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
        len--;
    return len;
}

/* The kernel has no memory at this moment.  An order or an answer that is lost leaves the other side waiting, and
 * neither side serves traffic on this thread: so it waits a little. */
static bool channel_may_try_again(int error, unsigned *tries)
{
    const struct timespec pause = {0, CHANNEL_PAUSE_NS};
    if ((error != ENOBUFS && error != ENOMEM) || ++*tries == CHANNEL_TRIES)
        return false;
    nanosleep(&pause, NULL);
    return true;
}

enum err main_channel_send(int fd, const struct main_message *message)
{
    struct channel_head head = {(uint32_t)message->kind, message->ticket, message->value,
                                (uint32_t)message->text.len};
    union channel_control control;
    if (message->text.len > MAIN_CHANNEL_TEXT_MAX)
        head.text_len = channel_cut(message->text);
    struct iovec iov[] = {{&head, sizeof(head)},
                          {(void *)(uintptr_t)message->text.ptr, head.text_len}};
    struct msghdr header = {.msg_iov = iov, .msg_iovlen = head.text_len > 0 ? 2 : 1};
    ssize_t n;
    if (message->fd_count > 0) {
        size_t bytes = message->fd_count * sizeof(int);
        memset(&control, 0, sizeof(control));
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(bytes);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(cmsg), message->fds, bytes);
    }
    unsigned tries = 0;
    do
        n = sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && (errno == EINTR || channel_may_try_again(errno, &tries)));
    if (n >= 0)
        return ERR_OK;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return ERR_AGAIN;
    return errno == EPIPE || errno == ECONNRESET ? ERR_CLOSED : ERR_SYSTEM;
}

static void channel_take_fds(struct msghdr *header, struct main_message *message)
{
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg != NULL;
         cmsg = CMSG_NXTHDR(header, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
            if (message->fd_count < MAIN_CHANNEL_FDS_MAX)
                message->fds[message->fd_count++] = fd;
            else
                close(fd);
        }
    }
}

enum err main_channel_receive(int fd, struct main_message *message, char *buffer)
{
    struct channel_head head;
    union channel_control control;
    struct iovec iov[] = {{&head, sizeof(head)}, {buffer, MAIN_CHANNEL_BUFFER_BYTES}};
    struct msghdr header = {.msg_iov = iov,
                            .msg_iovlen = 2,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    ssize_t n;
    message->fd_count = 0;
    do
        n = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == ENOMEM || errno == ENOBUFS)) /* the message is still there */
        return ERR_AGAIN;
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_AGAIN : ERR_CLOSED;
    if (n == 0)
        return ERR_CLOSED;
    channel_take_fds(&header, message);
    if ((size_t)n < sizeof(head) || (size_t)n - sizeof(head) != head.text_len ||
        (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        while (message->fd_count > 0)
            close(message->fds[--message->fd_count]);
        return ERR_INVALID;
    }
    message->kind = (enum main_message_kind)head.kind;
    message->ticket = head.ticket;
    message->value = head.value;
    message->text = (struct span){buffer, head.text_len};
    return ERR_OK;
}
