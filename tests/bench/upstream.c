/* SPDX-License-Identifier: Apache-2.0 */
/* upstream.c - the server behind the proxies under measurement: answers every request on a
 * keep-alive connection with the same bytes, from one thread.  Not a web server: it looks only for the
 * end of heads, and is told how many bytes of body stand behind each of them.
 * usage: upstream PORT [BODY_BYTES [REQUEST_BODY_BYTES]] */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loopback.h"

#define CONNECTIONS_MAX 65536
#define READ_BYTES      65536

/* What is known of a connection, by descriptor: how many bytes of CR LF CR LF have been seen in a row. */
static unsigned char seen[CONNECTIONS_MAX];
/* How many bytes of the request's body are still to come. */
static size_t body_left[CONNECTIONS_MAX];
static size_t request_body_bytes;

struct answer {
    char *bytes; /* one response, repeated for pipelined requests */
    size_t len;
};

static int answer_init(struct answer *answer, size_t body_bytes)
{
    char head[512];
    int head_len = snprintf(head, sizeof(head),
                            "HTTP/1.1 200 OK\r\n"
                            "Date: Sun, 22 Nov 2026 07:00:00 GMT\r\n"
                            "Server: bench\r\n"
                            "Content-Type: application/octet-stream\r\n"
                            "Cache-Control: no-store\r\n"
                            "X-Backend: b1\r\n"
                            "Content-Length: %zu\r\n\r\n",
                            body_bytes);
    answer->len = (size_t)head_len + body_bytes;
    answer->bytes = malloc(answer->len);
    if (!answer->bytes)
        return -1;
    memcpy(answer->bytes, head, (size_t)head_len);
    memset(answer->bytes + head_len, 'x', body_bytes);
    return 0;
}

/* How many requests end in these bytes. */
static unsigned count_requests(int fd, const char *data, size_t len)
{
    unsigned state = seen[fd], requests = 0;
    for (size_t i = 0; i < len; i++) {
        if (body_left[fd] > 0) {
            size_t part = len - i < body_left[fd] ? len - i : body_left[fd];
            body_left[fd] -= part;
            i += part - 1;
            requests += body_left[fd] == 0;
            continue;
        }
        if (data[i] == ((state & 1) ? '\n' : '\r'))
            state++;
        else
            state = data[i] == '\r';
        if (state == 4) {
            body_left[fd] = request_body_bytes;
            requests += request_body_bytes == 0;
            state = 0;
        }
    }
    seen[fd] = (unsigned char)state;
    return requests;
}

/* Blocking sends: responses are small against the socket buffer, and the peer reads. */
static int send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return -1;
        }
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

static int serve(int fd, const struct answer *answer)
{
    static char buf[READ_BYTES];
    ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (n == 0)
        return -1;
    for (unsigned left = count_requests(fd, buf, (size_t)n); left > 0; left--)
        if (send_all(fd, answer->bytes, answer->len))
            return -1;
    return 0;
}

static void accept_one(int epoll, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (fd >= CONNECTIONS_MAX) {
        close(fd);
        return;
    }
    seen[fd] = 0;
    body_left[fd] = 0;
    loopback_no_delay(fd);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        close(fd);
}

int main(int argc, char **argv)
{
    int port = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0;
    long body_bytes = argc > 2 ? strtol(argv[2], NULL, 10) : 128;
    request_body_bytes = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    if (port <= 0 || body_bytes < 0) {
        fprintf(stderr, "usage: upstream PORT [BODY_BYTES [REQUEST_BODY_BYTES]]\n");
        return 2;
    }
    struct answer answer;
    int epoll, listener = loopback_listen(port, 0, &epoll);
    if (listener < 0 || answer_init(&answer, (size_t)body_bytes)) {
        fprintf(stderr, "upstream: port %d: %s\n", port, strerror(errno));
        return 1;
    }
    struct epoll_event events[256];
    for (;;) {
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_one(epoll, listener);
            else if (serve(fd, &answer))
                close(fd);
        }
    }
}
