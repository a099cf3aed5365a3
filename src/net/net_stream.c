/* SPDX-License-Identifier: Apache-2.0 */
/* net_stream.c - one TCP or Unix connection under edge-triggered events.  Takes: a descriptor.  Gives:
 * reads and writes that know when it is not worth asking the kernel.  Never buffers, never logs. */
#include "net/net_stream.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base_err.h"
#include "net/net_tls_private.h"

/* EV_CLOSED makes the kernel tell a FIN that arrives together with data: a short read must not clear
 * readability after it, or the end would never be seen.  Errors and hang-ups come as READ|WRITE. */
static void stream_on_event(evutil_socket_t fd, short what, void *arg)
{
    struct net_stream *stream = arg;
    (void)fd;
    loop_touch(stream->loop);
    if (what & EV_READ)
        stream->is_readable = true;
    if (what & EV_WRITE)
        stream->is_writable = true;
    if (what & EV_CLOSED) {
        stream->is_readable = true;
        stream->saw_end = true;
    }
    if (stream->tls != NULL)
        net_tls_on_event(stream, what);
    stream->on_ready(stream, stream->arg);
}

void net_stream_adopt(struct net_stream *stream, struct loop *loop, int fd, net_stream_fn on_ready,
                      void *arg)
{
    stream->loop = loop;
    stream->fd = fd;
    stream->is_readable = true;
    stream->is_writable = true;
    stream->saw_end = false;
    stream->tls = NULL;
    stream->is_connecting = false;
    stream->is_watched = false;
    stream->on_ready = on_ready;
    stream->arg = arg;
}

enum err net_stream_watch(struct net_stream *stream)
{
    if (stream->is_watched)
        return ERR_OK;
    event_assign(&stream->event, stream->loop->base, stream->fd,
                 EV_READ | EV_WRITE | EV_CLOSED | EV_PERSIST | EV_ET, stream_on_event, stream);
    if (event_add(&stream->event, NULL) != 0)
        return ERR_SYSTEM;
    stream->is_watched = true;
    return ERR_OK;
}

enum err net_stream_open(struct net_stream *stream, struct loop *loop, int fd,
                         net_stream_fn on_ready, void *arg)
{
    net_stream_adopt(stream, loop, fd, on_ready, arg);
    stream->is_readable = false;
    enum err err = net_stream_watch(stream);
    if (err != ERR_OK)
        stream->fd = -1;
    return err;
}

enum err net_stream_connect(struct net_stream *stream, struct loop *loop,
                            const struct net_address *address, net_stream_fn on_ready, void *arg)
{
    const int one = 1;
    int error;
    stream->fd = -1;
    int fd = socket(address->sockaddr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_SYSTEM;
    if (!address->is_unix)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (const struct sockaddr *)&address->sockaddr, address->len) != 0 &&
        errno != EINPROGRESS)
        goto fail;
    net_stream_adopt(stream, loop, fd, on_ready, arg);
    stream->is_connecting = true;
    stream->is_readable = false;
    stream->is_writable = false;
    if (net_stream_watch(stream) == ERR_OK)
        return ERR_OK;
    stream->fd = -1;
fail:
    error = errno;
    close(fd);
    errno = error;
    return ERR_SYSTEM;
}

static enum err stream_shaken(struct net_stream *stream)
{
    if (stream->tls == NULL)
        return ERR_OK;
    enum err err = net_tls_shake(stream);
    if (err == ERR_SYSTEM)
        errno = EPROTO;
    return err;
}

/* ERR_OK: it stands, though not its TLS. */
static enum err stream_reached(struct net_stream *stream)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (!stream->is_connecting)
        return ERR_OK;
    if (!stream->is_writable && !stream->saw_end)
        return ERR_AGAIN;
    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error != 0) {
        errno = error;
        return ERR_SYSTEM;
    }
    stream->is_connecting = false;
    return ERR_OK;
}

enum err net_stream_connected(struct net_stream *stream)
{
    enum err err = stream_reached(stream);
    return err == ERR_OK ? stream_shaken(stream) : err;
}

/* libc's recv and send are cancellation points, which in a process with threads costs more than all else that they do
 * (measured: 95 instructions a call), and its syscall() has to move seven arguments by one place.  Sanitizers want to see
 * them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static inline ssize_t stream_recv(int fd, void *buf, size_t len)
{
    return recv(fd, buf, len, 0);
}

static inline ssize_t stream_send(int fd, const void *buf, size_t len, int flags)
{
    return send(fd, buf, len, MSG_NOSIGNAL | flags);
}
#elif defined(__x86_64__)
/* recvfrom and sendto without an address: their last two arguments are 0. */
static inline ssize_t stream_call(long number, int fd, const void *buf, size_t len, long flags)
{
    long result = number;
    register long flags_in __asm__("r10") = flags;
    register long address __asm__("r8") = 0;
    register long address_len __asm__("r9") = 0;
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"((long)fd), "S"(buf), "d"(len), "r"(flags_in), "r"(address),
                       "r"(address_len)
                     : "rcx", "r11", "memory");
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}

static inline ssize_t stream_recv(int fd, void *buf, size_t len)
{
    return stream_call(SYS_recvfrom, fd, buf, len, 0);
}

static inline ssize_t stream_send(int fd, const void *buf, size_t len, int flags)
{
    return stream_call(SYS_sendto, fd, buf, len, MSG_NOSIGNAL | flags);
}
#else
static inline ssize_t stream_recv(int fd, void *buf, size_t len)
{
    return syscall(SYS_recvfrom, fd, buf, len, 0, NULL, NULL);
}

static inline ssize_t stream_send(int fd, const void *buf, size_t len, int flags)
{
    return syscall(SYS_sendto, fd, buf, len, MSG_NOSIGNAL | flags, NULL, 0);
}
#endif

static inline ssize_t stream_read(struct net_stream *stream, void *buf, size_t len)
{
    ssize_t n;
    do
        n = stream_recv(stream->fd, buf, len);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        stream->is_readable = false;
        errno = EAGAIN;
    } else if (n > 0 && (size_t)n < len && !stream->saw_end) {
        stream->is_readable = false;
    }
    return n;
}

ssize_t net_stream_read_raw(struct net_stream *stream, void *buf, size_t len)
{
    if (stream->is_readable)
        return stream_read(stream, buf, len);
    errno = EAGAIN;
    return -1;
}

ssize_t net_stream_read(struct net_stream *stream, void *buf, size_t len)
{
    if (!stream->is_readable) {
        errno = EAGAIN;
        return -1;
    }
    if (stream->tls != NULL)
        return net_tls_read(stream, buf, len);
    return stream_read(stream, buf, len);
}

static ssize_t stream_wrote(struct net_stream *stream, ssize_t n, size_t len)
{
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        stream->is_writable = false;
        errno = EAGAIN;
    } else if (n >= 0 && (size_t)n < len) {
        stream->is_writable = false;
    }
    return n;
}

static inline ssize_t stream_write(struct net_stream *stream, const void *buf, size_t len,
                                   int flags)
{
    ssize_t n;
    do
        n = stream_send(stream->fd, buf, len, flags);
    while (n < 0 && errno == EINTR);
    return stream_wrote(stream, n, len);
}

ssize_t net_stream_write_raw(struct net_stream *stream, const void *buf, size_t len)
{
    if (stream->is_writable)
        return stream_write(stream, buf, len, 0);
    errno = EAGAIN;
    return -1;
}

ssize_t net_stream_write(struct net_stream *stream, const void *buf, size_t len)
{
    if (!stream->is_writable) {
        errno = EAGAIN;
        return -1;
    }
    if (stream->tls != NULL)
        return net_tls_write(stream, buf, len);
    return stream_write(stream, buf, len, 0);
}

ssize_t net_stream_write_last(struct net_stream *stream, const void *buf, size_t len)
{
    if (!stream->is_writable) {
        errno = EAGAIN;
        return -1;
    }
    if (stream->tls != NULL)
        return net_tls_write(stream, buf, len);
    return stream_write(stream, buf, len, MSG_MORE);
}

ssize_t net_stream_writev(struct net_stream *stream, const struct iovec *iov, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                             .msg_iovlen = (size_t)count};
    size_t len = 0;
    ssize_t n;
    if (!stream->is_writable) {
        errno = EAGAIN;
        return -1;
    }
    if (stream->tls != NULL)
        return net_tls_writev(stream, iov, count);
    for (int i = 0; i < count; i++)
        len += iov[i].iov_len;
    do
        n = sendmsg(stream->fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return stream_wrote(stream, n, len);
}

enum err net_stream_preface(struct net_stream *stream, const void *bytes, size_t len)
{
    enum err err = stream_reached(stream);
    if (err != ERR_OK)
        return err;
    ssize_t n = stream_write(stream, bytes, len, MSG_MORE);
    if (n == (ssize_t)len)
        return ERR_OK;
    if (n >= 0 || errno == EAGAIN) /* the buffer of a connection that has just been made */
        errno = ENOBUFS;
    return ERR_SYSTEM;
}

ssize_t net_stream_peek(struct net_stream *stream, void *buf, size_t len)
{
    ssize_t n;
    do
        n = recv(stream->fd, buf, len, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Not inlined: for the byte on its stack every caller would be made to look for an overrun of its own. */
static __attribute__((noinline)) ssize_t stream_peek(struct net_stream *stream)
{
    char byte;
    return net_stream_peek(stream, &byte, 1);
}

bool net_stream_has_input(struct net_stream *stream)
{
    if (stream->tls != NULL)
        return net_tls_has_input(stream);
    bool has_input = stream_peek(stream) >= 0 || errno != EAGAIN;
    if (!has_input)
        stream->is_readable = false;
    return has_input;
}

bool net_stream_is_over(struct net_stream *stream)
{
    if (stream->tls != NULL)
        return net_tls_is_over(stream);
    ssize_t n = stream_peek(stream);
    if (n < 0 && errno == EAGAIN)
        stream->is_readable = false;
    return n == 0 || (n < 0 && errno != EAGAIN);
}

size_t net_stream_unsent(const struct net_stream *stream)
{
    int bytes = 0;
    if (stream->fd < 0 || ioctl(stream->fd, SIOCOUTQ, &bytes) != 0 || bytes < 0)
        return 0;
    return (size_t)bytes;
}

void net_stream_ends(const struct net_stream *stream, struct net_address *own,
                     struct net_address *peer)
{
    struct sockaddr_storage storage;
    struct sockaddr *sockaddr = (struct sockaddr *)&storage;
    socklen_t len = sizeof(storage);
    *own = *peer = (struct net_address){.len = 0};
    if (getsockname(stream->fd, sockaddr, &len) == 0)
        net_address_from(own, sockaddr, len);
    len = sizeof(storage);
    if (getpeername(stream->fd, sockaddr, &len) == 0)
        net_address_from(peer, sockaddr, len);
}

bool net_stream_is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Behind a FIN that was read, recv says 0 whatever follows: only this tells a later reset.  Not SO_ERROR, which also has what
 * routers say of a path that comes back: no reason to end a connection (RFC 1122 section 4.2.3.9). */
bool net_stream_has_failed(const struct net_stream *stream)
{
    struct pollfd asked = {.fd = stream->fd, .events = 0};
    return poll(&asked, 1, 0) == 1 && (asked.revents & (POLLERR | POLLNVAL)) != 0;
}

void net_stream_shutdown_raw(struct net_stream *stream)
{
    if (stream->fd >= 0)
        (void)shutdown(stream->fd, SHUT_WR);
}

void net_stream_shutdown(struct net_stream *stream)
{
    if (stream->tls != NULL)
        net_tls_shutdown(stream);
    else
        net_stream_shutdown_raw(stream);
}

void net_stream_close(struct net_stream *stream)
{
    if (stream->fd < 0)
        return;
    if (stream->tls != NULL)
        net_tls_end(stream, true);
    if (stream->is_watched)
        event_del(&stream->event);
    stream->is_watched = false;
    close(stream->fd);
    stream->fd = -1;
    stream->is_readable = false;
    stream->is_writable = false;
}

void net_stream_abort(struct net_stream *stream)
{
    const struct linger reset = {1, 0};
    if (stream->tls != NULL)
        net_tls_end(stream, false);
    if (stream->fd >= 0)
        (void)setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    net_stream_close(stream);
}
