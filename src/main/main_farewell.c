/* SPDX-License-Identifier: Apache-2.0 */
/* main_farewell.c - see main_farewell.h. */
#include "main/main_farewell.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/http_write.h"
#include "main/main_exit.h"
#include "main/main_parent_private.h"

#define STATUS_OK       200
#define STATUS_CONFLICT 409
#define STATUS_FAILED   500
#define STATUS_DEADLINE 504

/* The request was read to its end, so that nothing resets the connection before the peer has read this. */
static void farewell_send(int fd, unsigned status, const char *body)
{
    struct span reason = http_status_reason(status);
    char text[1024];
    int len = snprintf(text, sizeof(text),
                       "HTTP/1.1 %u %.*s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                       "Cache-Control: no-store\r\nConnection: close\r\n\r\n%s",
                       status, (int)reason.len, reason.ptr,
                       status == STATUS_OK ? "application/json; charset=UTF-8"
                                           : "application/problem+json",
                       strlen(body), body);
    if (len < (int)sizeof(text))
        (void)send(fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(fd, SHUT_WR);
    close(fd);
}

/* detail: made of what needs no escapes. */
static void farewell_problem(char *body, size_t size, unsigned status, const char *detail,
                             uint32_t unfinished)
{
    struct span title = http_status_reason(status);
    snprintf(body, size,
             "{\"type\":\"about:blank\",\"title\":\"%.*s\",\"status\":%u,\"detail\":\"%s\","
             "\"unfinished\":%u}",
             (int)title.len, title.ptr, status, detail, (unsigned)unfinished);
}

void main_farewell_refuse(int fd, const char *why)
{
    char body[512];
    farewell_problem(body, sizeof(body), STATUS_CONFLICT, why, 0);
    farewell_send(fd, STATUS_CONFLICT, body);
}

void main_farewell_add(struct main_farewell *farewell, int fd)
{
    if (farewell->count == MAIN_FAREWELL_MAX)
        main_farewell_refuse(fd, "the service is draining, and 16 wait for its end already");
    else
        farewell->fds[farewell->count++] = fd;
}

void main_farewell_say(struct main_farewell *farewell, int exit_code, bool is_cut)
{
    char body[512], detail[256];
    unsigned status = STATUS_OK;
    if (exit_code == MAIN_EXIT_OK && !is_cut) {
        snprintf(body, sizeof(body), "{\"drained\":true,\"unfinished\":0}");
    } else if (exit_code == MAIN_EXIT_OK) {
        status = STATUS_DEADLINE;
        snprintf(detail, sizeof(detail), "a second order to stop has ended it at once");
    } else if (exit_code == MAIN_EXIT_DEADLINE && farewell->unfinished != 0) {
        status = STATUS_DEADLINE;
        snprintf(detail, sizeof(detail),
                 "the deadline passed: %u connections with unfinished requests were ended",
                 (unsigned)farewell->unfinished);
    } else if (exit_code == MAIN_EXIT_DEADLINE) {
        status = STATUS_DEADLINE;
        snprintf(detail, sizeof(detail),
                 "the deadline passed and the serving process did not end: it was killed");
    } else {
        status = STATUS_FAILED;
        snprintf(detail, sizeof(detail), "the service failed while it ended: see the error log");
    }
    if (status != STATUS_OK)
        farewell_problem(body, sizeof(body), status, detail, farewell->unfinished);
    while (farewell->count > 0)
        farewell_send(farewell->fds[--farewell->count], status, body);
}

void main_farewell_on_ask(struct parent *parent, struct main_message *message)
{
    if (message->fd_count != 1)
        return;
    int fd = message->fds[--message->fd_count];
    if (parent->upgrade.is_committed) {
        main_farewell_refuse(fd, "another process has taken over: ask again");
        return;
    }
    main_farewell_add(&parent->farewell, fd);
    main_parent_drain(parent, message->value);
}
