/* SPDX-License-Identifier: Apache-2.0 */
/* net_pipe.h - pipes by which bytes pass from one connection to another without being copied (splice).  Takes: two
 * streams.  Gives: the bytes of one to the other, unseen.
 *
 * Bounded: a worker has at most NET_PIPES_MAX, each of NET_PIPE_BYTES; who finds none copies.  One that holds bytes
 * belongs to the connection that is to take them, and goes with it: bytes of one connection can never come out on
 * another, since a pipe is only used again when all that went in came out.  Spare ones are closed when none was given
 * back for NET_PIPE_SPARE_US. */
#ifndef SLUICE_NET_NET_PIPE_H
#define SLUICE_NET_NET_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/base_buf.h"
#include "net/net_stream.h"

#define NET_PIPES_MAX     8      /* two descriptors each; main_limits.c reckons with them */
#define NET_PIPE_BYTES    262144 /* measured: 64 KiB costs a third more, 1 MiB leaves the cache */
#define NET_PIPE_SPARE_US 1000000

struct net_pipes;

/* Owner: its pool, or the connection for which it holds bytes.  Freed by: net_pipe_give.  Thread: the loop's. */
struct net_pipe {
    struct net_pipes *pool;
    struct net_pipe *next; /* of those that are spare or closed */
    int in, out;           /* what is written to, what is read from; -1: closed */
    size_t held_bytes;
    bool is_unfit; /* the last fill found that a pipe is of no use here, and moved nothing */
};

/* Owner: the worker.  Freed by: net_pipes_fini.  Thread: the loop's. */
struct net_pipes {
    struct loop *loop; /* borrowed */
    struct net_pipe *spare, *closed;
    uint64_t retry_us;      /* there were no descriptors: not before this time again */
    struct loop_timer rest; /* closes spare ones */
    struct net_pipe all[NET_PIPES_MAX];
};

void net_pipes_init(struct net_pipes *pool, struct loop *loop);
void net_pipes_fini(struct net_pipes *pool); /* every one must have been given back */

/* An empty one; NULL: there is none to be had. */
struct net_pipe *net_pipe_take(struct net_pipes *pool);
/* What it holds is thrown away. */
void net_pipe_give(struct net_pipe **taken);

/* Into an empty pipe, at most so many bytes.  > 0 bytes; 0 end of input; -1 with errno EAGAIN: wait for on_ready, or
 * is_unfit: read the stream instead; -1 otherwise: dead. */
ssize_t net_pipe_fill(struct net_pipe *pipe, struct net_stream *from, uint64_t max);
/* Out of it; held_bytes says what is left, for which on_ready tells when to go on.  False: the stream is dead, or, where
 * net_pipe_is_refused says so of errno, takes nothing from pipes: send what net_pipe_pour gives instead. */
MUST_USE bool net_pipe_drain(struct net_pipe *pipe, struct net_stream *to);
bool net_pipe_is_refused(int error);

/* What it holds goes in front of what waits in this buffer.  ERR_NOMEM, ERR_LIMIT: nothing can be trusted any more;
 * the connection must end. */
MUST_USE enum err net_pipe_pour(struct net_pipe *pipe, struct buf *buf, size_t max);

#endif
