/* SPDX-License-Identifier: Apache-2.0 */
/* client_write.c - from responses to a client's bytes.  Takes: heads and data from an exchange.  Gives: HTTP/1.1
 * messages; small ones leave in one send at the end of the callback, what the kernel does not take waits
 * in the connection's work. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/base_fmt.h"
#include "client/client_private.h"

/* Nothing can be written any more.  Who is on the stack may not be torn down: the task does it. */
static void client_broke(struct client_conn *conn)
{
    conn->is_broken = true;
    conn->env->cork_len = 0;
    client_work_drop_output(conn->work);
    loop_task_schedule(client_loop(conn), &conn->work->task);
}

void client_watch(struct client_conn *conn)
{
    if (net_stream_watch(&conn->stream) != ERR_OK)
        client_broke(conn);
}

/* Bytes wait that the kernel did not take. */
static void client_blocked(struct client_conn *conn)
{
    client_pace_blocked(conn);
    client_watch(conn);
}

/* Does our end follow in this callback what is sent now? */
static bool client_ends_now(const struct client_conn *conn)
{
    return conn->will_close && conn->request_done && conn->x != NULL && conn->x->response_done;
}

/* What is left of these once so many bytes were sent waits. */
static void client_keep(struct client_conn *conn, const struct iovec *iov, int count, size_t sent)
{
    struct client_work *work = conn->work;
    for (int i = 0; i < count; i++) {
        size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;
        struct span rest = {(const char *)iov[i].iov_base + skip, iov[i].iov_len - skip};
        sent -= skip;
        if (rest.len == 0)
            continue;
        if (buf_append(&work->out, rest, CLIENT_OUT_MAX_BYTES) != ERR_OK) {
            client_broke(conn);
            return;
        }
    }
}

/* The kernel said n. */
static void client_wrote(struct client_conn *conn, const struct iovec *iov, int count, ssize_t n)
{
    if (n < 0 && errno != EAGAIN) {
        client_broke(conn);
        return;
    }
    const size_t sent = n < 0 ? 0 : (size_t)n;
    conn->work->sent_bytes += sent;
    client_keep(conn, iov, count, sent);
    if (client_work_has_unsent(conn->work))
        client_blocked(conn);
}

static inline bool client_can_put(const struct client_conn *conn)
{
    return !conn->is_broken && conn->stream.fd >= 0;
}

static void client_put(struct client_conn *conn, const struct iovec *iov, int count)
{
    if (!client_can_put(conn))
        return;
    if (client_work_has_unsent(conn->work))
        client_keep(conn, iov, count, 0);
    else
        client_wrote(conn, iov, count, net_stream_writev(&conn->stream, iov, count));
}

/* The two for one text that does not go at once.  Not inlined: mostly all of it goes. */
static __attribute__((noinline)) void client_keep_text(struct client_conn *conn, struct span text)
{
    const struct iovec iov = {(char *)(uintptr_t)text.ptr, text.len};
    client_keep(conn, &iov, 1, 0);
}

static __attribute__((noinline)) void client_wrote_text(struct client_conn *conn, struct span text,
                                                        ssize_t n)
{
    const struct iovec iov = {(char *)(uintptr_t)text.ptr, text.len};
    client_wrote(conn, &iov, 1, n);
}

static void client_put_text(struct client_conn *conn, struct span text)
{
    if (!client_can_put(conn))
        return;
    if (client_work_has_unsent(conn->work)) {
        client_keep_text(conn, text);
        return;
    }
    ssize_t n = client_ends_now(conn) ? net_stream_write_last(&conn->stream, text.ptr, text.len)
                                      : net_stream_write(&conn->stream, text.ptr, text.len);
    if (n == (ssize_t)text.len)
        conn->work->sent_bytes += text.len;
    else
        client_wrote_text(conn, text, n);
}

/* Not inlined: its frame would burden callers that mostly have nothing to send. */
__attribute__((noinline)) static void client_send_cork(struct client_conn *conn)
{
    const struct span text = {conn->env->cork, conn->env->cork_len};
    conn->env->cork_len = 0;
    client_put_text(conn, text);
}

static void client_uncork(struct client_conn *conn)
{
    if (conn->env->cork_len != 0)
        client_send_cork(conn);
}

/* What is in the pipe, as far as it goes. */
static void client_drain_pipe(struct client_conn *conn, struct net_pipe *pipe)
{
    struct client_work *work = conn->work;
    size_t before = pipe->held_bytes;
    bool is_good = net_pipe_drain(pipe, &conn->stream);
    work->sent_bytes += before - pipe->held_bytes;
    if (is_good || (net_pipe_is_refused(errno) &&
                    net_pipe_pour(pipe, &work->out, CLIENT_OUT_MAX_BYTES) == ERR_OK))
        return;
    client_broke(conn);
}

void client_flush(struct client_conn *conn)
{
    struct client_work *work = conn->work;
    assert(conn->env->cork_len == 0 || !conn->is_broken);
    if (conn->stream.fd < 0 || conn->is_broken)
        return;
    if (work->pipe != NULL) {
        client_drain_pipe(conn, work->pipe);
        if (conn->is_broken)
            return;
        if (work->pipe->held_bytes == 0)
            net_pipe_give(&work->pipe);
    }
    if (work->pipe == NULL && buf_len(&work->out) != 0) {
        struct span rest = buf_span(&work->out);
        ssize_t n = net_stream_write(&conn->stream, rest.ptr, rest.len);
        if (n < 0 && errno != EAGAIN) {
            client_broke(conn);
            return;
        }
        if (n > 0) {
            buf_consume(&work->out, (size_t)n);
            work->sent_bytes += (size_t)n;
        }
    }
    client_uncork(conn);
}

/* ---- heads ---- */

/* Decides how the body is framed and whether the connection lives on. */
static void client_frame(struct client_conn *conn, const struct exchange_response *response)
{
    if (response->kind == HTTP_BODY_TUNNEL) {
        conn->request_done = false; /* an end of the client's side means no leaving any more */
        conn->work->has_ended = false;
        conn->will_close = true;
        client_watch(conn);
        return;
    }
    bool has_end = response->kind == HTTP_BODY_NONE || response->kind == HTTP_BODY_LENGTH;
    if (conn->framing != CLIENT_NOTHING && response->kind == HTTP_BODY_NONE)
        conn->framing = CLIENT_NOTHING;
    if (!has_end && !conn->is_1_0 && conn->framing != CLIENT_NOTHING)
        conn->framing = CLIENT_CHUNKED;
    bool ends_with_connection = !has_end && conn->framing == CLIENT_RAW;
    conn->will_close = response->must_close || !conn->keep_alive || conn->is_last ||
                       conn->env->is_draining || ends_with_connection;
}

static char *client_begin_head(void *arg, unsigned status, struct span reason, size_t bytes)
{
    struct client_conn *conn = arg;
    struct client_env *env = conn->env;
    const size_t most_bytes = reason.len + bytes + CLIENT_HEAD_OWN_BYTES;
    if (env->cork_len + most_bytes > CLIENT_CORK_BYTES)
        client_uncork(conn);
    if (most_bytes > CLIENT_CORK_BYTES) { /* beyond every limit that can be configured */
        client_broke(conn);
        return NULL;
    }
    char *at = FMT_LIT(env->cork + env->cork_len, "HTTP/1.1 ");
    at = fmt_u64(at, status);
    *at++ = ' ';
    at = fmt_span(at, reason);
    return FMT_LIT(at, "\r\n");
}

/* What stands behind the fields. */
static char *client_end_head(const struct client_conn *conn, char *at,
                             const struct exchange_response *response)
{
    if (response->kind == HTTP_BODY_TUNNEL) {
        at = FMT_LIT(at, "Connection: upgrade\r\nUpgrade: ");
        at = fmt_span(at, response->upgrade);
        at = FMT_LIT(at, "\r\n");
    } else if (!response->is_interim) {
        if (conn->framing == CLIENT_CHUNKED)
            at = FMT_LIT(at, "Transfer-Encoding: chunked\r\n");
        if (conn->will_close)
            at = FMT_LIT(at, "Connection: close\r\n");
        else if (conn->is_1_0)
            at = FMT_LIT(at, "Connection: keep-alive\r\n");
    }
    return FMT_LIT(at, "\r\n");
}

static void client_send_head(void *arg, const struct exchange_response *response)
{
    struct client_conn *conn = arg;
    struct client_env *env = conn->env;
    if (!response->is_interim)
        client_frame(conn, response);
    conn->is_refused = conn->x->end == END_LIMITED;
    if (conn->is_broken) /* the cork is everybody's: what nobody flushes would go to the next client */
        return;
    char *fields_end = (char *)(uintptr_t)response->fields.ptr + response->fields.len;
    char *end = client_end_head(conn, fields_end, response);
    const size_t cork_len = (size_t)(end - env->cork);
    conn->x->bytes_out += cork_len - env->cork_len;
    env->cork_len = cork_len;
}

/* ---- bodies ---- */

static void client_cork(struct client_conn *conn, const char *bytes, size_t len)
{
    if (len == 0)
        return;
    memcpy(conn->env->cork + conn->env->cork_len, bytes, len);
    conn->env->cork_len += len;
}

/* Not inlined: its frame would burden small bodies of known length. */
static __attribute__((noinline)) void client_send_pieces(struct client_conn *conn, struct span data)
{
    struct client_env *env = conn->env;
    char chunk[HTTP_CHUNK_HEAD_MAX];
    size_t chunk_len = 0;
    if (conn->framing == CLIENT_CHUNKED)
        chunk_len = (size_t)(http_body_chunk_head(chunk, data.len) - chunk);
    size_t end_len = chunk_len == 0 ? 0 : 2;
    conn->x->bytes_out += chunk_len + data.len + end_len;
    if (data.len <= CLIENT_GATHER_BYTES &&
        env->cork_len + chunk_len + data.len + end_len <= CLIENT_CORK_BYTES) {
        client_cork(conn, chunk, chunk_len);
        client_cork(conn, data.ptr, data.len);
        client_cork(conn, "\r\n", end_len);
        return;
    }
    struct iovec iov[4] = {
        {env->cork, env->cork_len},
        {chunk, chunk_len},
        {(char *)(uintptr_t)data.ptr, data.len},
        {(char *)(uintptr_t) "\r\n", end_len},
    };
    env->cork_len = 0;
    client_put(conn, iov, 4);
}

static void client_send_data(void *arg, struct span data)
{
    struct client_conn *conn = arg;
    if (conn->framing == CLIENT_NOTHING || conn->is_broken)
        return;
    if (conn->framing != CLIENT_RAW || data.len > CLIENT_GATHER_BYTES ||
        conn->env->cork_len + data.len > CLIENT_CORK_BYTES) {
        client_send_pieces(conn, data);
        return;
    }
    client_cork(conn, data.ptr, data.len);
    conn->x->bytes_out += data.len;
}

/* A head that still waits goes with data that are read: the kernel would send it alone. */
static bool client_takes_pipe(const void *arg)
{
    const struct client_conn *conn = arg;
    return conn->framing == CLIENT_RAW && !conn->is_broken && conn->stream.fd >= 0 &&
           net_stream_is_plain(&conn->stream) && conn->env->cork_len == 0 &&
           !client_work_has_unsent(conn->work);
}

static void client_send_pipe(void *arg, struct net_pipe **pipe)
{
    struct client_conn *conn = arg;
    conn->x->bytes_out += (*pipe)->held_bytes;
    client_drain_pipe(conn, *pipe);
    if (conn->is_broken)
        return;
    if ((*pipe)->held_bytes != 0) {
        conn->work->pipe = *pipe;
        *pipe = NULL;
    }
    if (client_work_has_unsent(conn->work))
        client_blocked(conn);
}

static void client_send_end(void *arg, struct span trailers)
{
    struct client_conn *conn = arg;
    if (conn->framing != CLIENT_CHUNKED || conn->is_broken)
        return;
    if (conn->env->cork_len + trailers.len + 5 > CLIENT_CORK_BYTES)
        client_uncork(conn);
    if (trailers.len + 5 > CLIENT_CORK_BYTES) {
        client_broke(conn);
        return;
    }
    client_cork(conn, "0\r\n", 3);
    client_cork(conn, trailers.ptr, trailers.len);
    client_cork(conn, "\r\n", 2);
    conn->x->bytes_out += trailers.len + 5;
}

void client_send_whole(struct client_conn *conn, struct span response)
{
    client_put_text(conn, response);
    conn->is_held = conn->is_broken || client_work_has_unsent(conn->work);
}

static void client_ops_flush(void *arg)
{
    client_flush(arg);
}

static bool client_is_blocked(const void *arg)
{
    const struct client_conn *conn = arg;
    return conn->is_broken || client_work_has_unsent(conn->work);
}

static void client_end_tunnel(void *arg)
{
    struct client_conn *conn = arg;
    net_stream_shutdown(&conn->stream);
}

const struct exchange_client CLIENT_OPS = {
    .begin_head = client_begin_head,
    .send_head = client_send_head,
    .send_data = client_send_data,
    .send_end = client_send_end,
    .flush = client_ops_flush,
    .is_blocked = client_is_blocked,
    .ends = client_ends,
    .takes_pipe = client_takes_pipe,
    .send_pipe = client_send_pipe,
    .look = client_look,
    .read_body = client_read_body,
    .gives_pipe = client_gives_pipe,
    .read_pipe = client_read_pipe,
    .read_tunnel = client_read_tunnel,
    .end_tunnel = client_end_tunnel,
    .finished = client_finished,
};
