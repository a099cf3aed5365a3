/* SPDX-License-Identifier: Apache-2.0 */
/* streams.c - the server of event streams behind the proxy of scripts/chaos, on loopback, in one thread: each connection that asks
 * gets events in chunks, evenly spaced, for as long as it stays, each with its number and the time at which it was
 * sent.  Or, as "read", the client (streams_read.c).
 * usage: streams serve PORT EVENTS_PER_S | streams read SECONDS PORT COUNT... */
#include "streams.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bench/loopback.h"

#define CONNECTIONS_MAX 4096

/* One connection.  Owner: serve's table, by descriptor. */
struct source {
    bool is_open, is_asked; /* the request is there */
    char tail[4];           /* the last bytes of the request */
    uint64_t due_us;
    uint64_t number; /* of the next event */
};

static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n";

static void drop(struct source *source, int fd)
{
    *source = (struct source){0};
    close(fd);
}

static bool take_request(struct source *source, int fd, uint64_t period_us)
{
    char byte;
    ssize_t n;
    while ((n = recv(fd, &byte, 1, MSG_DONTWAIT)) == 1) {
        memmove(source->tail, source->tail + 1, 3);
        source->tail[3] = byte;
        if (memcmp(source->tail, "\r\n\r\n", 4) != 0)
            continue;
        if (send(fd, head, sizeof(head) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(head) - 1)
            return false;
        source->is_asked = true;
        /* Spread over the period, so that streams do not speak all at once. */
        source->due_us = streams_clock_us() + (uint64_t)fd * 7919 % period_us;
    }
    return n < 0 && errno == EAGAIN;
}

/* Events are small: one that does not fit into the socket is one that nobody reads, and ends its stream. */
static bool send_event(struct source *source, int fd)
{
    char event[96], chunk[128];
    int len =
        snprintf(event, sizeof(event), "data: %llu %llu\n\n", (unsigned long long)source->number++,
                 (unsigned long long)streams_clock_us());
    len = snprintf(chunk, sizeof(chunk), "%x\r\n%s\r\n", (unsigned)len, event);
    return send(fd, chunk, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) == len;
}

static void send_due(struct source *sources, uint64_t period_us)
{
    for (int fd = 0; fd < CONNECTIONS_MAX; fd++) {
        struct source *source = &sources[fd];
        if (!source->is_asked || streams_clock_us() < source->due_us)
            continue;
        source->due_us += period_us;
        if (!send_event(source, fd))
            drop(source, fd);
    }
}

static void take(struct source *sources, int epoll, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd < 0)
        return;
    if (fd >= CONNECTIONS_MAX || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) {
        close(fd);
        return;
    }
    loopback_no_delay(fd);
    sources[fd].is_open = true;
}

static int serve(int port, unsigned events_per_s)
{
    static struct source sources[CONNECTIONS_MAX];
    int epoll, listener = loopback_listen(port, SOCK_NONBLOCK, &epoll);
    if (listener < 0) {
        fprintf(stderr, "streams: port %d: %s\n", port, strerror(errno));
        return 1;
    }
    struct epoll_event events[256];
    uint64_t period_us = 1000000 / events_per_s;
    for (;;) {
        int count = epoll_wait(epoll, events, 256, 1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                take(sources, epoll, listener);
            else if (sources[fd].is_open && !take_request(&sources[fd], fd, period_us))
                drop(&sources[fd], fd);
        }
        send_due(sources, period_us);
    }
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "serve") == 0 && strtoul(argv[3], NULL, 10) > 0)
        return serve((int)strtol(argv[2], NULL, 10), (unsigned)strtoul(argv[3], NULL, 10));
    if (argc >= 5 && argc % 2 == 1 && strcmp(argv[1], "read") == 0)
        return streams_read(argc - 2, argv + 2);
    fprintf(stderr,
            "usage: streams serve PORT EVENTS_PER_S | streams read SECONDS PORT COUNT...\n");
    return 2;
}
