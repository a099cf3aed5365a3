/* SPDX-License-Identifier: Apache-2.0 */
/* redis_fake.h - a server that looks like Redis until it is asked for something, and then does what a test
 * wants: answer, lie, fall silent, break.  One thread, one connection at a time, blocking. */
#ifndef TESTS_STORE_REDIS_FAKE_H
#define TESTS_STORE_REDIS_FAKE_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REDIS_FAKE_ARGS 24

struct redis_fake;

struct redis_fake_command {
    unsigned count;
    char *argv[REDIS_FAKE_ARGS];
    size_t lens[REDIS_FAKE_ARGS];
};

/* Answer one command.  False: close the connection. */
typedef bool (*redis_fake_fn)(struct redis_fake *fake, const struct redis_fake_command *command);

struct redis_fake {
    char folder[64], socket[96], address[104];
    int listener, fd;
    pthread_t thread;
    _Atomic(redis_fake_fn) answer;
    _Atomic(void *) arg;
    atomic_uint connections;
    char buffer[1 << 18];
    size_t begin, end;
};

static inline void redis_fake_say(struct redis_fake *fake, const char *text)
{
    size_t len = strlen(text);
    while (len != 0) {
        ssize_t n = send(fake->fd, text, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

/* A line without its end, NULL at the end of input. */
static inline char *redis_fake_line(struct redis_fake *fake, size_t bytes)
{
    for (;;) {
        char *start = fake->buffer + fake->begin;
        char *end = bytes == 0 ? memmem(start, fake->end - fake->begin, "\r\n", 2)
                    : fake->end - fake->begin >= bytes + 2 ? start + bytes
                                                           : NULL;
        if (end != NULL) {
            *end = '\0';
            fake->begin += (size_t)(end - start) + 2;
            return start;
        }
        if (fake->end == sizeof(fake->buffer))
            abort();
        ssize_t n = read(fake->fd, fake->buffer + fake->end, sizeof(fake->buffer) - fake->end);
        if (n <= 0)
            return NULL;
        fake->end += (size_t)n;
    }
}

static inline bool redis_fake_next(struct redis_fake *fake, struct redis_fake_command *command)
{
    memmove(fake->buffer, fake->buffer + fake->begin, fake->end - fake->begin);
    fake->end -= fake->begin;
    fake->begin = 0;
    char *line = redis_fake_line(fake, 0);
    if (line == NULL || line[0] != '*')
        return false;
    command->count = (unsigned)atoi(line + 1);
    if (command->count > REDIS_FAKE_ARGS)
        abort();
    for (unsigned i = 0; i < command->count; i++) {
        line = redis_fake_line(fake, 0);
        if (line == NULL || line[0] != '$')
            return false;
        command->lens[i] = strtoul(line + 1, NULL, 10);
        command->argv[i] = command->lens[i] == 0 ? redis_fake_line(fake, 0)
                                                 : redis_fake_line(fake, command->lens[i]);
        if (command->argv[i] == NULL)
            return false;
    }
    return true;
}

static inline bool redis_fake_is(const struct redis_fake_command *command, const char *name)
{
    return strcmp(command->argv[0], name) == 0;
}

static inline bool redis_fake_is_script(const struct redis_fake_command *command)
{
    return redis_fake_is(command, "EVALSHA") || redis_fake_is(command, "EVAL");
}

static inline bool redis_fake_is_beat(const struct redis_fake_command *command)
{
    return redis_fake_is_script(command) && strstr(command->argv[3], ":proxies") != NULL;
}

static inline bool redis_fake_is_charge(const struct redis_fake_command *command)
{
    return redis_fake_is_script(command) && strstr(command->argv[3], ":q:") != NULL;
}

#define REDIS_FAKE_SHA "$40\r\n0123456789012345678901234567890123456789\r\n"

/* All that a healthy server says, but for charges. */
static inline bool redis_fake_greet(struct redis_fake *fake,
                                    const struct redis_fake_command *command)
{
    static const char info[] = "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\n";
    char text[256];
    if (redis_fake_is(command, "INFO")) {
        snprintf(text, sizeof(text), "$%zu\r\n%s\r\n", sizeof(info) - 1, info);
        redis_fake_say(fake, text);
    } else if (redis_fake_is(command, "ROLE")) {
        redis_fake_say(fake, "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    } else if (redis_fake_is(command, "SCRIPT")) {
        redis_fake_say(fake, REDIS_FAKE_SHA);
    } else if (redis_fake_is(command, "PING")) {
        redis_fake_say(fake, "+PONG\r\n");
    } else if (redis_fake_is(command, "GET")) {
        redis_fake_say(fake, "$2\r\nfp\r\n");
    } else if (redis_fake_is_beat(command)) {
        redis_fake_say(fake, "*2\r\n:1\r\n:3\r\n");
    } else {
        redis_fake_say(fake, "+OK\r\n");
    }
    return true;
}

static inline void *redis_fake_run(void *arg)
{
    struct redis_fake *fake = arg;
    for (;;) {
        struct redis_fake_command command;
        fake->fd = accept(fake->listener, NULL, NULL);
        if (fake->fd < 0)
            return NULL;
        atomic_fetch_add(&fake->connections, 1);
        fake->begin = fake->end = 0;
        while (redis_fake_next(fake, &command) && atomic_load(&fake->answer)(fake, &command))
            ;
        close(fake->fd);
    }
}

static inline void redis_fake_start(struct redis_fake *fake, redis_fake_fn answer)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memset(fake, 0, sizeof(*fake));
    snprintf(fake->folder, sizeof(fake->folder), "/tmp/sluice-test-fake-XXXXXX");
    if (mkdtemp(fake->folder) == NULL)
        abort();
    snprintf(fake->socket, sizeof(fake->socket), "%s/fake.sock", fake->folder);
    snprintf(fake->address, sizeof(fake->address), "unix:%s", fake->socket);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", fake->socket);
    atomic_store(&fake->answer, answer);
    fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fake->listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(fake->listener, 64) != 0 ||
        pthread_create(&fake->thread, NULL, redis_fake_run, fake) != 0)
        abort();
}

/* The same, on a free TCP port of 127.0.0.1; its address is by name. */
static inline void redis_fake_start_tcp(struct redis_fake *fake, redis_fake_fn answer)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    memset(fake, 0, sizeof(*fake));
    atomic_store(&fake->answer, answer);
    fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fake->listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        getsockname(fake->listener, (struct sockaddr *)&at, &len) != 0 ||
        listen(fake->listener, 64) != 0 ||
        pthread_create(&fake->thread, NULL, redis_fake_run, fake) != 0)
        abort();
    snprintf(fake->address, sizeof(fake->address), "localhost:%u", ntohs(at.sin_port));
}

/* After its client has gone. */
static inline void redis_fake_end(struct redis_fake *fake)
{
    shutdown(fake->listener, SHUT_RDWR);
    pthread_join(fake->thread, NULL);
    close(fake->listener);
    if (fake->folder[0] == '\0')
        return;
    unlink(fake->socket);
    rmdir(fake->folder);
}

#endif
