/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_talk.c - see store_redis_talk.h. */
#include "store/store_redis_talk.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base_clock.h"
#include "net/net_tls.h"
#include "store/store_redis_door.h"
#include "store/store_redis_greet.h"
#include "store/store_redis_rights.h"
#include "store/store_redis_tls_conf.h"

#define CONNECT_US 1000000
#define COMMAND_US 1000000

/* ---- talking ---- */

__attribute__((format(printf, 2, 3))) static bool fail(struct store_redis_talk *talk,
                                                       const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(talk->why, sizeof(talk->why), format, args);
    va_end(args);
    talk->is_broken = true;
    return false;
}

static bool fail_errno(struct store_redis_talk *talk, int error)
{
    char why[STORE_REDIS_WHY_BYTES];
    store_redis_door_why(&talk->stream, error, why);
    return fail(talk, "%.*s", STORE_REDIS_TALK_WHY - 1, why);
}

static bool wait_for(int fd, short events, uint64_t until_us)
{
    struct pollfd wait = {.fd = fd, .events = events};
    for (;;) {
        uint64_t now_us = clock_mono_us();
        int n = now_us >= until_us ? 0 : poll(&wait, 1, (int)((until_us - now_us) / 1000) + 1);
        if (n >= 0 || errno != EINTR)
            return n > 0;
    }
}

/* For what the stream has found that it cannot do at once; TLS may have to read so as to write. */
static bool wait_until_ready(struct store_redis_talk *talk, uint64_t until_us)
{
    struct net_stream *stream = &talk->stream;
    short events =
        (short)((stream->is_readable ? 0 : POLLIN) | (stream->is_writable ? 0 : POLLOUT));
    bool is_ready = wait_for(stream->fd, events == 0 ? POLLIN : events, until_us);
    stream->is_readable = stream->is_writable = true;
    return is_ready;
}

static bool fail_late(struct store_redis_talk *talk, const char *what, uint64_t timeout_us)
{
    return fail(talk, "%s within %llu ms", what, (unsigned long long)(timeout_us / 1000));
}

static bool send_all(struct store_redis_talk *talk, const char *bytes, size_t len,
                     uint64_t until_us)
{
    while (len != 0) {
        ssize_t n = net_stream_write(&talk->stream, bytes, len);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (n < 0 && errno != EAGAIN) {
            return fail_errno(talk, errno);
        } else if (!wait_until_ready(talk, until_us)) {
            return fail_late(talk, "a command was not taken", COMMAND_US);
        }
    }
    return true;
}

/* False: there will be no more. */
static bool receive_some(struct store_redis_talk *talk, uint64_t until_us)
{
    char bytes[STORE_REDIS_FEED_MAX];
    ssize_t n = net_stream_read(&talk->stream, bytes, sizeof(bytes));
    if (n == 0 || (n < 0 && errno == ECONNRESET && !talk->has_heard))
        return fail(talk, "%s", store_redis_door_closed(&talk->stream, talk->has_heard));
    if (n < 0 && errno != EAGAIN)
        return fail_errno(talk, errno);
    if (n < 0)
        return wait_until_ready(talk, until_us) ||
               fail_late(talk, "a command was not answered", COMMAND_US);
    talk->head = bytes[0];
    return store_redis_parser_feed(&talk->parser, bytes, (size_t)n) == ERR_OK ||
           fail(talk, "%s", err_sentence(ERR_NOMEM));
}

static bool receive(struct store_redis_talk *talk, uint64_t until_us)
{
    enum err err;
    while ((err = store_redis_parser_next(&talk->parser)) == ERR_AGAIN) {
        if (!receive_some(talk, until_us))
            return false;
    }
    talk->has_heard |= err == ERR_OK;
    return err == ERR_OK || fail(talk, "%s", store_redis_door_alien(&talk->stream, &talk->head, 1));
}

static bool exchange(struct store_redis_talk *talk, const char *bytes, size_t len)
{
    uint64_t until_us = clock_mono_us() + COMMAND_US;
    return !talk->is_broken && talk->stream.fd >= 0 && send_all(talk, bytes, len, until_us) &&
           receive(talk, until_us);
}

bool store_redis_talk_say(struct store_redis_talk *talk, const char *words)
{
    char copy[STORE_REDIS_RIGHT_TEXT], *out = NULL, *at = copy;
    const char *argv[STORE_REDIS_TALK_WORDS];
    int argc = 0;
    snprintf(copy, sizeof(copy), "%s", words);
    for (char *word; argc < STORE_REDIS_TALK_WORDS && (word = strsep(&at, " ")) != NULL;)
        argv[argc++] = word;
    int len = redisFormatCommandArgv(&out, argc, argv, NULL);
    bool is_good = len > 0 && exchange(talk, out, (size_t)len);
    free(out);
    return is_good;
}

/* ---- getting in ---- */

static int try_connect(const struct sockaddr *sockaddr, socklen_t len)
{
    int fd = socket(sockaddr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = 0;
    socklen_t size = sizeof(error);
    if (fd < 0)
        return -1;
    if (connect(fd, sockaddr, len) == 0)
        return fd;
    if (errno == EINPROGRESS) {
        if (!wait_for(fd, POLLOUT, clock_mono_us() + CONNECT_US))
            errno = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0)
            return fd;
        else
            errno = error;
    }
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int connect_name(struct store_redis_talk *talk, struct span host, uint16_t port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    char name[NET_ADDRESS_TEXT_MAX], service[8];
    int fd = -1;
    snprintf(name, sizeof(name), "%.*s", (int)host.len, host.ptr);
    snprintf(service, sizeof(service), "%u", port);
    int error = getaddrinfo(name, service, &hints, &list);
    if (error != 0) {
        (void)fail(talk, "the name %s cannot be resolved: %s", name, gai_strerror(error));
        return -1;
    }
    for (struct addrinfo *one = list; one != NULL && fd < 0; one = one->ai_next)
        fd = try_connect(one->ai_addr, one->ai_addrlen);
    if (fd < 0)
        (void)fail(talk, "%s", strerror(errno));
    freeaddrinfo(list);
    return fd;
}

static bool reach(struct store_redis_talk *talk, struct span text)
{
    struct net_address address;
    struct span host = SPAN_NONE;
    int fd;
    const char *fault = net_address_parse(&address, text, &host);
    if (fault != NULL)
        return fail(talk, "%s", fault);
    if (host.len != 0) {
        fd = connect_name(talk, host, address.port);
    } else {
        fd = try_connect((const struct sockaddr *)&address.sockaddr, address.len);
        if (fd < 0)
            (void)fail(talk, "%s", strerror(errno));
    }
    if (fd >= 0)
        net_stream_adopt(&talk->stream, NULL, fd, NULL, NULL);
    return fd >= 0;
}

static bool secure(struct store_redis_talk *talk, struct span name, enum store_redis_duty duty)
{
    uint64_t until_us = clock_mono_us() + CONNECT_US;
    enum err err;
    while ((err = store_redis_door_secure(&talk->conf->tls, talk->tls, duty, &talk->stream,
                                          name)) == ERR_AGAIN) {
        if (!wait_until_ready(talk, until_us))
            return fail_late(talk, store_redis_door_late(&talk->stream), CONNECT_US);
    }
    return err == ERR_OK || fail_errno(talk, errno);
}

static bool log_in(struct store_redis_talk *talk, enum store_redis_duty duty)
{
    struct store_redis_server server = {0};
    char why[STORE_REDIS_WHY_BYTES], *bytes = NULL;
    size_t len = 0;
    if (store_redis_greet_format(STORE_REDIS_AUTH, duty, talk->conf, SPAN_NONE, &bytes, &len) !=
        ERR_OK)
        return fail(talk, "%s", err_sentence(ERR_NOMEM));
    bool has_password = len != 0;
    bool is_said = has_password ? exchange(talk, bytes, len) : store_redis_talk_say(talk, "PING");
    if (bytes != NULL)
        explicit_bzero(bytes, len);
    free(bytes);
    if (!is_said)
        return false;
    const struct store_redis_reply *reply = &talk->parser.reply;
    const char *fault =
        has_password ? store_redis_greet_judge(STORE_REDIS_AUTH, talk->conf, reply, &server, why)
                     : NULL;
    if (!has_password && store_redis_talk_is_error(talk) &&
        span_starts_with(store_redis_talk_text(talk), SPAN("NOAUTH")))
        fault = "it wants a password, and none is set";
    return fault == NULL || fail(talk, "%.*s", STORE_REDIS_TALK_WHY - 1, fault);
}

static void talk_close(struct store_redis_talk *talk)
{
    net_stream_close(&talk->stream);
    store_redis_parser_fini(&talk->parser);
    talk->is_broken = talk->has_heard = false;
}

bool store_redis_talk_open(struct store_redis_talk *talk, struct span address,
                           enum store_redis_duty duty, bool *is_reached)
{
    talk_close(talk);
    *is_reached = false;
    if (store_redis_parser_init(&talk->parser) != ERR_OK)
        return fail(talk, "%s", err_sentence(ERR_NOMEM));
    *is_reached = reach(talk, address);
    return *is_reached && secure(talk, address, duty) && log_in(talk, duty);
}

enum err store_redis_talk_init(struct store_redis_talk *talk, const struct store_redis_conf *conf)
{
    const struct net_tls_conf tls = store_redis_tls_conf_net(&conf->tls);
    enum net_tls_part part;
    char why[NET_TLS_WHY_BYTES];
    memset(talk, 0, sizeof(*talk));
    talk->conf = conf;
    talk->stream.fd = -1;
    /* The files were tried when the configuration was checked. */
    if (conf->tls.is_on && (talk->tls = net_tls_new(&tls, &part, why)) == NULL)
        return ERR_NOMEM;
    enum err err = store_redis_parser_init(&talk->parser);
    if (err != ERR_OK)
        net_tls_free(talk->tls);
    return err;
}

void store_redis_talk_fini(struct store_redis_talk *talk)
{
    talk_close(talk);
    net_tls_free(talk->tls);
}
