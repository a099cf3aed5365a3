/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_talk.c - see store_redis_talk.h. */
#include "store/store_redis_talk.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base_clock.h"
#include "store/store_redis_greet.h"
#include "store/store_redis_rights.h"

#define CONNECT_US 1000000
#define COMMAND_US 1000000

/* ---- talking ---- */

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

static bool send_all(const struct store_redis_talk *talk, const char *bytes, size_t len,
                     uint64_t until_us)
{
    while (len != 0) {
        ssize_t n = send(talk->fd, bytes, len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        } else if ((errno != EAGAIN && errno != EINTR) || !wait_for(talk->fd, POLLOUT, until_us)) {
            return false;
        }
    }
    return true;
}

static bool receive(struct store_redis_talk *talk, uint64_t until_us)
{
    char bytes[STORE_REDIS_FEED_MAX];
    for (;;) {
        enum err err = store_redis_parser_next(&talk->parser);
        if (err == ERR_OK)
            return true;
        if (err != ERR_AGAIN || !wait_for(talk->fd, POLLIN, until_us))
            return false;
        ssize_t n = recv(talk->fd, bytes, sizeof(bytes), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (n > 0 && store_redis_parser_feed(&talk->parser, bytes, (size_t)n) != ERR_OK)
            return false;
    }
}

static bool exchange(struct store_redis_talk *talk, const char *bytes, size_t len)
{
    uint64_t until_us = clock_mono_us() + COMMAND_US;
    if (talk->is_broken || talk->fd < 0)
        return false;
    talk->is_broken = !send_all(talk, bytes, len, until_us) || !receive(talk, until_us);
    return !talk->is_broken;
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

static int connect_name(struct span host, uint16_t port, char why[STORE_REDIS_TALK_WHY])
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    char name[NET_ADDRESS_TEXT_MAX], service[8];
    int fd = -1;
    snprintf(name, sizeof(name), "%.*s", (int)host.len, host.ptr);
    snprintf(service, sizeof(service), "%u", port);
    int error = getaddrinfo(name, service, &hints, &list);
    if (error != 0) {
        snprintf(why, STORE_REDIS_TALK_WHY, "the name %s cannot be resolved: %s", name,
                 gai_strerror(error));
        return -1;
    }
    for (struct addrinfo *one = list; one != NULL && fd < 0; one = one->ai_next)
        fd = try_connect(one->ai_addr, one->ai_addrlen);
    if (fd < 0)
        snprintf(why, STORE_REDIS_TALK_WHY, "%s", strerror(errno));
    freeaddrinfo(list);
    return fd;
}

static bool reach(struct store_redis_talk *talk, struct span text, char why[STORE_REDIS_TALK_WHY])
{
    struct net_address address;
    struct span host = SPAN_NONE;
    const char *fault = net_address_parse(&address, text, &host);
    if (fault != NULL) {
        snprintf(why, STORE_REDIS_TALK_WHY, "%s", fault);
        return false;
    }
    if (host.len != 0) {
        talk->fd = connect_name(host, address.port, why);
        return talk->fd >= 0;
    }
    talk->fd = try_connect((const struct sockaddr *)&address.sockaddr, address.len);
    if (talk->fd < 0)
        snprintf(why, STORE_REDIS_TALK_WHY, "%s", strerror(errno));
    return talk->fd >= 0;
}

/* NULL, or why it did not let us in. */
static const char *log_in(struct store_redis_talk *talk, enum store_redis_duty duty,
                          char why[STORE_REDIS_WHY_BYTES])
{
    struct store_redis_server server = {0};
    char *bytes = NULL;
    size_t len = 0;
    if (store_redis_greet_format(STORE_REDIS_AUTH, duty, talk->conf, SPAN_NONE, &bytes, &len) !=
        ERR_OK)
        return "out of memory";
    bool has_password = len != 0;
    bool is_said = has_password ? exchange(talk, bytes, len) : store_redis_talk_say(talk, "PING");
    if (bytes != NULL)
        explicit_bzero(bytes, len);
    free(bytes);
    if (!is_said)
        return "it was lost, or a command was not answered";
    if (has_password)
        return store_redis_greet_judge(STORE_REDIS_AUTH, talk->conf, &talk->parser.reply, &server,
                                       why);
    bool is_barred = store_redis_talk_is_error(talk) &&
                     span_starts_with(store_redis_talk_text(talk), SPAN("NOAUTH"));
    return is_barred ? "it wants a password, and none is set" : NULL;
}

static void talk_close(struct store_redis_talk *talk)
{
    if (talk->fd >= 0)
        close(talk->fd);
    talk->fd = -1;
    talk->is_broken = false;
}

bool store_redis_talk_open(struct store_redis_talk *talk, struct span address,
                           enum store_redis_duty duty, bool *is_reached,
                           char why[STORE_REDIS_TALK_WHY])
{
    char text[STORE_REDIS_WHY_BYTES];
    talk_close(talk);
    store_redis_parser_fini(&talk->parser);
    *is_reached = false;
    if (store_redis_parser_init(&talk->parser) != ERR_OK) {
        snprintf(why, STORE_REDIS_TALK_WHY, "out of memory");
        return false;
    }
    if (!reach(talk, address, why))
        return false;
    *is_reached = true;
    const char *fault = log_in(talk, duty, text);
    if (fault != NULL)
        snprintf(why, STORE_REDIS_TALK_WHY, "%.*s", STORE_REDIS_TALK_WHY - 1, fault);
    return fault == NULL;
}

enum err store_redis_talk_init(struct store_redis_talk *talk, const struct store_redis_conf *conf)
{
    *talk = (struct store_redis_talk){.conf = conf, .fd = -1};
    return store_redis_parser_init(&talk->parser);
}

void store_redis_talk_fini(struct store_redis_talk *talk)
{
    talk_close(talk);
    store_redis_parser_fini(&talk->parser);
}
