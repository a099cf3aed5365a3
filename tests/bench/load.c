/* SPDX-License-Identifier: Apache-2.0 */
/* load.c - the load of scripts/bench and scripts/check-instructions: one thread, connections on loopback, one
 * request over and over.  Takes: a file with the bytes of the request, in which twelve @ are replaced by the number
 * of a user and twelve $ by the request's own; how many requests or how long; flat out (a closed loop) or at a
 * fixed rate.  Gives: one line of JSON.
 * Every answer is judged: its status, its length, every byte of a 200's body.  The first wrong one ends the run.
 * At a fixed rate a latency counts from when the request was due, so that a proxy that stalls is charged for
 * all that wait, on connections that have had an answer.  All that was begun is waited for: each request is answered. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "loopback.h"
#include "secured.h"

#define READ_BYTES     65536
#define HEAD_MAX       8192
#define REQUEST_MAX    65536
#define LATENCY_MAX_US 1000000
#define LAST_WAIT_US   10000000
#define USER_MARK      "@@@@@@@@@@@@"
#define NUMBER_MARK    "$$$$$$$$$$$$"
#define MARK_DIGITS    12

static const char USAGE[] =
    "usage: load -p PORT -q REQUEST_FILE [-c CONNECTIONS] [-d SECONDS | -n REQUESTS] [-r RATE] "
    "[-s STATUS]\n  [-B BODY_BYTES of a 200] [-b BODY_BYTES of the request] [-u USERS] [-z "
    "ZIPF_EXPONENT] "
    "[-1: a connection per request] [-t full|resumed: over TLS, with such handshakes]\n";

struct plan {
    int port;
    unsigned connections, status;
    double seconds, rate, exponent;
    uint64_t requests;   /* 0: by time */
    size_t answer_bytes; /* body of a 200 */
    size_t body_bytes;   /* of the request */
    uint64_t users;
    bool is_churning;
    const char *file;
};

/* One connection.  Owner: struct load. */
struct conn {
    int fd;
    bool is_busy, is_open, in_body;
    uint64_t due_us;
    size_t sent;      /* of head and body */
    size_t head_len;  /* bytes of the answer's head so far */
    size_t body_left; /* of the answer */
    struct secured secured;
    char user[MARK_DIGITS], number[MARK_DIGITS];
    char head[HEAD_MAX];
    struct conn *next; /* idle ones, the last used first */
};

struct load {
    struct plan plan;
    struct conn *conns, *idle;
    int epoll;
    char request[REQUEST_MAX];
    size_t request_len;
    char *user_at, *number_at; /* in request; NULL: the same in all */
    char *body;
    double *cumulated; /* of the users' shares; NULL: all alike */
    uint64_t rng;
    uint64_t started, answered, connects, begin_us;
    uint64_t last_answer_us;
    uint64_t timed; /* of the answered ones those whose latency counts */
    bool is_warm;
    double next_due_us;
    uint32_t latencies[LATENCY_MAX_US + 1];
};

static struct load load;
static char pattern[READ_BYTES];

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "load: after %llu answers: ", (unsigned long long)load.answered);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* ---- users ---- */

static double random_unit(void)
{
    load.rng ^= load.rng << 13;
    load.rng ^= load.rng >> 7;
    load.rng ^= load.rng << 17;
    return (double)(load.rng >> 11) / 9007199254740992.0;
}

/* Shares as 1 / rank ^ exponent. */
static void prepare_users(void)
{
    double sum = 0;
    if (load.plan.users < 2 || load.plan.exponent <= 0)
        return;
    load.cumulated = malloc(load.plan.users * sizeof(*load.cumulated));
    if (!load.cumulated)
        fail("memory");
    for (uint64_t i = 0; i < load.plan.users; i++)
        load.cumulated[i] = sum += pow((double)(i + 1), -load.plan.exponent);
}

static uint64_t choose_user(void)
{
    uint64_t low = 0, high = load.plan.users;
    if (high < 2)
        return 0;
    if (!load.cumulated)
        return (uint64_t)(random_unit() * (double)high);
    double at = random_unit() * load.cumulated[high - 1];
    for (high--; low < high;) {
        uint64_t middle = (low + high) / 2;
        if (load.cumulated[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void write_digits(char digits[MARK_DIGITS], uint64_t value)
{
    for (int i = MARK_DIGITS; i-- > 0; value /= 10)
        digits[i] = (char)('0' + value % 10);
}

/* ---- connections ---- */

static void open_conn(struct conn *conn)
{
    struct sockaddr_in address = loopback_address(load.plan.port);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP,
                                .data.ptr = conn};
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (conn->fd < 0)
        fail("socket: %s", strerror(errno));
    loopback_no_delay(conn->fd);
    if (connect(conn->fd, (struct sockaddr *)&address, sizeof(address)) && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, conn->fd, &event))
        fail("epoll: %s", strerror(errno));
    if (secured_is_on() && !secured_open(&conn->secured, conn->fd))
        fail("memory");
    conn->is_open = true;
    load.connects++;
}

static void close_conn(struct conn *conn)
{
    if (!conn->is_open)
        return;
    secured_close(&conn->secured);
    close(conn->fd);
    conn->is_open = false;
}

static void make_idle(struct conn *conn)
{
    conn->next = load.idle;
    load.idle = conn;
}

/* Sends what goes. */
static void send_request(struct conn *conn)
{
    while (conn->sent < load.request_len + load.plan.body_bytes) {
        bool in_head = conn->sent < load.request_len;
        if (in_head && load.user_at)
            memcpy(load.user_at, conn->user, MARK_DIGITS);
        if (in_head && load.number_at)
            memcpy(load.number_at, conn->number, MARK_DIGITS);
        size_t at = in_head ? conn->sent : conn->sent - load.request_len;
        ssize_t n =
            secured_send(&conn->secured, conn->fd, (in_head ? load.request : load.body) + at,
                         (in_head ? load.request_len : load.plan.body_bytes) - at,
                         MSG_NOSIGNAL | (in_head && load.plan.body_bytes > 0 ? MSG_MORE : 0));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) /* goes on when it is writable */
            return;
        if (n < 0)
            fail("send: %s", strerror(errno));
        conn->sent += (size_t)n;
    }
}

static void start_request(uint64_t due_us)
{
    struct conn *conn = load.idle;
    load.idle = conn->next;
    conn->is_busy = true;
    conn->in_body = false;
    conn->due_us = due_us;
    conn->sent = conn->head_len = conn->body_left = 0;
    if (load.user_at)
        write_digits(conn->user, choose_user());
    write_digits(conn->number, load.started++);
    if (!conn->is_open)
        open_conn(conn);
    send_request(conn);
}

static void finish(struct conn *conn)
{
    uint64_t us = now_us() - conn->due_us;
    if (load.is_warm) {
        load.latencies[us < LATENCY_MAX_US ? us : LATENCY_MAX_US]++;
        load.timed++;
    }
    load.answered++;
    if (conn->sent < load.request_len + load.plan.body_bytes)
        fail("an answer before the request was sent");
    conn->is_busy = false;
    if (!load.plan
             .is_churning) /* else the proxy closes: whoever closes first has to remember the connection */
        make_idle(conn);
}

/* ---- answers ---- */

static const char *find_field(const struct conn *conn, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strstr(conn->head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':')
            return line + 2 + len + 1;
    return NULL;
}

static void judge_head(struct conn *conn)
{
    const char *length = find_field(conn, "Content-Length");
    if (strncmp(conn->head, "HTTP/1.1 ", 9) != 0 ||
        strtoul(conn->head + 9, NULL, 10) != load.plan.status)
        fail("expected %u: %.200s", load.plan.status, conn->head);
    if (!length)
        fail("no Content-Length: %.400s", conn->head);
    conn->body_left = strtoull(length, NULL, 10);
    if (load.plan.status == 200 && conn->body_left != load.plan.answer_bytes)
        fail("a body of %zu bytes", conn->body_left);
    conn->in_body = true;
}

/* Returns how many bytes belong to the head. */
static size_t take_head(struct conn *conn, const char *data, size_t len)
{
    size_t before = conn->head_len, room = HEAD_MAX - 1 - before;
    size_t count = len < room ? len : room;
    memcpy(conn->head + before, data, count);
    conn->head[before + count] = '\0';
    const char *end = strstr(conn->head + (before < 3 ? 0 : before - 3), "\r\n\r\n");
    if (!end && count == room)
        fail("a head of more than %u bytes", HEAD_MAX);
    if (!end) {
        conn->head_len += count;
        return count;
    }
    conn->head_len = (size_t)(end - conn->head) + 4;
    conn->head[conn->head_len] = '\0';
    judge_head(conn);
    return conn->head_len - before;
}

static void take_answer(struct conn *conn, const char *data, size_t len)
{
    if (!conn->in_body) {
        size_t used = take_head(conn, data, len);
        data += used;
        len -= used;
    }
    if (len > conn->body_left)
        fail("%zu bytes too many", len - conn->body_left);
    if (load.plan.status == 200 && memcmp(data, pattern, len) != 0)
        fail("a body that is not the server's");
    conn->body_left -= len;
    if (conn->in_body && conn->body_left == 0)
        finish(conn);
}

static void on_event(struct conn *conn, uint32_t events)
{
    static char buf[READ_BYTES];
    if (((events & EPOLLOUT) || secured_is_on()) && conn->is_busy)
        send_request(conn);
    while (conn->is_open) {
        ssize_t n = secured_recv(&conn->secured, conn->fd, buf, sizeof(buf));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
            return;
        if (n <= 0 && !conn->is_busy) { /* the proxy's right between requests */
            close_conn(conn);
            if (load.plan.is_churning)
                make_idle(conn);
            return;
        }
        if (n < 0)
            fail("recv: %s", strerror(errno));
        if (n == 0)
            fail("the connection ended within an answer");
        if (!conn->is_busy)
            fail("an answer to no request");
        take_answer(conn, buf, (size_t)n);
        if ((size_t)n < sizeof(buf) && !(events & EPOLLRDHUP) && !secured_is_on())
            return;
    }
}

/* ---- the run ---- */

static bool is_over(uint64_t at_us)
{
    const struct plan *plan = &load.plan;
    if (plan->requests > 0)
        return load.started >= plan->requests;
    return (double)(at_us - load.begin_us) >= plan->seconds * 1e6;
}

/* Starts what is due; returns how many nanoseconds until the next one, -1: when an answer has come. */
static int64_t start_due(void)
{
    uint64_t at_us = now_us();
    if (load.plan.rate <= 0) {
        while (load.idle && !is_over(at_us))
            start_request(at_us);
        return -1;
    }
    while (load.idle && !is_over(at_us) && load.next_due_us <= (double)at_us) {
        start_request((uint64_t)load.next_due_us);
        load.next_due_us += 1e6 / load.plan.rate;
    }
    if (!load.idle || is_over(at_us))
        return -1;
    double wait_us = load.next_due_us - (double)now_us();
    return wait_us > 0 ? (int64_t)(wait_us * 1000) : 0;
}

/* wait_ns: as start_due says. */
static void take_events(int64_t wait_ns)
{
    struct epoll_event events[256];
    if (wait_ns < 0)
        wait_ns = 100000000;
    struct timespec wait = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    uint64_t answered = load.answered;
    int count = epoll_pwait2(load.epoll, events, 256, &wait, NULL);
    for (int i = 0; i < count; i++)
        on_event(events[i].data.ptr, events[i].events);
    if (load.answered != answered || load.answered == load.started)
        load.last_answer_us = now_us();
    else if (now_us() - load.last_answer_us > LAST_WAIT_US)
        fail("%llu requests without an answer", (unsigned long long)(load.started - load.answered));
}

/* An answer on each connection: to open 64 over TLS takes a proxy longer than 99 of 100 answers. */
static void warm_up(void)
{
    while (load.idle)
        start_request(now_us());
    while (load.answered < load.started)
        take_events(-1);
}

static void run(void)
{
    load.last_answer_us = now_us();
    if (load.plan.rate > 0 && !load.plan.is_churning)
        warm_up();
    load.is_warm = true;
    load.begin_us = now_us();
    load.next_due_us = (double)load.begin_us;
    for (;;) {
        int64_t wait_ns = start_due();
        if (load.answered == load.started && is_over(now_us()))
            return;
        take_events(wait_ns);
    }
}

static uint32_t percentile(double share)
{
    uint64_t rank = (uint64_t)((double)load.timed * share), seen = 0;
    for (uint32_t us = 0; us <= LATENCY_MAX_US; us++) {
        seen += load.latencies[us];
        if (seen > rank)
            return us;
    }
    return LATENCY_MAX_US;
}

/* ---- what it is told ---- */

static void take_option(struct plan *plan, int option, const char *value)
{
    switch (option) {
    case 'p':
        plan->port = (int)strtol(value, NULL, 10);
        break;
    case 'q':
        plan->file = value;
        break;
    case 'c':
        plan->connections = (unsigned)strtoul(value, NULL, 10);
        break;
    case 'd':
        plan->seconds = strtod(value, NULL);
        break;
    case 'n':
        plan->requests = strtoull(value, NULL, 10);
        break;
    case 'r':
        plan->rate = strtod(value, NULL);
        break;
    case 's':
        plan->status = (unsigned)strtoul(value, NULL, 10);
        break;
    case 'B':
        plan->answer_bytes = strtoull(value, NULL, 10);
        break;
    case 'b':
        plan->body_bytes = strtoull(value, NULL, 10);
        break;
    case 'u':
        plan->users = strtoull(value, NULL, 10);
        break;
    case 'z':
        plan->exponent = strtod(value, NULL);
        break;
    case '1':
        plan->is_churning = true;
        break;
    case 't':
        if (secured_init(value))
            break;
        __attribute__((fallthrough));
    default:
        fputs(USAGE, stderr);
        exit(2);
    }
}

static void read_plan(int argc, char **argv)
{
    struct plan *plan = &load.plan;
    *plan = (struct plan){
        .connections = 1, .status = 200, .seconds = 1, .answer_bytes = 128, .users = 1};
    for (int option; (option = getopt(argc, argv, "p:q:c:d:n:r:s:B:b:u:z:1t:")) != -1;)
        take_option(plan, option, optarg);
    if (plan->port <= 0 || !plan->file || plan->connections == 0 || optind != argc) {
        fputs(USAGE, stderr);
        exit(2);
    }
}

static void prepare(void)
{
    const struct plan *plan = &load.plan;
    FILE *file = fopen(plan->file, "rb");
    if (!file)
        fail("%s: %s", plan->file, strerror(errno));
    load.request_len = fread(load.request, 1, sizeof(load.request) - 1, file);
    fclose(file);
    load.user_at = strstr(load.request, USER_MARK);
    load.number_at = strstr(load.request, NUMBER_MARK);
    load.rng = UINT64_C(0x9e3779b97f4a7c15);
    prepare_users();
    load.body = malloc(plan->body_bytes + 1);
    load.conns = calloc(plan->connections, sizeof(*load.conns));
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load.body || !load.conns || load.epoll < 0)
        fail("memory or descriptors");
    memset(load.body, 'y', plan->body_bytes);
    memset(pattern, 'x', sizeof(pattern));
    for (unsigned i = plan->connections; i-- > 0;)
        make_idle(&load.conns[i]);
}

int main(int argc, char **argv)
{
    read_plan(argc, argv);
    prepare();
    run();
    double seconds = (double)(now_us() - load.begin_us) / 1e6;
    printf("{\"requests\":%llu,\"seconds\":%.6f,\"connects\":%llu,\"p50_us\":%u,\"p99_us\":%u}\n",
           (unsigned long long)load.answered, seconds, (unsigned long long)load.connects,
           percentile(0.5), percentile(0.99));
    return 0;
}
