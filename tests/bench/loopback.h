/* SPDX-License-Identifier: Apache-2.0 */
/* loopback.h - sockets of the programs under tests/bench and tests/chaos, which know no other place than 127.0.0.1. */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static inline struct sockaddr_in loopback_address(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((unsigned short)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline void loopback_no_delay(int fd)
{
    const int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* A listening socket in an epoll of its own; flags: of socket().  -1 with errno; they end with the process. */
static inline int loopback_listen_at(struct sockaddr_in address, int flags, int *epoll)
{
    const int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    *epoll = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0 || *epoll < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    bool is_good = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
                   listen(fd, 4096) == 0 && epoll_ctl(*epoll, EPOLL_CTL_ADD, fd, &event) == 0;
    return is_good ? fd : -1;
}

static inline int loopback_listen(int port, int flags, int *epoll)
{
    return loopback_listen_at(loopback_address(port), flags, epoll);
}

#endif
