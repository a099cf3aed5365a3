/* SPDX-License-Identifier: Apache-2.0 */
/* backend.c - the server behind the proxies of the chaos tests, on loopback, in one thread.  Answers 200 with a
 * body of the pattern: /bytes/N has N bytes, /chunks/N the same in chunks, any other path 128 bytes; /status/N has
 * that status, /cut ends the connection without an answer.  Judges the bodies of requests and says so:
 * "X-Received: N", or "X-Received: broken"; X-Server is its own address.  Not a web server.
 * usage: backend [-l ADDRESS] [-i FILE] [-c MS] PORT
 * -i: a line into FILE for each POST whose head has come, with what its X-Id says; it is whole after TERM
 * -c: connections that have had an answer are closed when idle for a random time of up to so many ms */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    bool is_noted;        /* the request in progress, in the list of ids */
    uint64_t close_at_us; /* 0: not idle, or idle for as long as the other side likes */
    char *out;            /* what is still to be sent; NULL when nothing is */
    size_t out_len, out_sent;
};

/* What the command line says.  Owner: main. */
struct plan {
    struct sockaddr_in address;
    FILE *ids;        /* NULL: not wanted */
    uint64_t idle_us; /* 0: connections are kept */
};

static volatile sig_atomic_t is_told_to_stop;

static void on_signal(int number)
{
    (void)number;
    is_told_to_stop = 1;
}

static uint64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void drop(struct link **links, int fd)
{
    free(links[fd]->out);
    free(links[fd]);
    links[fd] = NULL;
    close(fd);
}

static int make_answer(struct link *link, const struct plan *plan)
{
    const char *path = strchr(link->request.head, ' ');
    size_t bytes = BODY_DEFAULT;
    unsigned long status = 200;
    bool is_chunked = false;
    if (!path || strncmp(path, " /cut ", 6) == 0)
        return -1;
    if (strncmp(path, " /bytes/", 8) == 0) {
        bytes = strtoul(path + 8, NULL, 10);
    } else if (strncmp(path, " /chunks/", 9) == 0) {
        bytes = strtoul(path + 9, NULL, 10);
        is_chunked = true;
    } else if (strncmp(path, " /status/", 9) == 0) {
        status = strtoul(path + 9, NULL, 10) % 1000;
    }
    if (bytes > BODY_MAX)
        return -1;
    link->out = malloc(512 + message_body_room(bytes));
    if (!link->out)
        return -1;
    char host[INET_ADDRSTRLEN] = "", received[32] = "broken",
         framing[64] = "Transfer-Encoding: chunked";
    if (link->request.is_pattern)
        snprintf(received, sizeof(received), "%llu", (unsigned long long)link->request.body_seen);
    if (!is_chunked)
        snprintf(framing, sizeof(framing), "Content-Length: %zu", bytes);
    inet_ntop(AF_INET, &plan->address.sin_addr, host, sizeof(host));
    size_t head =
        (size_t)sprintf(link->out,
                        "HTTP/1.1 %03lu Status\r\nServer: chaos\r\nContent-Type: text/plain\r\n"
                        "X-Server: %s\r\nX-Received: %s\r\n%s\r\n\r\n",
                        status, host, received, framing);
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

/* Once for each POST, as soon as its head is there: whatever becomes of it then, it has been delivered. */
static void note_id(struct link *link, FILE *ids)
{
    if (!ids || link->is_noted || link->request.phase == MESSAGE_HEAD)
        return;
    link->is_noted = true;
    if (strncmp(link->request.head, "POST ", 5) == 0)
        fprintf(ids, "%lld\n", (long long)message_number(&link->request, "X-Id"));
}

/* Requests are not pipelined: what follows a request before its answer is sent is an error. */
static int serve(struct link *link, const struct plan *plan)
{
    static char buf[READ_BYTES];
    for (;;) {
        if (link->out) {
            int sent = flush(link);
            if (sent <= 0)
                return sent;
            message_begin(&link->request);
            link->is_noted = false;
            if (plan->idle_us > 0)
                link->close_at_us = clock_us() + 1 + (uint64_t)random() % plan->idle_us;
        }
        ssize_t n = recv(link->fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        link->close_at_us = 0;
        if (n == 0 || message_feed(&link->request, buf, (size_t)n) != (size_t)n)
            return -1;
        note_id(link, plan->ids);
        if (link->request.phase == MESSAGE_BROKEN)
            return -1;
        if (link->request.phase == MESSAGE_DONE && make_answer(link, plan))
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

static void close_idle(struct link **links)
{
    uint64_t now_us = clock_us();
    for (int fd = 0; fd < CONNECTIONS_MAX; fd++)
        if (links[fd] && links[fd]->close_at_us > 0 && now_us >= links[fd]->close_at_us)
            drop(links, fd);
}

static bool read_plan(struct plan *plan, int argc, char **argv)
{
    struct in_addr host = {htonl(INADDR_LOOPBACK)};
    bool is_good = true;
    int option;
    while ((option = getopt(argc, argv, "l:i:c:")) != -1) {
        if (option == 'l')
            is_good = is_good && inet_pton(AF_INET, optarg, &host) == 1;
        else if (option == 'i')
            is_good = is_good && (plan->ids = fopen(optarg, "w"));
        else if (option == 'c')
            plan->idle_us = strtoul(optarg, NULL, 10) * 1000;
        else
            is_good = false;
    }
    int port = optind == argc - 1 ? (int)strtol(argv[optind], NULL, 10) : 0;
    plan->address = loopback_address(port);
    plan->address.sin_addr = host;
    return is_good && port > 0;
}

int main(int argc, char **argv)
{
    static struct link *links[CONNECTIONS_MAX];
    struct plan plan = {0};
    if (!read_plan(&plan, argc, argv)) {
        fprintf(stderr, "usage: backend [-l ADDRESS] [-i FILE] [-c MS] PORT\n");
        return 2;
    }
    int epoll, listener = loopback_listen_at(plan.address, SOCK_NONBLOCK, &epoll);
    if (listener < 0) {
        fprintf(stderr, "backend: port %d: %s\n", ntohs(plan.address.sin_port), strerror(errno));
        return 1;
    }
    signal(SIGTERM, on_signal);
    struct epoll_event events[256];
    while (!is_told_to_stop) {
        int count = epoll_wait(epoll, events, 256, plan.idle_us > 0 ? 1 : -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_all(links, epoll, listener);
            else if (links[fd] && serve(links[fd], &plan))
                drop(links, fd);
        }
        if (plan.idle_us > 0)
            close_idle(links);
    }
    return plan.ids && fclose(plan.ids) ? 1 : 0;
}
