/* SPDX-License-Identifier: Apache-2.0 */
/* admin_client.c - see admin_client.h.  Takes: an address and a request.  Gives: the whole answer.  Never
 * waits beyond the deadline. */
#include "admin/admin_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base_clock.h"
#include "http/http_head.h"
#include "net/net_address.h"

#define CLIENT_REPLY_MAX ((size_t)16 << 20)
#define CLIENT_CHUNK     65536
#define CLIENT_FIELDS    64

static enum admin_client_result client_say(enum admin_client_result result, const char *address,
                                           const char *what, char why[512])
{
    snprintf(why, 512, "%s: %s", address, what);
    return result;
}

/* Wait until the socket can be used; false when the deadline passes. */
static bool client_wait(int fd, short events, uint64_t until_us)
{
    struct pollfd wait = {.fd = fd, .events = events};
    for (;;) {
        uint64_t now_us = clock_mono_us();
        if (now_us >= until_us)
            return false;
        int n = poll(&wait, 1, (int)((until_us - now_us) / 1000) + 1);
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
    }
}

static enum admin_client_result client_connect(int *fd, const char *address, char why[512])
{
    struct net_address where;
    char text[NET_ADDRESS_TEXT_MAX];
    snprintf(text, sizeof(text), "%s%s",
             span_starts_with(span_of(address), SPAN("unix:")) ? "" : "unix:", address);
    const char *fault = net_address_parse(&where, span_of(text), NULL);
    if (fault != NULL)
        return client_say(ADMIN_CLIENT_NOT_RUNNING, address, fault, why);
    *fd = socket(where.sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0)
        return client_say(ADMIN_CLIENT_BROKEN, address, strerror(errno), why);
    if (connect(*fd, (const struct sockaddr *)&where.sockaddr, where.len) == 0 ||
        errno == EINPROGRESS)
        return ADMIN_CLIENT_OK;
    int error = errno;
    close(*fd);
    *fd = -1;
    if (error == EACCES || error == EPERM)
        return client_say(ADMIN_CLIENT_PERMISSION, address,
                          "permission denied: use sudo, or join the group of the socket", why);
    if (error == EAGAIN)
        return client_say(ADMIN_CLIENT_DEADLINE, address, "too many ask at the same time", why);
    return client_say(ADMIN_CLIENT_NOT_RUNNING, address,
                      "no instance answers there: is sluice running, and with this configuration?",
                      why);
}

static bool client_send(int fd, struct span text, uint64_t until_us)
{
    while (text.len > 0) {
        ssize_t n = send(fd, text.ptr, text.len, MSG_NOSIGNAL);
        if (n > 0) {
            text.ptr += n;
            text.len -= (size_t)n;
        } else if (errno != EAGAIN && errno != EINTR) {
            return false;
        } else if (!client_wait(fd, POLLOUT, until_us)) {
            return false;
        }
    }
    return true;
}

/* Read to the end; false with errno (ETIMEDOUT: the deadline). */
static bool client_read(int fd, char **bytes, size_t *len, uint64_t until_us)
{
    *bytes = NULL;
    *len = 0;
    for (;;) {
        char *grown = realloc(*bytes, *len + CLIENT_CHUNK + 1);
        if (grown == NULL)
            return false;
        *bytes = grown;
        ssize_t n = recv(fd, *bytes + *len, CLIENT_CHUNK, 0);
        if (n == 0) {
            (*bytes)[*len] = '\0';
            return true;
        }
        if (n > 0) {
            *len += (size_t)n;
            if (*len <= CLIENT_REPLY_MAX)
                continue;
            errno = EFBIG;
            return false;
        }
        if (errno != EAGAIN && errno != EINTR)
            return false;
        if (!client_wait(fd, POLLIN, until_us)) {
            errno = ETIMEDOUT;
            return false;
        }
    }
}

static bool client_parse(struct admin_client_reply *reply, size_t len)
{
    static const struct http_head_limits limits = {4096, 8192, 65536, CLIENT_FIELDS};
    struct http_field fields[CLIENT_FIELDS];
    struct http_head head = {.fields = fields, .field_max = CLIENT_FIELDS};
    struct http_fault fault;
    size_t scanned = 0;
    if (http_head_parse_response(&head, reply->bytes, len, &scanned, &limits, &fault) !=
        HTTP_PARSE_OK)
        return false;
    reply->status = head.status;
    reply->body = (struct span){reply->bytes + head.bytes, len - head.bytes};
    return true;
}

enum admin_client_result admin_client_ask(struct admin_client_reply *reply, const char *address,
                                          const char *method, const char *path, uint64_t timeout_us,
                                          char why[512])
{
    uint64_t until_us = clock_mono_us() + timeout_us;
    char request[4096];
    size_t len = 0;
    int fd = -1;
    *reply = (struct admin_client_reply){0};
    int request_len =
        snprintf(request, sizeof(request),
                 "%s %s HTTP/1.1\r\nHost: sluice\r\nContent-Length: 0\r\n\r\n", method, path);
    if (request_len >= (int)sizeof(request))
        return client_say(ADMIN_CLIENT_BROKEN, address, "the question is too long", why);
    enum admin_client_result result = client_connect(&fd, address, why);
    if (result != ADMIN_CLIENT_OK)
        return result;
    bool is_read = client_send(fd, (struct span){request, (size_t)request_len}, until_us) &&
                   client_read(fd, &reply->bytes, &len, until_us);
    int error = errno;
    close(fd);
    if (!is_read && error == ETIMEDOUT)
        result = client_say(ADMIN_CLIENT_DEADLINE, address, "no answer in time", why);
    else if (!is_read)
        result = client_say(ADMIN_CLIENT_BROKEN, address, strerror(error), why);
    else if (!client_parse(reply, len))
        result = client_say(ADMIN_CLIENT_BROKEN, address, "what answers there is not Sluice", why);
    if (result != ADMIN_CLIENT_OK)
        admin_client_reply_fini(reply);
    return result;
}

void admin_client_reply_fini(struct admin_client_reply *reply)
{
    free(reply->bytes);
    *reply = (struct admin_client_reply){0};
}
