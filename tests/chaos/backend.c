/* SPDX-License-Identifier: Apache-2.0 */
/* backend.c - the server behind the proxies of the chaos tests, on loopback, in one thread.  Answers 200 with a
 * body of the pattern: /bytes/N has N bytes, /chunks/N the same in chunks, any other path 128 bytes.  Judges
 * the bodies of requests and says so: "X-Received: N", or "X-Received: broken".  Not a web server.
 * usage: backend PORT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bench/loopback.h"
#include "message.h"

#define CONNECTIONS_MAX 16384
#define READ_BYTES      65536
#define BODY_MAX        ((size_t)16 << 20)
#define BODY_DEFAULT    128

/* One connection.  Owner: main's table, by descriptor.  Freed by: drop. */
struct link {
    int fd;
    struct message request;
    char *out; /* what is still to be sent; NULL when nothing is */
    size_t out_len, out_sent;
};

static void drop(struct link **links, int fd)
{
    free(links[fd]->out);
    free(links[fd]);
    links[fd] = NULL;
    close(fd);
}

static int make_answer(struct link *link)
{
    const char *path = strchr(link->request.head, ' ');
    size_t bytes = BODY_DEFAULT;
    bool is_chunked = false;
    if (!path)
        return -1;
    if (strncmp(path, " /bytes/", 8) == 0) {
        bytes = strtoul(path + 8, NULL, 10);
    } else if (strncmp(path, " /chunks/", 9) == 0) {
        bytes = strtoul(path + 9, NULL, 10);
        is_chunked = true;
    }
    if (bytes > BODY_MAX)
        return -1;
    link->out = malloc(512 + message_body_room(bytes));
    if (!link->out)
        return -1;
    char received[32] = "broken", framing[64] = "Transfer-Encoding: chunked";
    if (link->request.is_pattern)
        snprintf(received, sizeof(received), "%llu", (unsigned long long)link->request.body_seen);
    if (!is_chunked)
        snprintf(framing, sizeof(framing), "Content-Length: %zu", bytes);
    size_t head = (size_t)sprintf(link->out,
                                  "HTTP/1.1 200 OK\r\nServer: chaos\r\nContent-Type: text/plain\r\n"
                                  "X-Received: %s\r\n%s\r\n\r\n",
                                  received, framing);
    link->out_len = head + message_body_write(link->out + head, bytes, is_chunked);
    link->out_sent = 0;
    return 0;
}

/* 1: all sent; 0: wait; -1: gone. */
static int flush(struct link *link)
{
    while (link->out_sent < link->out_len) {
        ssize_t n = send(link->fd, link->out + link->out_sent, link->out_len - link->out_sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        link->out_sent += (size_t)n;
    }
    free(link->out);
    link->out = NULL;
    return 1;
}

/* Requests are not pipelined: what follows a request before its answer is sent is an error. */
static int serve(struct link *link)
{
    static char buf[READ_BYTES];
    for (;;) {
        if (link->out) {
            int sent = flush(link);
            if (sent <= 0)
                return sent;
            message_begin(&link->request);
        }
        ssize_t n = recv(link->fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        if (n == 0 || message_feed(&link->request, buf, (size_t)n) != (size_t)n)
            return -1;
        if (link->request.phase == MESSAGE_BROKEN)
            return -1;
        if (link->request.phase == MESSAGE_DONE && make_answer(link))
            return -1;
    }
}

static void accept_all(struct link **links, int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        struct link *link = fd < CONNECTIONS_MAX ? calloc(1, sizeof(*link)) : NULL;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
        if (!link || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) {
            free(link);
            close(fd);
            continue;
        }
        link->fd = fd;
        message_begin(&link->request);
        loopback_no_delay(fd);
        links[fd] = link;
    }
}

int main(int argc, char **argv)
{
    static struct link *links[CONNECTIONS_MAX];
    int port = argc == 2 ? (int)strtol(argv[1], NULL, 10) : 0;
    if (port <= 0) {
        fprintf(stderr, "usage: backend PORT\n");
        return 2;
    }
    int epoll, listener = loopback_listen(port, SOCK_NONBLOCK, &epoll);
    if (listener < 0) {
        fprintf(stderr, "backend: port %d: %s\n", port, strerror(errno));
        return 1;
    }
    struct epoll_event events[256];
    for (;;) {
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_all(links, epoll, listener);
            else if (links[fd] && serve(links[fd]))
                drop(links, fd);
        }
    }
}
