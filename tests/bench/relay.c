/* SPDX-License-Identifier: Apache-2.0 */
/* relay.c - the floor of scripts/bench: passes bytes between a client and a server and looks at none of them.  One
 * read and one write per side and request, readiness by edge-triggered epoll: what remains is the kernel's own price.
 * Not a proxy: a write that does not go at once ends the pair.
 * usage: relay PORT SERVER_PORT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loopback.h"

#define PAIRS_MAX  65536
#define READ_BYTES 65536

/* The other side of a connection, by descriptor; 0: none. */
static int other[PAIRS_MAX];

static int watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    loopback_no_delay(fd);
    return fd < PAIRS_MAX ? epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) : -1;
}

static void accept_pair(int epoll, int listener, int server_port)
{
    struct sockaddr_in address = loopback_address(server_port);
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client < 0 || server < 0 || connect(server, (struct sockaddr *)&address, sizeof(address)) ||
        watch(epoll, client) || watch(epoll, server)) {
        perror("relay");
        exit(1);
    }
    other[client] = server;
    other[server] = client;
}

static void close_pair(int fd)
{
    close(other[fd]);
    close(fd);
    other[other[fd]] = 0;
    other[fd] = 0;
}

static void pass(int fd, uint32_t events)
{
    static char buf[READ_BYTES];
    ssize_t n;
    do {
        n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n > 0 && send(other[fd], buf, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n) {
            close_pair(fd);
            return;
        }
    } while (n == READ_BYTES);
    if (n == 0 || (n < 0 && errno != EAGAIN) || (events & EPOLLRDHUP))
        close_pair(fd);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: relay PORT SERVER_PORT\n");
        return 2;
    }
    int server_port = (int)strtol(argv[2], NULL, 10);
    int epoll, listener = loopback_listen((int)strtol(argv[1], NULL, 10), 0, &epoll);
    if (listener < 0) {
        fprintf(stderr, "relay: %s\n", strerror(errno));
        return 1;
    }
    struct epoll_event events[256];
    for (;;) {
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_pair(epoll, listener, server_port);
            else if (other[fd])
                pass(fd, events[i].events);
        }
    }
}
