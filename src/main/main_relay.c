/* SPDX-License-Identifier: Apache-2.0 */
/* main_relay.c - see main_relay.h.  One request a connection.  A browser opens connections in advance and says nothing on them, so
 * several are held at a time and the one that is silent longest makes room. */
#include "main/main_relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin_client.h"
#include "base/base_clock.h"
#include "http/http_write.h"

#define RELAY_CONNECTIONS_MAX 16
#define RELAY_DEADLINE_US     UINT64_C(10000000)
#define RELAY_ASK_US          UINT64_C(3000000)
#define RELAY_BACKLOG         16

/* Owner: struct relay.  Freed by: conn_close.  Thread: the only one. */
struct relay_conn {
    int fd;
    uint64_t until_us;
    size_t len, scanned;
    char in[ADMIN_RELAY_HEAD_MAX];
    char *out; /* malloc'ed; NULL: the head is still read */
    size_t out_len, out_done;
};

struct relay {
    const struct admin_relay *rules;
    const char *address;
    unsigned count;
    struct relay_conn *conns[RELAY_CONNECTIONS_MAX]; /* oldest first */
};

int main_relay_listen(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof(at);
    const int on = 1;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        bind(fd, (const struct sockaddr *)&at, len) == 0 && listen(fd, RELAY_BACKLOG) == 0 &&
        getsockname(fd, (struct sockaddr *)&at, &len) == 0) {
        *port = ntohs(at.sin_port);
        return fd;
    }
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void conn_close(struct relay *relay, unsigned index)
{
    struct relay_conn *conn = relay->conns[index];
    close(conn->fd);
    free(conn->out);
    free(conn);
    memmove(relay->conns + index, relay->conns + index + 1,
            (--relay->count - index) * sizeof(relay->conns[0]));
}

/* ---- answers ---- */

static void conn_say(struct relay_conn *conn, unsigned status, const char *text, bool is_head)
{
    const struct span reason = http_status_reason(status);
    const int len = asprintf(&conn->out,
                             "HTTP/1.1 %u %.*s\r\nContent-Type: text/plain; charset=UTF-8\r\n"
                             "Content-Length: %zu\r\nCache-Control: no-store\r\n"
                             "X-Content-Type-Options: nosniff\r\n%sConnection: close\r\n\r\n%s",
                             status, (int)reason.len, reason.ptr, strlen(text),
                             status == 405 ? "Allow: GET, HEAD\r\n" : "", is_head ? "" : text);
    if (len < 0)
        conn->out = NULL;
    conn->out_len = len < 0 ? 0 : (size_t)len;
}

/* The instance's answer, head and body, as it came. */
static void conn_ask(const struct relay *relay, struct relay_conn *conn, const char *path,
                     bool is_head)
{
    struct admin_client_reply reply;
    char why[512], text[sizeof(why) + 2];
    if (admin_client_ask(&reply, relay->address, "GET", path, RELAY_ASK_US, why) !=
        ADMIN_CLIENT_OK) {
        snprintf(text, sizeof(text), "%s\n", why);
        conn_say(conn, 503, text, is_head);
        return;
    }
    conn->out = reply.bytes;
    conn->out_len = (size_t)(reply.body.ptr - reply.bytes) + (is_head ? 0 : reply.body.len);
}

static void conn_answer(const struct relay *relay, struct relay_conn *conn,
                        enum admin_relay_verdict verdict, bool is_head)
{
    const char *path = admin_relay_path(verdict);
    if (path == NULL)
        conn_say(conn, admin_relay_status(verdict), admin_relay_sentence(verdict), is_head);
    else
        conn_ask(relay, conn, path, is_head);
    conn->until_us = clock_mono_us() + RELAY_DEADLINE_US;
}

/* ---- bytes ---- */

/* The two return false when the connection is done with. */
static bool conn_read(const struct relay *relay, struct relay_conn *conn)
{
    bool is_head;
    const ssize_t n = recv(conn->fd, conn->in + conn->len, sizeof(conn->in) - conn->len, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        return false;
    conn->len += (size_t)n;
    const enum admin_relay_verdict verdict =
        admin_relay_judge(relay->rules, conn->in, conn->len, &conn->scanned, &is_head);
    if (verdict == ADMIN_RELAY_MORE)
        return true;
    conn_answer(relay, conn, verdict, is_head);
    return conn->out != NULL;
}

static bool conn_write(struct relay_conn *conn)
{
    const ssize_t n =
        send(conn->fd, conn->out + conn->out_done, conn->out_len - conn->out_done, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    conn->out_done += (size_t)n;
    return conn->out_done < conn->out_len;
}

static void relay_accept(struct relay *relay, int listener)
{
    const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (relay->count == RELAY_CONNECTIONS_MAX)
        conn_close(relay, 0);
    struct relay_conn *conn = malloc(sizeof(*conn));
    if (conn == NULL) {
        close(fd);
        return;
    }
    conn->fd = fd;
    conn->until_us = clock_mono_us() + RELAY_DEADLINE_US;
    conn->len = conn->scanned = conn->out_len = conn->out_done = 0;
    conn->out = NULL;
    relay->conns[relay->count++] = conn;
}

/* From the last to the first: closing one moves those behind it. */
static void relay_serve_conns(struct relay *relay, const struct pollfd *waits)
{
    for (unsigned i = relay->count; i > 0; i--) {
        struct relay_conn *conn = relay->conns[i - 1];
        bool is_open = clock_mono_us() < conn->until_us;
        if (is_open && waits[i - 1].revents != 0 && conn->out == NULL)
            is_open = conn_read(relay, conn);
        else if (is_open && waits[i - 1].revents != 0)
            is_open = conn_write(conn);
        if (!is_open)
            conn_close(relay, i - 1);
    }
}

int main_relay_serve(int listener, int end_fd, const struct admin_relay *rules, const char *address)
{
    struct relay relay = {.rules = rules, .address = address};
    int failed = 0;
    for (;;) {
        struct pollfd waits[RELAY_CONNECTIONS_MAX + 2];
        const unsigned count = relay.count;
        for (unsigned i = 0; i < count; i++)
            waits[i] = (struct pollfd){.fd = relay.conns[i]->fd,
                                       .events = relay.conns[i]->out == NULL ? POLLIN : POLLOUT};
        waits[count] = (struct pollfd){.fd = listener, .events = POLLIN};
        waits[count + 1] = (struct pollfd){.fd = end_fd, .events = POLLIN};
        failed = poll(waits, count + 2, count == 0 ? -1 : 1000);
        if (failed < 0 && errno != EINTR)
            break;
        if (failed < 0)
            continue;
        if (waits[count + 1].revents != 0) {
            failed = 0;
            break;
        }
        relay_serve_conns(&relay, waits);
        if (waits[count].revents != 0)
            relay_accept(&relay, listener);
    }
    while (relay.count > 0)
        conn_close(&relay, relay.count - 1);
    return failed;
}
