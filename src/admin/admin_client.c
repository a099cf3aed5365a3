/* SPDX-License-Identifier: Apache-2.0 */
/* admin_client.c - see admin_client.h.  Takes: an address and a request.  Gives: the whole answer.  Never
 * waits beyond the deadline. */
#include "admin/admin_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base_clock.h"
#include "http/http_head.h"
#include "net/net_address.h"

#define CLIENT_REPLY_MAX ((size_t)16 << 20)
#define CLIENT_CHUNK     65536
#define CLIENT_FIELDS    64
#define CLIENT_TOKEN_MAX 4096
#define CLIENT_NOBODY    "no instance answers there: is sluice running, and with this configuration?"

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

/* What is an address is no path. */
static const char *client_find(struct net_address *where, const char *address)
{
    char text[NET_ADDRESS_TEXT_MAX];
    if (net_address_parse(where, span_of(address), NULL) == NULL)
        return NULL;
    snprintf(text, sizeof(text), "%s%s",
             span_starts_with(span_of(address), SPAN("unix:")) ? "" : "unix:", address);
    return net_address_parse(where, span_of(text), NULL);
}

/* The line of Authorization; false: `why` says what is wrong.  The file's last newline does not count. */
static bool client_read_token(char line[CLIENT_TOKEN_MAX + 64], const char *address, char why[512])
{
    const char *name = getenv("SLUICE_ADMIN_TOKEN_FILE");
    char token[CLIENT_TOKEN_MAX + 2];
    FILE *file = name == NULL ? NULL : fopen(name, "re");
    if (name == NULL) {
        (void)client_say(ADMIN_CLIENT_PERMISSION, address,
                         "a token is needed: name its file in SLUICE_ADMIN_TOKEN_FILE", why);
        return false;
    }
    if (file == NULL) {
        snprintf(why, 512, "SLUICE_ADMIN_TOKEN_FILE: %.300s: %s", name, strerror(errno));
        return false;
    }
    size_t len = fread(token, 1, sizeof(token), file);
    fclose(file);
    while (len > 0 && (token[len - 1] == '\n' || token[len - 1] == '\r'))
        len--;
    bool is_good = len > 0 && len <= CLIENT_TOKEN_MAX;
    for (size_t i = 0; i < len; i++)
        is_good = is_good && token[i] > ' ' && token[i] <= '~';
    if (is_good)
        snprintf(line, CLIENT_TOKEN_MAX + 64, "Authorization: Bearer %.*s\r\n", (int)len, token);
    else
        snprintf(why, 512, "SLUICE_ADMIN_TOKEN_FILE: %.300s holds no token", name);
    return is_good;
}

static enum admin_client_result client_connect(int *fd, bool *is_tcp, const char *address,
                                               char why[512])
{
    struct net_address where;
    const char *fault = client_find(&where, address);
    if (fault != NULL)
        return client_say(ADMIN_CLIENT_NOT_RUNNING, address, fault, why);
    *is_tcp = !where.is_unix;
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
    return client_say(ADMIN_CLIENT_NOT_RUNNING, address, CLIENT_NOBODY, why);
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

/* One that is refused unread is answered all the same. */
static bool client_send_body(int fd, struct span body, uint64_t until_us)
{
    return client_send(fd, body, until_us) || errno == EPIPE || errno == ECONNRESET;
}

/* Connected, and the request sent. */
static enum admin_client_result client_begin(int *fd, const char *address, const char *method,
                                             const char *path, struct span body, uint64_t until_us,
                                             char why[512])
{
    char request[CLIENT_TOKEN_MAX + 4096], token[CLIENT_TOKEN_MAX + 64] = "";
    bool is_tcp = false;
    enum admin_client_result result = client_connect(fd, &is_tcp, address, why);
    if (result != ADMIN_CLIENT_OK)
        return result;
    if (is_tcp && !client_read_token(token, address, why)) {
        close(*fd);
        return ADMIN_CLIENT_PERMISSION;
    }
    int len = snprintf(request, sizeof(request),
                       "%s %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %zu\r\n\r\n", method, path,
                       is_tcp ? address : "sluice", token, body.len);
    if (len >= (int)sizeof(request))
        result = client_say(ADMIN_CLIENT_BROKEN, address, "the question is too long", why);
    else if (client_send(*fd, (struct span){request, (size_t)len}, until_us) &&
             client_send_body(*fd, body, until_us))
        return ADMIN_CLIENT_OK;
    else if (errno == ECONNREFUSED)
        result = client_say(ADMIN_CLIENT_NOT_RUNNING, address, CLIENT_NOBODY, why);
    else
        result = client_say(ADMIN_CLIENT_BROKEN, address, strerror(errno), why);
    close(*fd);
    return result;
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

static enum admin_client_result client_ask(struct admin_client_reply *reply, const char *address,
                                           const char *method, const char *path, struct span body,
                                           uint64_t timeout_us, char why[512])
{
    uint64_t until_us = clock_mono_us() + timeout_us;
    size_t len = 0;
    int fd = -1;
    *reply = (struct admin_client_reply){0};
    enum admin_client_result result = client_begin(&fd, address, method, path, body, until_us, why);
    if (result != ADMIN_CLIENT_OK)
        return result;
    bool is_read = client_read(fd, &reply->bytes, &len, until_us);
    int error = errno;
    close(fd);
    if (!is_read && error == ETIMEDOUT)
        result = client_say(ADMIN_CLIENT_DEADLINE, address, "no answer in time", why);
    else if (!is_read)
        result = client_say(ADMIN_CLIENT_BROKEN, address, strerror(error), why);
    else if (len == 0)
        result = client_say(ADMIN_CLIENT_BROKEN, address,
                            "it ended before it answered: `sluice status` tells what runs", why);
    else if (!client_parse(reply, len))
        result = client_say(ADMIN_CLIENT_BROKEN, address, "what answers there is not Sluice", why);
    if (result != ADMIN_CLIENT_OK)
        admin_client_reply_fini(reply);
    return result;
}

enum admin_client_result admin_client_ask(struct admin_client_reply *reply, const char *address,
                                          const char *method, const char *path, uint64_t timeout_us,
                                          char why[512])
{
    return client_ask(reply, address, method, path, SPAN_NONE, timeout_us, why);
}

enum admin_client_result admin_client_send(struct admin_client_reply *reply, const char *address,
                                           const char *path, struct span body, uint64_t timeout_us,
                                           char why[512])
{
    return client_ask(reply, address, "POST", path, body, timeout_us, why);
}

/* More bytes, up to a whole line at least; 0: the end, or the deadline (UINT64_MAX: none). */
static size_t follow_more(int fd, char *bytes, size_t room, uint64_t until_us)
{
    for (;;) {
        ssize_t n = recv(fd, bytes, room, 0);
        if (n >= 0)
            return (size_t)n;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return 0;
        if (until_us != UINT64_MAX && !client_wait(fd, POLLIN, until_us))
            return 0;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (until_us == UINT64_MAX && poll(&wait, 1, -1) < 0 && errno != EINTR)
            return 0;
    }
}

/* Whole lines from the front; what is left of them is moved there.  False: enough. */
static bool follow_lines(char *bytes, size_t *len, admin_client_line_fn on_line, void *arg)
{
    struct span rest = {bytes, *len};
    bool goes_on = true;
    for (size_t end = span_find(rest, '\n'); goes_on && end < rest.len;
         end = span_find(rest, '\n')) {
        goes_on = on_line(arg, (struct span){rest.ptr, end + 1});
        rest = (struct span){rest.ptr + end + 1, rest.len - end - 1};
    }
    memmove(bytes, rest.ptr, rest.len);
    *len = rest.len;
    return goes_on;
}

/* Where the head ends; 0: not yet. */
static size_t head_bytes(const char *bytes, size_t len)
{
    for (size_t i = 3; i < len; i++)
        if (memcmp(bytes + i - 3, "\r\n\r\n", 4) == 0)
            return i + 1;
    return 0;
}

enum admin_client_result admin_client_follow(struct admin_client_reply *reply, const char *address,
                                             const char *path, uint64_t timeout_us,
                                             admin_client_line_fn on_line, void *arg, char why[512])
{
    uint64_t until_us = clock_mono_us() + timeout_us;
    size_t len = 0, head = 0, n = 0;
    int fd = -1;
    *reply = (struct admin_client_reply){0};
    enum admin_client_result result =
        client_begin(&fd, address, "GET", path, SPAN_NONE, until_us, why);
    if (result != ADMIN_CLIENT_OK)
        return result;
    char *bytes = reply->bytes = malloc(CLIENT_CHUNK + 1);
    while (bytes != NULL && head == 0 && len < CLIENT_CHUNK &&
           (n = follow_more(fd, bytes + len, CLIENT_CHUNK - len, until_us)) > 0) {
        len += n;
        head = head_bytes(bytes, len);
    }
    if (head == 0 || !client_parse(reply, len)) {
        close(fd);
        admin_client_reply_fini(reply);
        return client_say(ADMIN_CLIENT_BROKEN, address, "what answers there is not Sluice", why);
    }
    const bool is_tail = reply->status == 200;
    if (is_tail) {
        len -= head;
        memmove(bytes, bytes + head, len);
        reply->body = SPAN_NONE;
    }
    while ((!is_tail || follow_lines(bytes, &len, on_line, arg)) && len < CLIENT_CHUNK &&
           (n = follow_more(fd, bytes + len, CLIENT_CHUNK - len, is_tail ? UINT64_MAX : until_us)) >
               0)
        len += n;
    close(fd);
    if (!is_tail)
        (void)client_parse(reply, len);
    return ADMIN_CLIENT_OK;
}

void admin_client_reply_fini(struct admin_client_reply *reply)
{
    free(reply->bytes);
    *reply = (struct admin_client_reply){0};
}
