/* SPDX-License-Identifier: Apache-2.0 */
/* test_upstream_conn.c - a server's bytes, cut anywhere, give the same events; what is wrong is said so; what
 * comes beyond a response makes the connection useless. */
#include "upstream/upstream_conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIELDS 64

static const struct http_head_limits HEAD_LIMITS = {4096, 4096, 16384, FIELDS};
static const struct http_body_limits BODY_LIMITS = {256, 1024, 65536};

/* A response as the events that it gave: "H200 Dhello E" and how it ended. */
struct world {
    struct metrics_registry *registry;
    struct loop *loop;
    struct upstream_conn conn;
    struct arena arena;
    struct http_field fields[FIELDS];
    int peer;
    char events[4096];
    bool is_over;
};

static void note(struct world *w, char kind, struct span text)
{
    size_t len = strlen(w->events);
    snprintf(w->events + len, sizeof(w->events) - len, " %c%.*s", kind, (int)text.len,
             text.len == 0 ? "" : text.ptr);
}

/* Data that comes in several pieces reads as one. */
static void note_data(struct world *w, struct span data)
{
    size_t len = strlen(w->events);
    char *last = strrchr(w->events, ' ');
    if (last == NULL || last[1] != 'D')
        len += (size_t)snprintf(w->events + len, sizeof(w->events) - len, " D");
    snprintf(w->events + len, sizeof(w->events) - len, "%.*s", (int)data.len, data.ptr);
}

static void read_events(struct world *w)
{
    struct upstream_reading reading = {
        .head = {.fields = w->fields, .field_max = FIELDS},
        .head_limits = &HEAD_LIMITS,
        .body_limits = &BODY_LIMITS,
        .arena = &w->arena,
    };
    char status[8];
    while (!w->is_over) {
        switch (upstream_conn_read(&w->conn, &reading)) {
        case UPSTREAM_WAIT:
            return;
        case UPSTREAM_HEAD:
            snprintf(status, sizeof(status), "%u", reading.head.status);
            note(w, 'H', span_of(status));
            break;
        case UPSTREAM_DATA:
            note_data(w, reading.data);
            break;
        case UPSTREAM_END:
            note(w, 'E', reading.data);
            w->is_over = true;
            break;
        case UPSTREAM_GONE:
            note(w, 'G', SPAN_NONE);
            w->is_over = true;
            break;
        case UPSTREAM_BAD:
            note(w, 'B', SPAN_NONE);
            w->is_over = true;
            break;
        }
    }
}

static void on_ready(struct net_stream *stream, void *arg)
{
    struct world *w = arg;
    (void)stream;
    read_events(w);
    loop_stop(w->loop);
}

static void world_open(struct world *w, enum http_method method)
{
    int fds[2];
    memset(w, 0, sizeof(*w));
    w->registry = metrics_registry_new();
    w->loop = loop_new(metrics_registry_add_block(w->registry));
    arena_init(&w->arena, NULL, 0, 65536);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    w->peer = fds[1];
    loop_timer_init(&w->conn.timer, NULL, NULL);
    assert_int_equal(net_stream_open(&w->conn.stream, w->loop, fds[0], on_ready, w), ERR_OK);
    upstream_conn_begin(&w->conn, method, false);
    w->conn.sent_all = true;
}

static void world_close(struct world *w)
{
    net_stream_close(&w->conn.stream);
    buf_free(&w->conn.in);
    buf_free(&w->conn.out);
    if (w->peer >= 0)
        close(w->peer);
    arena_fini(&w->arena);
    loop_free(w->loop);
    metrics_registry_free(w->registry);
}

/* Socketpairs deliver at once: what was written is readable without a turn of the loop. */
static void deliver(struct world *w, const char *bytes, size_t len)
{
    if (len == 0)
        return;
    assert_int_equal(write(w->peer, bytes, len), (ssize_t)len);
    w->conn.stream.is_readable = true;
    read_events(w);
}

struct row {
    const char *name;
    enum http_method method;
    const char *bytes;
    const char *events; /* when the server then closes */
    bool is_reusable;   /* before it closes */
};

static const struct row ROWS[] = {
    {"length", HTTP_METHOD_GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
     " H200 Dhello E", true},
    {"empty", HTTP_METHOD_GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", " H200 E", true},
    {"no content", HTTP_METHOD_GET, "HTTP/1.1 204 No Content\r\n\r\n", " H204 E", true},
    {"not modified", HTTP_METHOD_GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
     " H304 E", true},
    {"head", HTTP_METHOD_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", " H200 E", true},
    {"chunked", HTTP_METHOD_GET,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
     " H200 Dabcde E", true},
    {"trailers", HTTP_METHOD_GET,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\nX-Sum: 1\r\n\r\n",
     " H200 Dz EX-Sum: 1\r\n", true},
    {"interim", HTTP_METHOD_GET,
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
     " H100 H103 H200 Dx E", true},
    {"until close", HTTP_METHOD_GET, "HTTP/1.1 200 OK\r\n\r\nabc", " H200 Dabc E", false},
    {"close", HTTP_METHOD_GET, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
     " H200 Dx E", false},
    {"1.0", HTTP_METHOD_GET, "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", " H200 Dx E", false},
    {"tunnel", HTTP_METHOD_GET,
     "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 x\r\nUpgrade: x\r\n\r\nHTTP/1.1\r\n\r\n",
     " H103 H101 DHTTP/1.1\r\n\r\n E", false},
    {"empty tunnel", HTTP_METHOD_GET, "HTTP/1.1 101 x\r\n\r\n", " H101 E", false},
    {"short body", HTTP_METHOD_GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
     " H200 Dhell G", false},
    {"short chunk", HTTP_METHOD_GET,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", " H200 Dhel G", false},
    {"no last chunk", HTTP_METHOD_GET,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n", " H200 Dh G", false},
    {"half a head", HTTP_METHOD_GET, "HTTP/1.1 200 OK\r\nContent-Le", " G", false},
    {"nothing", HTTP_METHOD_GET, "", " G", false},
    {"not HTTP", HTTP_METHOD_GET, "SSH-2.0-OpenSSH_9.2\r\n\r\n", " B", false},
    {"both framings", HTTP_METHOD_GET,
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", " B", false},
    {"two lengths", HTTP_METHOD_GET,
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", " B", false},
    {"bad chunk", HTTP_METHOD_GET,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n", " H200 B", false},
};

static void run_row(const struct row *row, size_t cut)
{
    struct world w;
    size_t len = strlen(row->bytes);
    world_open(&w, row->method);
    deliver(&w, row->bytes, cut);
    deliver(&w, row->bytes + cut, len - cut);
    if (w.is_over && upstream_conn_is_reusable(&w.conn) != row->is_reusable)
        fail_msg("%s, cut at %zu: reusable is not %d", row->name, cut, row->is_reusable);
    close(w.peer);
    w.peer = -1;
    if (!w.is_over)
        loop_run(w.loop);
    if (strcmp(w.events, row->events) != 0)
        fail_msg("%s, cut at %zu: \"%s\", not \"%s\"", row->name, cut, w.events, row->events);
    world_close(&w);
}

static void test_every_row_cut_at_every_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(*ROWS); i++) {
        for (size_t cut = 0; cut <= strlen(ROWS[i].bytes); cut++)
            run_row(&ROWS[i], cut);
    }
}

static void test_every_row_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(*ROWS); i++) {
        const struct row *row = &ROWS[i];
        struct world w;
        world_open(&w, row->method);
        for (size_t at = 0; row->bytes[at] != 0 && !w.is_over; at++)
            deliver(&w, row->bytes + at, 1);
        close(w.peer);
        w.peer = -1;
        if (!w.is_over)
            loop_run(w.loop);
        if (strcmp(w.events, row->events) != 0)
            fail_msg("%s: \"%s\", not \"%s\"", row->name, w.events, row->events);
        world_close(&w);
    }
}

static void test_bytes_beyond_a_response_end_the_connection(void **state)
{
    struct world w;
    const char *bytes = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n\r\n";
    (void)state;
    world_open(&w, HTTP_METHOD_GET);
    deliver(&w, bytes, strlen(bytes));
    assert_string_equal(w.events, " H200 Dx E");
    assert_false(upstream_conn_is_reusable(&w.conn));
    world_close(&w);
}

static void test_a_head_without_end_is_refused(void **state)
{
    struct world w;
    char line[] = "X-Filler: 0123456789012345678901234567890123456789\r\n";
    (void)state;
    world_open(&w, HTTP_METHOD_GET);
    deliver(&w, "HTTP/1.1 200 OK\r\n", 17);
    for (unsigned i = 0; i < 1000 && !w.is_over; i++)
        deliver(&w, line, sizeof(line) - 1);
    assert_string_equal(w.events, " B");
    world_close(&w);
}

static void test_what_the_kernel_does_not_take_is_sent_later(void **state)
{
    struct world w;
    static char data[65536], got[65536];
    size_t sent = 0, read_bytes = 0;
    (void)state;
    world_open(&w, HTTP_METHOD_POST);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)('a' + i % 26);
    while (!upstream_conn_is_blocked(&w.conn)) {
        assert_true(upstream_conn_send_data(&w.conn, (struct span){data, sizeof(data)}));
        sent += sizeof(data);
    }
    while (read_bytes < sent) {
        ssize_t n = read(w.peer, got, sizeof(got));
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(got[i], 'a' + (read_bytes + (size_t)i) % sizeof(data) % 26);
        if (n > 0)
            read_bytes += (size_t)n;
        w.conn.stream.is_writable = true;
        assert_true(upstream_conn_flush(&w.conn));
    }
    assert_false(upstream_conn_is_blocked(&w.conn));
    world_close(&w);
}

/* A socket that appends takes nothing from a pipe (splice(2)), and its buffer has room: no event will come. */
static void test_what_a_pipe_was_refused_is_sent_at_once(void **state)
{
    struct world w;
    struct net_pipes pool;
    char data[9000], got[sizeof(data)];
    (void)state;
    world_open(&w, HTTP_METHOD_POST);
    net_pipes_init(&pool, w.loop);
    struct net_pipe *pipe = net_pipe_take(&pool);
    assert_non_null(pipe);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)('a' + i % 26);
    assert_int_equal(write(pipe->in, data, sizeof(data)), sizeof(data));
    pipe->held_bytes = sizeof(data);
    int flags = fcntl(w.conn.stream.fd, F_GETFL);
    assert_int_equal(fcntl(w.conn.stream.fd, F_SETFL, flags | O_APPEND), 0);
    assert_true(upstream_conn_send_pipe(&w.conn, &pipe));
    assert_non_null(pipe);
    assert_int_equal(pipe->held_bytes, 0);
    assert_false(upstream_conn_is_blocked(&w.conn));
    assert_int_equal(read(w.peer, got, sizeof(got)), sizeof(got));
    assert_memory_equal(got, data, sizeof(data));
    net_pipe_give(&pipe);
    net_pipes_fini(&pool);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_cut_at_every_byte),
        cmocka_unit_test(test_every_row_byte_by_byte),
        cmocka_unit_test(test_bytes_beyond_a_response_end_the_connection),
        cmocka_unit_test(test_a_head_without_end_is_refused),
        cmocka_unit_test(test_what_the_kernel_does_not_take_is_sent_later),
        cmocka_unit_test(test_what_a_pipe_was_refused_is_sent_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
