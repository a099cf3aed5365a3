/* SPDX-License-Identifier: Apache-2.0 */
/* load.c - the load of the chaos tests: keep-alive connections on loopback at a fixed rate or flat out, from one
 * thread.  Gives: a line per request in a file,
 *   sent_us latency_us port connection nth status X-ratelimit X-ratelimit-used X-ratelimit-window
 *   Retry-After request-id user
 * separated by tabs, "-" for what was not there; instead of a status a word when there was no whole
 * answer: connect, reset, eof (closed before the first byte), cut (in the middle), timeout, garbled (not
 * HTTP, or a body that is not what was sent), unasked (data for no request), aborted (by us, on purpose),
 * end (still open when the time was over).  At the end a JSON line with totals.
 * sent_us is wall time; nth counts a connection's requests. */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../bench/loopback.h"
#include "message.h"

#define READ_BYTES   65536
#define RECONNECT_US 5000
#define LAST_WAIT_US 5000000

enum conn_state {
    CONN_CLOSED,
    CONN_CONNECTING,
    CONN_IDLE,
    CONN_BUSY
};

/* One connection.  Owner: struct load. */
struct conn {
    enum conn_state state;
    int fd;
    unsigned port, index;
    unsigned nth;               /* requests sent on this connection */
    uint64_t connect_at_us;     /* CLOSED: not before */
    uint64_t sent_us, begin_us; /* wall, monotonic */
    struct load_request request;
    struct message answer;
    bool has_bytes;    /* of the answer */
    struct conn *next; /* in the queue of idle ones */
};

struct load {
    struct load_plan plan;
    struct conn *conns;
    unsigned conn_count;
    struct conn *idle, **idle_end; /* the longest idle one first; may hold ones that left */
    int epoll;
    FILE *out;
    uint64_t rng;
    uint64_t sent, answered, broken, missed, connects, closes;
    double due; /* requests that should have been sent and were not */
};

static volatile sig_atomic_t is_told_to_stop;

static void on_signal(int number)
{
    (void)number;
    is_told_to_stop = 1;
}

static uint64_t clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void put_field(FILE *out, const struct message *answer, const char *name, size_t max)
{
    size_t len = 0;
    const char *value = answer ? message_field(answer, name, &len) : NULL;
    if (len > max)
        len = max;
    fprintf(out, "\t%.*s", value ? (int)len : 1, value ? value : "-");
}

/* `word` instead of a status when there is no whole answer. */
static void put_line(struct load *load, const struct conn *conn, const char *word)
{
    const struct message *answer = word ? NULL : &conn->answer;
    uint64_t latency_us = clock_us(CLOCK_MONOTONIC) - conn->begin_us;
    fprintf(load->out, "%llu\t%llu\t%u\t%u\t%u\t%.3s%s", (unsigned long long)conn->sent_us,
            (unsigned long long)latency_us, conn->port, conn->index, conn->nth,
            answer ? answer->head + 9 : "", word ? word : "");
    put_field(load->out, answer, "X-ratelimit", 20);
    put_field(load->out, answer, "X-ratelimit-used", 20);
    put_field(load->out, answer, "X-ratelimit-window", 20);
    put_field(load->out, answer, "Retry-After", 20);
    put_field(load->out, answer, "X-request-id", 32);
    fprintf(load->out, "\t%d\n", conn->request.user);
}

static void make_idle(struct load *load, struct conn *conn)
{
    conn->state = CONN_IDLE;
    conn->next = NULL;
    *load->idle_end = conn;
    load->idle_end = &conn->next;
}

static struct conn *take_idle(struct load *load)
{
    struct conn *conn = load->idle;
    if (!conn)
        return NULL;
    load->idle = conn->next;
    if (!load->idle)
        load->idle_end = &load->idle;
    return conn;
}

static void leave_idle(struct load *load, const struct conn *conn)
{
    struct conn **link = &load->idle;
    while (*link && *link != conn)
        link = &(*link)->next;
    if (!*link)
        return;
    *link = conn->next;
    if (load->idle_end == &conn->next)
        load->idle_end = link;
}

static void close_conn(struct load *load, struct conn *conn, uint64_t wait_us)
{
    if (conn->state == CONN_IDLE)
        leave_idle(load, conn);
    if (conn->state == CONN_IDLE || conn->state == CONN_BUSY)
        load->closes++;
    close(conn->fd);
    load_request_free(&conn->request);
    conn->state = CONN_CLOSED;
    conn->connect_at_us = clock_us(CLOCK_MONOTONIC) + wait_us;
}

/* The request is over without a whole answer. */
static void fail(struct load *load, struct conn *conn, const char *word)
{
    if (conn->state == CONN_BUSY || conn->state == CONN_CONNECTING) {
        put_line(load, conn, word);
        load->broken++;
    }
    close_conn(load, conn, conn->state == CONN_CONNECTING ? RECONNECT_US : 0);
}

static void give_up(struct load *load, struct conn *conn)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (conn->sent_us & 1) /* by lot: half of them end with a reset */
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    fail(load, conn, "aborted");
}

static void connect_conn(struct load *load, struct conn *conn)
{
    struct sockaddr_in address = loopback_address(conn->port);
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = conn};
    if (conn->fd < 0 || epoll_ctl(load->epoll, EPOLL_CTL_ADD, conn->fd, &event)) {
        perror("load: socket");
        exit(1);
    }
    loopback_no_delay(conn->fd);
    conn->state = CONN_CONNECTING;
    conn->nth = 0;
    conn->sent_us = clock_us(CLOCK_REALTIME);
    conn->begin_us = clock_us(CLOCK_MONOTONIC);
    conn->request.user = 0;
    load->connects++;
    if (connect(conn->fd, (struct sockaddr *)&address, sizeof(address)) && errno != EINPROGRESS)
        fail(load, conn, "connect");
}

/* Sends what goes; gives the request up where the lot wants it. */
static void send_request(struct load *load, struct conn *conn)
{
    struct load_request *request = &conn->request;
    size_t until = request->abort == LOAD_ABORT_HALF_SENT ? request->len / 2 : request->len;
    while (request->sent < until) {
        ssize_t n =
            send(conn->fd, request->bytes + request->sent, until - request->sent, MSG_NOSIGNAL);
        if (n < 0) {
            /* A reset shows again when reading: an early answer may stand before it. */
            return;
        }
        request->sent += (size_t)n;
    }
    if (request->abort == LOAD_ABORT_HALF_SENT || request->abort == LOAD_ABORT_SENT)
        give_up(load, conn);
}

static bool is_enough(const struct load *load)
{
    return load->plan.requests_max > 0 && load->sent >= load->plan.requests_max;
}

static bool start_request(struct load *load)
{
    struct conn *conn = is_enough(load) ? NULL : take_idle(load);
    if (!conn)
        return false;
    if (!load_request_make(&conn->request, &load->plan, &load->rng, load->sent)) {
        perror("load: memory");
        exit(1);
    }
    conn->state = CONN_BUSY;
    conn->nth++;
    conn->has_bytes = false;
    message_begin(&conn->answer);
    conn->sent_us = clock_us(CLOCK_REALTIME);
    conn->begin_us = clock_us(CLOCK_MONOTONIC);
    load->sent++;
    send_request(load, conn);
    return true;
}

/* NULL when the answer is what the request deserves. */
static const char *judge(const struct conn *conn)
{
    const struct message *answer = &conn->answer;
    if (strncmp(answer->head, "HTTP/1.1 ", 9) != 0)
        return "garbled";
    if (strncmp(answer->head + 9, "200", 3) != 0)
        return NULL;
    bool is_whole = message_number(answer, "X-Received") == (int64_t)conn->request.body_bytes;
    return is_whole && answer->is_pattern ? NULL : "garbled";
}

static void finish(struct load *load, struct conn *conn)
{
    const char *word = judge(conn);
    size_t len = 0;
    const char *connection = message_field(&conn->answer, "Connection", &len);
    put_line(load, conn, word);
    load->answered++;
    bool is_last = connection && strncasecmp(connection, "close", 5) == 0;
    if (word || is_last || conn->request.sent < conn->request.len) {
        close_conn(load, conn, 0);
        return;
    }
    load_request_free(&conn->request);
    make_idle(load, conn);
}

static void read_answer(struct load *load, struct conn *conn)
{
    static char buf[READ_BYTES];
    while (conn->state == CONN_BUSY || conn->state == CONN_IDLE) {
        ssize_t n = recv(conn->fd, buf, sizeof(buf), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (conn->state == CONN_IDLE) {
            if (n > 0)
                put_line(load, conn, "unasked");
            close_conn(load, conn, 0);
            return;
        }
        if (n <= 0) {
            fail(load, conn, conn->has_bytes ? "cut" : n == 0 ? "eof" : "reset");
            return;
        }
        conn->has_bytes = true;
        if (conn->request.abort == LOAD_ABORT_HALF_READ) {
            give_up(load, conn);
            return;
        }
        size_t used = message_feed(&conn->answer, buf, (size_t)n);
        if (conn->answer.phase == MESSAGE_BROKEN || used != (size_t)n)
            fail(load, conn, "garbled");
        else if (conn->answer.phase == MESSAGE_DONE)
            finish(load, conn);
    }
}

static void on_event(struct load *load, struct conn *conn)
{
    if (conn->state == CONN_CONNECTING) {
        int error = 0;
        socklen_t len = sizeof(error);
        getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error) {
            fail(load, conn, "connect");
            return;
        }
        make_idle(load, conn);
        return;
    }
    if (conn->state == CONN_BUSY && conn->request.sent < conn->request.len)
        send_request(load, conn);
    read_answer(load, conn);
}

static bool is_burst(const struct load_plan *plan, uint64_t wall_us)
{
    if (plan->burst_period_s == 0)
        return false;
    uint64_t period_us = (uint64_t)plan->burst_period_s * 1000000, at = wall_us % period_us;
    return at < (uint64_t)plan->burst_after_ms * 1000 ||
           at >= period_us - (uint64_t)plan->burst_before_ms * 1000;
}

/* What is due goes out; what finds no connection within a round of all of them is missed, not owed. */
static void send_due(struct load *load, double passed_s)
{
    if (load->plan.rate_per_s <= 0 || is_burst(&load->plan, clock_us(CLOCK_REALTIME))) {
        for (unsigned i = 0; i < load->conn_count && start_request(load); i++) {
        }
        return;
    }
    load->due += passed_s * load->plan.rate_per_s;
    while (load->due >= 1 && start_request(load))
        load->due -= 1;
    if (load->due > load->conn_count) {
        load->missed += (uint64_t)(load->due - load->conn_count);
        load->due = load->conn_count;
    }
}

static void look_at_clocks(struct load *load, uint64_t now_us, bool may_connect)
{
    uint64_t timeout_us = (uint64_t)load->plan.timeout_ms * 1000;
    for (unsigned i = 0; i < load->conn_count; i++) {
        struct conn *conn = &load->conns[i];
        bool waits = conn->state == CONN_BUSY || conn->state == CONN_CONNECTING;
        if (waits && now_us > conn->begin_us + timeout_us)
            fail(load, conn, "timeout");
        if (may_connect && conn->state == CONN_CLOSED && now_us >= conn->connect_at_us)
            connect_conn(load, conn);
    }
}

static unsigned count_busy(const struct load *load)
{
    unsigned count = 0;
    for (unsigned i = 0; i < load->conn_count; i++)
        count += load->conns[i].state == CONN_BUSY;
    return count;
}

static void run(struct load *load)
{
    struct epoll_event events[256];
    uint64_t begin_us = clock_us(CLOCK_MONOTONIC), before_us = begin_us;
    uint64_t end_us = begin_us + (uint64_t)(load->plan.seconds * 1e6);
    for (;;) {
        uint64_t now_us = clock_us(CLOCK_MONOTONIC);
        if ((is_told_to_stop || is_enough(load)) && now_us < end_us)
            end_us = now_us;
        bool is_over = now_us >= end_us;
        if (is_over && (count_busy(load) == 0 || now_us > end_us + LAST_WAIT_US))
            return;
        look_at_clocks(load, now_us, !is_over);
        if (!is_over)
            send_due(load, (double)(now_us - before_us) / 1e6);
        before_us = now_us;
        int count = epoll_wait(load->epoll, events, 256, 1);
        for (int i = 0; i < count; i++)
            on_event(load, events[i].data.ptr);
    }
}

static bool open_load(struct load *load)
{
    const struct load_plan *plan = &load->plan;
    load->conn_count = plan->connections * plan->port_count;
    load->conns = calloc(load->conn_count, sizeof(*load->conns));
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->out = fopen(plan->file, "w");
    load->idle_end = &load->idle;
    load->rng = plan->seed;
    if (!load->conns || load->epoll < 0 || !load->out) {
        perror("load");
        return false;
    }
    for (unsigned i = 0; i < load->conn_count; i++) {
        load->conns[i].index = i;
        load->conns[i].port = plan->ports[i % plan->port_count];
    }
    return true;
}

int main(int argc, char **argv)
{
    struct load load = {0};
    if (!load_plan_read(&load.plan, argc, argv))
        return 2;
    if (!open_load(&load))
        return 1;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    run(&load);
    for (unsigned i = 0; i < load.conn_count; i++)
        if (load.conns[i].state == CONN_BUSY)
            fail(&load, &load.conns[i], "end");
    printf("{\"sent\":%llu,\"answered\":%llu,\"broken\":%llu,\"missed\":%llu,\"connects\":%llu,"
           "\"closes\":%llu}\n",
           (unsigned long long)load.sent, (unsigned long long)load.answered,
           (unsigned long long)load.broken, (unsigned long long)load.missed,
           (unsigned long long)load.connects, (unsigned long long)load.closes);
    free(load.plan.shares);
    return fclose(load.out) == 0 ? 0 : 1;
}
