/* SPDX-License-Identifier: Apache-2.0 */
/* redis_testing.h - a real redis-server for one test program: on a Unix socket in a folder of its own,
 * started, stopped, paused and killed by its process id.  Where there is none, tests are skipped. */
#ifndef TESTS_STORE_REDIS_TESTING_H
#define TESTS_STORE_REDIS_TESTING_H

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REDIS_TESTING_ARGS 12

struct redis_testing {
    char folder[64];
    char socket[96];
    char address[104]; /* "unix:..." */
    pid_t pid;
    redisContext *client; /* blocking; the test's own */
};

static inline void redis_testing_nap(void)
{
    const struct timespec nap = {0, 5000000};
    nanosleep(&nap, NULL);
}

static inline bool redis_testing_connect(struct redis_testing *redis)
{
    for (unsigned i = 0; i < 2000; i++) {
        redis->client = redisConnectUnix(redis->socket);
        if (redis->client != NULL && redis->client->err == 0) {
            redisReply *reply = redisCommand(redis->client, "PING");
            bool is_up = reply != NULL && reply->type == REDIS_REPLY_STATUS;
            freeReplyObject(reply);
            if (is_up)
                return true;
        }
        redisFree(redis->client);
        redis->client = NULL;
        redis_testing_nap();
    }
    return false;
}

static inline void redis_testing_exec(const struct redis_testing *redis, const char *const *more)
{
    const char *argv[REDIS_TESTING_ARGS + 16] = {
        "redis-server", "--port", "0", "--unixsocket", redis->socket, "--dir",
        redis->folder,  "--save", "",  "--appendonly", "no",          "--logfile",
        "log"};
    unsigned count = 13;
    while (more != NULL && *more != NULL)
        argv[count++] = *more++;
    argv[count] = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* Where it was before, with its old folder, if it has one. */
static inline bool redis_testing_start(struct redis_testing *redis, const char *const *more)
{
    if (redis->folder[0] == '\0') {
        snprintf(redis->folder, sizeof(redis->folder), "/tmp/sluice-test-redis-XXXXXX");
        if (mkdtemp(redis->folder) == NULL)
            return false;
        snprintf(redis->socket, sizeof(redis->socket), "%s/redis.sock", redis->folder);
        snprintf(redis->address, sizeof(redis->address), "unix:%s", redis->socket);
    }
    redis->pid = fork();
    if (redis->pid == 0)
        redis_testing_exec(redis, more);
    return redis->pid > 0 && redis_testing_connect(redis);
}

static inline void redis_testing_kill(struct redis_testing *redis)
{
    redisFree(redis->client);
    redis->client = NULL;
    if (redis->pid > 0) {
        kill(redis->pid, SIGKILL);
        waitpid(redis->pid, NULL, 0);
    }
    redis->pid = 0;
}

static inline void redis_testing_end(struct redis_testing *redis)
{
    char path[160];
    redis_testing_kill(redis);
    snprintf(path, sizeof(path), "%s/log", redis->folder);
    unlink(path);
    unlink(redis->socket);
    rmdir(redis->folder);
}

static inline bool redis_testing_is_installed(void)
{
    return system("command -v redis-server >/dev/null 2>&1") == 0;
}

/* An integer reply, or the negative of nothing: -1000 for any other. */
static inline long long redis_testing_number(struct redis_testing *redis, const char *command)
{
    redisReply *reply = redisCommand(redis->client, command);
    long long number = reply != NULL && reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1000;
    freeReplyObject(reply);
    return number;
}

static inline void redis_testing_do(struct redis_testing *redis, const char *command)
{
    freeReplyObject(redisCommand(redis->client, command));
}

#endif
