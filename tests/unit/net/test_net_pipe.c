/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_pipe.c - pipes between streams: exact bytes, never one that holds another's, bounded, and copied from when
 * the kernel refuses. */
#include "net/net_pipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PART_BYTES 100000

struct world {
    struct metrics_registry *registry;
    struct loop *loop;
    struct loop_timer look;
    struct net_pipes pool;
    struct net_stream from, to;
    int sender, receiver; /* the far ends */
    char sent[PART_BYTES];
};

static void stream_of(struct net_stream *stream, int *far)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    *stream = (struct net_stream){.fd = ends[0], .is_readable = true, .is_writable = true};
    *far = ends[1];
}

static int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->registry = metrics_registry_new();
    w->loop = loop_new(metrics_registry_add_block(w->registry));
    assert_non_null(w->loop);
    net_pipes_init(&w->pool, w->loop);
    stream_of(&w->from, &w->sender);
    stream_of(&w->to, &w->receiver);
    for (size_t i = 0; i < sizeof(w->sent); i++)
        w->sent[i] = (char)(i * 7 + i / 251);
    *state = w;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *w = *state;
    net_pipes_fini(&w->pool);
    loop_free(w->loop);
    metrics_registry_free(w->registry);
    close(w->from.fd);
    close(w->to.fd);
    close(w->sender);
    close(w->receiver);
    free(w);
    return 0;
}

/* Into a pipe; how many bytes went. */
static size_t send_into(struct world *w, struct net_pipe *pipe, uint64_t max)
{
    ssize_t n = write(w->sender, w->sent, sizeof(w->sent));
    assert_true(n > 0);
    w->from.is_readable = true;
    ssize_t filled = net_pipe_fill(pipe, &w->from, max);
    assert_true(filled > 0 && (uint64_t)filled <= max);
    assert_int_equal(pipe->held_bytes, filled);
    return (size_t)filled;
}

static void receive(const struct world *w, const char *expected, size_t len)
{
    char *got = malloc(len + 1);
    size_t have = 0;
    assert_non_null(got);
    while (have < len) {
        ssize_t n = read(w->receiver, got + have, len - have);
        assert_true(n > 0);
        have += (size_t)n;
    }
    assert_memory_equal(got, expected, len);
    free(got);
}

static void test_bytes_pass(void **state)
{
    struct world *w = *state;
    struct net_pipe *pipe = net_pipe_take(&w->pool);
    assert_non_null(pipe);
    size_t n = send_into(w, pipe, 5000);
    assert_true(net_pipe_drain(pipe, &w->to));
    assert_int_equal(pipe->held_bytes, 0);
    receive(w, w->sent, n);
    struct net_pipe *same = pipe;
    net_pipe_give(&pipe);
    assert_null(pipe);
    pipe = net_pipe_take(&w->pool);
    assert_ptr_equal(pipe, same); /* an empty one is used again */
    net_pipe_give(&pipe);
    net_pipe_give(&pipe); /* none: nothing happens */
}

static void test_wait_and_end(void **state)
{
    struct world *w = *state;
    struct net_pipe *pipe = net_pipe_take(&w->pool);
    assert_int_equal(net_pipe_fill(pipe, &w->from, 1000), -1);
    assert_int_equal(errno, EAGAIN);
    assert_false(w->from.is_readable);
    assert_false(pipe->is_unfit);
    assert_int_equal(shutdown(w->sender, SHUT_WR), 0);
    assert_int_equal(net_pipe_fill(pipe, &w->from, 1000), -1); /* no event has come */
    assert_int_equal(errno, EAGAIN);
    w->from.is_readable = true;
    assert_int_equal(net_pipe_fill(pipe, &w->from, 1000), 0);
    net_pipe_give(&pipe);
}

static void test_blocked(void **state)
{
    struct world *w = *state;
    struct net_pipe *pipe = net_pipe_take(&w->pool);
    char junk[4096] = {0};
    size_t before = 0;
    ssize_t n;
    while ((n = write(w->to.fd, junk, sizeof(junk))) > 0)
        before += (size_t)n;
    size_t held = send_into(w, pipe, 3000);
    assert_true(net_pipe_drain(pipe, &w->to)); /* alive, and it took nothing */
    assert_false(w->to.is_writable);
    assert_int_equal(pipe->held_bytes, held);
    assert_true(net_pipe_drain(pipe, &w->to)); /* no event has come: not asked */
    while (before > 0) {
        n = read(w->receiver, junk, sizeof(junk));
        assert_true(n > 0);
        before -= (size_t)n;
    }
    w->to.is_writable = true;
    assert_true(net_pipe_drain(pipe, &w->to));
    assert_int_equal(pipe->held_bytes, 0);
    receive(w, w->sent, held);
    net_pipe_give(&pipe);
}

/* What one connection left in a pipe never comes out on another. */
static void test_dirty_is_closed(void **state)
{
    struct world *w = *state;
    struct net_pipe *pipe = net_pipe_take(&w->pool);
    (void)send_into(w, pipe, 4000);
    int in = pipe->in, out = pipe->out;
    net_pipe_give(&pipe);
    assert_null(w->pool.spare);
    assert_int_equal(fcntl(in, F_GETFD), -1);
    assert_int_equal(fcntl(out, F_GETFD), -1);
    pipe = net_pipe_take(&w->pool);
    assert_non_null(pipe);
    assert_int_equal(pipe->held_bytes, 0);
    char byte;
    assert_int_equal(read(pipe->out, &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
    net_pipe_give(&pipe);
}

static void test_bounded(void **state)
{
    struct world *w = *state;
    struct net_pipe *taken[NET_PIPES_MAX];
    for (unsigned i = 0; i < NET_PIPES_MAX; i++) {
        taken[i] = net_pipe_take(&w->pool);
        assert_non_null(taken[i]);
        assert_true(fcntl(taken[i]->in, F_GETPIPE_SZ) >= 65536);
    }
    assert_null(net_pipe_take(&w->pool));
    net_pipe_give(&taken[3]);
    taken[3] = net_pipe_take(&w->pool);
    assert_non_null(taken[3]);
    for (unsigned i = 0; i < NET_PIPES_MAX; i++)
        net_pipe_give(&taken[i]);
}

/* Without descriptors: none, and the kernel is asked again only after a while. */
static void test_no_descriptors(void **state)
{
    struct world *w = *state;
    struct rlimit old, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct net_pipe *pipe = net_pipe_take(&w->pool);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_null(pipe);
    assert_null(net_pipe_take(&w->pool));
    w->loop->mono_us += 10000000;
    pipe = net_pipe_take(&w->pool);
    assert_non_null(pipe);
    net_pipe_give(&pipe);
}

static void stop(void *arg)
{
    struct world *w = arg;
    if (w->pool.spare == NULL)
        loop_stop(w->loop);
    else
        loop_timer_set(w->loop, &w->look, w->loop->mono_us + LOOP_TICK_US);
}

/* Spare ones hold their descriptors only for a while. */
static void test_spare_are_closed(void **state)
{
    struct world *w = *state;
    struct net_pipe *pipe = net_pipe_take(&w->pool), *other = net_pipe_take(&w->pool);
    const int ends[2] = {pipe->in, other->out};
    net_pipe_give(&pipe);
    net_pipe_give(&other);
    assert_non_null(w->pool.spare);
    assert_true(fcntl(ends[0], F_GETFD) >= 0);
    loop_timer_init(&w->look, stop, w);
    loop_timer_set(w->loop, &w->look, w->loop->mono_us);
    loop_run(w->loop); /* returns when none is spare */
    for (int i = 0; i < 2; i++)
        assert_int_equal(fcntl(ends[i], F_GETFD), -1);
    pipe = net_pipe_take(&w->pool);
    assert_non_null(pipe);
    net_pipe_give(&pipe);
}

/* A descriptor that knows no splice: nothing has moved, nothing is lost. */
static void test_unfit(void **state)
{
    struct world *w = *state;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    assert_true(epoll >= 0);
    struct net_stream odd = {.fd = epoll, .is_readable = true, .is_writable = true};
    struct net_pipe *pipe = net_pipe_take(&w->pool);
    assert_int_equal(net_pipe_fill(pipe, &odd, 1000), -1);
    assert_true(pipe->is_unfit);
    assert_int_equal(pipe->held_bytes, 0);
    net_pipe_give(&pipe);
    pipe = net_pipe_take(&w->pool);
    assert_false(pipe->is_unfit);

    size_t held = send_into(w, pipe, 9000);
    assert_false(net_pipe_drain(pipe, &odd));
    assert_true(net_pipe_is_refused(errno));
    assert_int_equal(pipe->held_bytes, held);
    struct buf buf = {0};
    assert_int_equal(buf_append(&buf, SPAN("behind"), 100), ERR_OK);
    assert_int_equal(net_pipe_pour(pipe, &buf, 1 << 20), ERR_OK);
    assert_int_equal(pipe->held_bytes, 0);
    assert_int_equal(buf_len(&buf), held + 6);
    assert_memory_equal(buf_span(&buf).ptr, w->sent, held);
    assert_memory_equal(buf_span(&buf).ptr + held, "behind", 6);
    buf_free(&buf);
    net_pipe_give(&pipe);
    close(epoll);
}

static void test_pour_over_the_cap(void **state)
{
    struct world *w = *state;
    struct net_pipe *pipe = net_pipe_take(&w->pool);
    (void)send_into(w, pipe, 9000);
    struct buf buf = {0};
    assert_int_equal(buf_append(&buf, SPAN("kept"), 100), ERR_OK);
    assert_int_equal(net_pipe_pour(pipe, &buf, 8000), ERR_LIMIT);
    assert_int_equal(buf_len(&buf), 4);
    buf_free(&buf);
    net_pipe_give(&pipe);
}

static void test_dead_receiver(void **state)
{
    struct world *w = *state;
    struct net_pipe *pipe = net_pipe_take(&w->pool);
    (void)send_into(w, pipe, 2000);
    close(w->receiver);
    w->receiver = -1;
    assert_false(net_pipe_drain(pipe, &w->to));
    assert_int_equal(errno, EPIPE);
    assert_false(net_pipe_is_refused(errno));
    net_pipe_give(&pipe);
    assert_null(w->pool.spare);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_pass),    TEST(test_wait_and_end),
        TEST(test_blocked),       TEST(test_dirty_is_closed),
        TEST(test_bounded),       TEST(test_no_descriptors),
        TEST(test_unfit),         TEST(test_pour_over_the_cap),
        TEST(test_dead_receiver), TEST(test_spare_are_closed),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
