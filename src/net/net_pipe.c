/* SPDX-License-Identifier: Apache-2.0 */
/* net_pipe.c - see net_pipe.h.  Never looks at what passes, never blocks. */
#include "net/net_pipe.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PIPE_LEAST_BYTES                                                                           \
    65536 /* a smaller one (see pipe(7), pipe-user-pages-soft) is slower than copying */
#define PIPE_RETRY_US   1000000
#define PIPE_POUR_BYTES 4096

static void pipe_close(struct net_pipe *pipe)
{
    close(pipe->in);
    close(pipe->out);
    pipe->in = pipe->out = -1;
    pipe->held_bytes = 0;
    pipe->next = pipe->pool->closed;
    pipe->pool->closed = pipe;
}

static void pipes_close_spare(void *arg)
{
    struct net_pipes *pool = arg;
    while (pool->spare != NULL) {
        struct net_pipe *pipe = pool->spare;
        pool->spare = pipe->next;
        pipe_close(pipe);
    }
}

void net_pipes_init(struct net_pipes *pool, struct loop *loop)
{
    *pool = (struct net_pipes){.loop = loop};
    loop_timer_init(&pool->rest, pipes_close_spare, pool);
    for (unsigned i = NET_PIPES_MAX; i-- > 0;) {
        pool->all[i] = (struct net_pipe){.pool = pool, .next = pool->closed, .in = -1, .out = -1};
        pool->closed = &pool->all[i];
    }
}

void net_pipes_fini(struct net_pipes *pool)
{
    unsigned count = 0;
    if (pool->loop == NULL)
        return;
    loop_timer_cancel(&pool->rest);
    pipes_close_spare(pool);
    for (struct net_pipe *pipe = pool->closed; pipe != NULL; pipe = pipe->next)
        count++;
    assert(count == NET_PIPES_MAX);
    (void)count;
}

static bool pipe_open(struct net_pipe *pipe)
{
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0)
        return false;
    if (fcntl(ends[1], F_SETPIPE_SZ, NET_PIPE_BYTES) < 0 &&
        fcntl(ends[1], F_GETPIPE_SZ) < PIPE_LEAST_BYTES) {
        close(ends[0]);
        close(ends[1]);
        return false;
    }
    pipe->out = ends[0];
    pipe->in = ends[1];
    return true;
}

struct net_pipe *net_pipe_take(struct net_pipes *pool)
{
    struct net_pipe *pipe = pool->spare;
    if (pipe != NULL) {
        pool->spare = pipe->next;
    } else {
        pipe = pool->closed;
        if (pipe == NULL || pool->loop->mono_us < pool->retry_us)
            return NULL;
        if (!pipe_open(pipe)) {
            pool->retry_us = pool->loop->mono_us + PIPE_RETRY_US;
            return NULL;
        }
        pool->closed = pipe->next;
    }
    pipe->is_unfit = false;
    return pipe;
}

void net_pipe_give(struct net_pipe **taken)
{
    struct net_pipe *pipe = *taken;
    *taken = NULL;
    if (pipe == NULL)
        return;
    if (pipe->held_bytes != 0) {
        pipe_close(pipe);
        return;
    }
    pipe->next = pipe->pool->spare;
    pipe->pool->spare = pipe;
    loop_timer_set(pipe->pool->loop, &pipe->pool->rest,
                   pipe->pool->loop->mono_us + NET_PIPE_SPARE_US);
}

/* Errors of the pair of pipe and socket, or of this moment: none of them says that the connection is dead. */
bool net_pipe_is_refused(int error)
{
    return error == EINVAL || error == ENOSYS || error == EPERM || error == EACCES ||
           error == EOPNOTSUPP || net_stream_is_shortage(error);
}

/* The pipe is empty, so EAGAIN can only be of the stream.  Fewer bytes than asked for say nothing: the pipe's places for
 * fragments may have run out before its bytes did. */
ssize_t net_pipe_fill(struct net_pipe *pipe, struct net_stream *from, uint64_t max)
{
    ssize_t n;
    assert(pipe->held_bytes == 0 && net_stream_is_plain(from));
    if (!from->is_readable) {
        errno = EAGAIN;
        return -1;
    }
    size_t len = max < NET_PIPE_BYTES ? (size_t)max : NET_PIPE_BYTES;
    do
        n = splice(from->fd, NULL, pipe->in, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        pipe->held_bytes = (size_t)n;
    } else if (n < 0 && errno == EAGAIN) {
        from->is_readable = false;
    } else if (n < 0 && net_pipe_is_refused(errno)) {
        pipe->is_unfit = true;
    }
    return n;
}

/* Until the kernel says that it takes no more: fewer bytes than there were need not mean that (see net_pipe_fill), and
 * without EAGAIN no event would come. */
bool net_pipe_drain(struct net_pipe *pipe, struct net_stream *to)
{
    assert(net_stream_is_plain(to));
    while (pipe->held_bytes != 0 && to->is_writable) {
        ssize_t n = splice(pipe->out, NULL, to->fd, NULL, pipe->held_bytes,
                           SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n > 0)
            pipe->held_bytes -= (size_t)n;
        else if (n == 0 || (errno != EINTR && errno != EAGAIN))
            return false;
        else if (errno == EAGAIN)
            to->is_writable = false;
    }
    return true;
}

enum err net_pipe_pour(struct net_pipe *pipe, struct buf *buf, size_t max)
{
    struct buf all = {0};
    char part[PIPE_POUR_BYTES];
    enum err err = ERR_OK;
    while (err == ERR_OK && pipe->held_bytes != 0) {
        size_t len = pipe->held_bytes < sizeof(part) ? pipe->held_bytes : sizeof(part);
        ssize_t n = read(pipe->out, part, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err = ERR_SYSTEM;
            break;
        }
        pipe->held_bytes -= (size_t)n;
        err = buf_append(&all, (struct span){part, (size_t)n}, max);
    }
    if (err == ERR_OK)
        err = buf_append(&all, buf_span(buf), max);
    if (err != ERR_OK) {
        buf_free(&all);
        return err;
    }
    buf_free(buf);
    *buf = all;
    return ERR_OK;
}
