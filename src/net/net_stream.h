/* SPDX-License-Identifier: Apache-2.0 */
/* net_stream.h - one connection: read, write, close, behind one small interface, whether it is plain or TLS.
 * Edge-triggered: one event per descriptor, registered once; the stream remembers readiness and a seen end of
 * input, so a short read together with a FIN is never lost.  A plain one never buffers; OpenSSL holds one record each
 * way at most, and then the stream says that it is readable, or has to be written the same bytes again. */
#ifndef SLUICE_NET_STREAM_H
#define SLUICE_NET_STREAM_H

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/base_err.h"
#include "loop/loop.h"
#include "net/net_address.h"

struct net_stream;
struct net_tls_session;
typedef void (*net_stream_fn)(struct net_stream *stream, void *arg);

/* Is this errno a want of ours (descriptors, memory) and not the peer's fault? */
bool net_stream_is_shortage(int error);

/* Embedded in a connection.  Owner: that connection.  Closed by: net_stream_close.  Thread: the loop's. */
struct net_stream {
    struct loop *loop;
    struct event event;
    int fd;                        /* -1: closed */
    bool is_readable, is_writable; /* as far as is known */
    bool saw_end; /* FIN or error reported: keep reading until 0 or an error comes */
    bool is_connecting;
    bool is_watched;             /* the loop tells of it; until then on_ready never comes */
    struct net_tls_session *tls; /* NULL: plain; see net_tls.h */
    net_stream_fn on_ready;      /* readiness changed; reads and writes go from there */
    void *arg;
};

/* Take the descriptor (non-blocking, connected).  on_ready is not called from inside. */
MUST_USE enum err net_stream_open(struct net_stream *stream, struct loop *loop, int fd,
                                  net_stream_fn on_ready, void *arg);

/* The same in two halves.  Adopted, it may be read and written at once: who is done with it before it has to wait
 * saves the loop's work (two system calls).  To watch it once more is harmless. */
void net_stream_adopt(struct net_stream *stream, struct loop *loop, int fd, net_stream_fn on_ready,
                      void *arg);
MUST_USE enum err net_stream_watch(struct net_stream *stream);

/* Begin to connect.  on_ready comes when it is settled; net_stream_connected then tells. */
MUST_USE enum err net_stream_connect(struct net_stream *stream, struct loop *loop,
                                     const struct net_address *address, net_stream_fn on_ready,
                                     void *arg);
/* ERR_OK, ERR_AGAIN while it goes on, ERR_SYSTEM with errno when it failed (EPROTO: see net_tls_why). */
MUST_USE enum err net_stream_connected(struct net_stream *stream);

/* The first bytes of a connection that is being made: they go before everything else, TLS included, and together with
 * what is written next.  Once, before net_stream_connected.  ERR_OK, ERR_AGAIN while it still connects, ERR_SYSTEM. */
MUST_USE enum err net_stream_preface(struct net_stream *stream, const void *bytes, size_t len);

/* > 0 bytes; 0 end of input; -1 with errno EAGAIN: wait for on_ready; -1 otherwise: dead.  Under TLS the end is only what
 * the peer has said to be one (close_notify): a connection that just ends is dead, since anybody can end it. */
ssize_t net_stream_read(struct net_stream *stream, void *buf, size_t len);
/* >= 0 bytes taken (short: wait for on_ready); -1 with errno EAGAIN or dead.  What the peer said before it hung up can
 * still be read then; not so after a fault of TLS.  Whoever was left with bytes that were not taken writes them next, and
 * no others: part of them may be on their way already (TLS). */
ssize_t net_stream_write(struct net_stream *stream, const void *buf, size_t len);
/* The same for bytes behind which our end follows at once: they leave in one segment with it. */
ssize_t net_stream_write_last(struct net_stream *stream, const void *buf, size_t len);
ssize_t net_stream_writev(struct net_stream *stream, const struct iovec *iov, int count);

/* What would be read, as far as it has come, without taking it; as recv(2), and of the socket even under TLS. */
ssize_t net_stream_peek(struct net_stream *stream, void *buf, size_t len);
/* Asks the kernel whether input, an end or an error is there, without taking it.  When there is nothing, reads wait for
 * an event. */
bool net_stream_has_input(struct net_stream *stream);
/* Nothing more will come: the peer has ended or reset the connection, and all it sent has been read.  When there is nothing
 * yet, reads wait for an event. */
bool net_stream_is_over(struct net_stream *stream);

/* The connection was reset or has failed, also where its end was read already; not when a read or write has said so. */
bool net_stream_has_failed(const struct net_stream *stream);

/* The next read asks the kernel.  A reset that comes together with bytes is reported once, with them: who
 * cannot do without more looks again before it waits. */
static inline void net_stream_look_again(struct net_stream *stream)
{
    stream->is_readable = stream->fd >= 0;
}

/* Are the descriptor's bytes those that are read and written here?  Only then may anybody else move them. */
static inline bool net_stream_is_plain(const struct net_stream *stream)
{
    return stream->tls == NULL;
}

/* Bytes that were written and that the peer's side has not acknowledged yet (a Unix socket's count includes what
 * the kernel needs for them). */
size_t net_stream_unsent(const struct net_stream *stream);

/* Its two addresses; len 0: not known any more. */
void net_stream_ends(const struct net_stream *stream, struct net_address *own,
                     struct net_address *peer);

/* FIN after what was written; under TLS behind a close_notify. */
void net_stream_shutdown(struct net_stream *stream);
void net_stream_close(struct net_stream *stream);
/* With a reset: whoever reads sees an error, never a clean end. */
void net_stream_abort(struct net_stream *stream);

#endif
