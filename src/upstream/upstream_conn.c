/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_conn.c - HTTP/1.1 towards a server.  Takes: a request's head and data.  Gives: the response, event by
 * event.  Never reads ahead of its user, never forgives a malformed response. */
#include "upstream/upstream_conn.h"

#include <errno.h>
#include <string.h>

#include "net/net_tls.h"
#include "upstream/upstream_proxied.h"

#define CONN_OUT_MAX_BYTES (1u << 20) /* a head at its limit and one turn of data fit */

enum err upstream_conn_established(struct upstream_conn *conn)
{
    enum err err = conn->proxied == NULL ? ERR_OK : upstream_proxied_tell(conn);
    if (err == ERR_OK)
        err = net_stream_connected(&conn->stream);
    if (err == ERR_OK)
        conn->state = UPSTREAM_CONN_BUSY;
    if (err == ERR_AGAIN || conn->stream.tls == NULL)
        return err;
    struct metrics_block *metrics = conn->stream.loop->metrics;
    if (err == ERR_OK)
        metrics_add(metrics, METRICS_UPSTREAM_TLS_OK, 1);
    else if (net_tls_why_word(&conn->stream) != NULL)
        metrics_add(metrics, METRICS_UPSTREAM_TLS_FAILED, 1);
    if (err == ERR_OK && net_tls_is_resumed(&conn->stream))
        metrics_add(metrics, METRICS_UPSTREAM_TLS_RESUMED, 1);
    return err;
}

const char *upstream_conn_tls_why(const struct upstream_conn *conn)
{
    return net_tls_why(&conn->stream);
}

const char *upstream_conn_tls_word(const struct upstream_conn *conn)
{
    return net_tls_why_word(&conn->stream);
}

void upstream_conn_begin(struct upstream_conn *conn, enum http_method method, bool body_chunked)
{
    conn->method_id = method;
    conn->body_chunked = body_chunked;
    conn->is_broken = false;
    conn->sent_all = false;
    conn->got_bytes = false;
    conn->in_body = false;
    conn->keep_alive = false;
    conn->scanned = 0;
    conn->left = 0;
    conn->turn = conn->stream.loop->turn;
}

static bool conn_keep_rest(struct upstream_conn *conn, const struct iovec *iov, int count,
                           size_t skip)
{
    for (int i = 0; i < count; i++) {
        struct span part = {iov[i].iov_base, iov[i].iov_len};
        size_t gone = skip < part.len ? skip : part.len;
        part.ptr += gone;
        part.len -= gone;
        skip -= gone;
        if (buf_append(&conn->out, part, CONN_OUT_MAX_BYTES) != ERR_OK) {
            conn->is_broken = true;
            return false;
        }
    }
    return true;
}

/* Small messages are gathered: one copy is cheaper than an iovec (measured: 500 kernel instructions). */
static ssize_t conn_write(struct upstream_conn *conn, const struct iovec *iov, int count,
                          size_t total)
{
    char cork[UPSTREAM_CORK_BYTES];
    size_t len = 0;
    if (count == 1)
        return net_stream_write(&conn->stream, iov[0].iov_base, iov[0].iov_len);
    if (total > sizeof(cork))
        return net_stream_writev(&conn->stream, iov, count);
    for (int i = 0; i < count; i++) {
        memcpy(cork + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    return net_stream_write(&conn->stream, cork, len);
}

/* What the kernel did not take, if that is why n is short, waits. */
static bool conn_wrote(struct upstream_conn *conn, const struct iovec *iov, int count, ssize_t n)
{
    if (n < 0 && errno != EAGAIN) {
        conn->is_broken = true;
        return false;
    }
    return conn_keep_rest(conn, iov, count, n < 0 ? 0 : (size_t)n);
}

static bool conn_put(struct upstream_conn *conn, const struct iovec *iov, int count)
{
    size_t total = 0;
    if (conn->is_broken)
        return false;
    if (upstream_conn_is_blocked(conn))
        return conn_keep_rest(conn, iov, count, 0);
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    ssize_t n = conn_write(conn, iov, count, total);
    return n == (ssize_t)total || conn_wrote(conn, iov, count, n);
}

static void iov_add(struct iovec *iov, int *count, const char *ptr, size_t len)
{
    if (len == 0)
        return;
    iov[*count].iov_base = (char *)(uintptr_t)ptr;
    iov[*count].iov_len = len;
    ++*count;
}

/* conn_put and conn_wrote of one text.  Not inlined: mostly there is only a head, and the kernel takes it. */
static __attribute__((noinline)) bool conn_put_text(struct upstream_conn *conn, struct span text)
{
    const struct iovec iov = {(char *)(uintptr_t)text.ptr, text.len};
    return conn_put(conn, &iov, 1);
}

static __attribute__((noinline)) bool conn_wrote_text(struct upstream_conn *conn, struct span text,
                                                      ssize_t n)
{
    const struct iovec iov = {(char *)(uintptr_t)text.ptr, text.len};
    return conn_wrote(conn, &iov, 1, n);
}

static bool conn_put_one(struct upstream_conn *conn, struct span text)
{
    if (conn->is_broken || upstream_conn_is_blocked(conn))
        return conn_put_text(conn, text);
    ssize_t n = net_stream_write(&conn->stream, text.ptr, text.len);
    return n == (ssize_t)text.len || conn_wrote_text(conn, text, n);
}

/* Not inlined: its frame would burden a head alone. */
static __attribute__((noinline)) bool conn_send_data(struct upstream_conn *conn, struct span head,
                                                     struct span data)
{
    char chunk[HTTP_CHUNK_HEAD_MAX];
    struct iovec iov[4];
    int count = 0;
    iov_add(iov, &count, head.ptr, head.len);
    if (conn->body_chunked && data.len != 0)
        iov_add(iov, &count, chunk, (size_t)(http_body_chunk_head(chunk, data.len) - chunk));
    iov_add(iov, &count, data.ptr, data.len);
    if (conn->body_chunked && data.len != 0)
        iov_add(iov, &count, "\r\n", 2);
    return count == 0 || conn_put(conn, iov, count);
}

bool upstream_conn_send(struct upstream_conn *conn, struct span head, struct span data)
{
    if (data.len == 0 && head.len != 0)
        return conn_put_one(conn, head);
    return conn_send_data(conn, head, data);
}

bool upstream_conn_send_data(struct upstream_conn *conn, struct span data)
{
    return upstream_conn_send(conn, SPAN_NONE, data);
}

static __attribute__((noinline)) bool conn_send_last_chunk(struct upstream_conn *conn,
                                                           struct span trailers)
{
    struct iovec iov[3];
    int count = 0;
    iov_add(iov, &count, "0\r\n", 3);
    iov_add(iov, &count, trailers.ptr, trailers.len);
    iov_add(iov, &count, "\r\n", 2);
    return conn_put(conn, iov, count);
}

bool upstream_conn_send_end(struct upstream_conn *conn, struct span trailers)
{
    conn->sent_all = true;
    return conn->body_chunked ? conn_send_last_chunk(conn, trailers) : !conn->is_broken;
}

void upstream_conn_shutdown(struct upstream_conn *conn)
{
    net_stream_shutdown(&conn->stream);
}

bool upstream_conn_has_failed(struct upstream_conn *conn)
{
    return conn->is_broken || net_stream_has_failed(&conn->stream);
}

/* What is in the pipe, as far as it goes.  False: broken. */
static bool conn_drain_pipe(struct upstream_conn *conn, struct net_pipe *pipe)
{
    if (net_pipe_drain(pipe, &conn->stream))
        return true;
    if (net_pipe_is_refused(errno) && net_pipe_pour(pipe, &conn->out, CONN_OUT_MAX_BYTES) == ERR_OK)
        return true;
    conn->is_broken = true;
    return false;
}

/* What the pipe was refused is sent at once: the kernel has room for it, so no event would come. */
bool upstream_conn_send_pipe(struct upstream_conn *conn, struct net_pipe **pipe)
{
    bool is_good = conn_drain_pipe(conn, *pipe);
    if (is_good && (*pipe)->held_bytes != 0) {
        conn->pipe = *pipe;
        *pipe = NULL;
        return true;
    }
    return is_good && upstream_conn_flush(conn);
}

bool upstream_conn_flush(struct upstream_conn *conn)
{
    if (conn->is_broken)
        return false;
    if (conn->pipe != NULL) {
        bool is_good = conn_drain_pipe(conn, conn->pipe);
        if (is_good && conn->pipe->held_bytes != 0)
            return true;
        net_pipe_give(&conn->pipe);
        if (!is_good) {
            buf_free(&conn->out);
            return false;
        }
    }
    struct span rest = buf_span(&conn->out);
    if (rest.len == 0)
        return true;
    ssize_t n = net_stream_write(&conn->stream, rest.ptr, rest.len);
    if (n < 0 && errno != EAGAIN) {
        conn->is_broken = true;
        buf_free(&conn->out);
        return false;
    }
    if (n > 0)
        buf_consume(&conn->out, (size_t)n);
    return true;
}

/* Bytes to look at: what is left of the last read, or a new one.  0: wait; negative: the end. */
enum conn_fill {
    CONN_FILL_WAIT = 0,
    CONN_FILL_END = -1,   /* FIN */
    CONN_FILL_ERROR = -2, /* reset */
};

/* What was there when this turn began is no answer to a request that was sent in this turn. */
static bool conn_is_unasked(const struct upstream_conn *conn)
{
    return conn->is_reused && !conn->got_bytes && conn->turn == conn->stream.loop->turn;
}

static ssize_t conn_fill(struct upstream_conn *conn)
{
    if (conn->left != 0)
        return (ssize_t)conn->left;
    if (conn->at_is_kept) {
        buf_free(&conn->in);
        conn->at_is_kept = false;
    }
    if (conn->got_bytes)
        net_stream_look_again(&conn->stream);
    ssize_t n = net_stream_read(&conn->stream, conn->stream.loop->scratch, LOOP_SCRATCH_BYTES);
    if (n < 0)
        return errno == EAGAIN ? CONN_FILL_WAIT : CONN_FILL_ERROR;
    if (n == 0)
        return CONN_FILL_END;
    if (conn_is_unasked(conn))
        return CONN_FILL_ERROR;
    conn->got_bytes = true;
    conn->at = conn->stream.loop->scratch;
    conn->left = (size_t)n;
    return n;
}

enum upstream_event upstream_conn_read_pipe(struct upstream_conn *conn, struct net_pipe *pipe)
{
    if (conn->at_is_kept) {
        buf_free(&conn->in);
        conn->at_is_kept = false;
    }
    net_stream_look_again(&conn->stream);
    ssize_t n = net_pipe_fill(pipe, &conn->stream, http_body_passable(&conn->body));
    if (n > 0) {
        http_body_pass(&conn->body, (uint64_t)n);
        return UPSTREAM_DATA;
    }
    return n < 0 && (errno == EAGAIN || pipe->is_unfit) ? UPSTREAM_WAIT : UPSTREAM_GONE;
}

bool upstream_conn_keep_rest(struct upstream_conn *conn)
{
    if (conn->at_is_kept || conn->left == 0)
        return true;
    if (buf_append(&conn->in, (struct span){conn->at, conn->left}, LOOP_SCRATCH_BYTES) != ERR_OK)
        return false;
    conn->at = conn->in.bytes + conn->in.begin;
    conn->at_is_kept = true;
    return true;
}

/* Until a head is complete its bytes are kept in conn->in, since the scratch is everybody's. */
static bool conn_keep_partial_head(struct upstream_conn *conn, struct upstream_reading *reading)
{
    const struct http_head_limits *limits = reading->head_limits;
    size_t max = (size_t)limits->line_max_bytes + limits->head_max_bytes + LOOP_SCRATCH_BYTES;
    if (buf_append(&conn->in, (struct span){conn->at, conn->left}, max) == ERR_OK)
        return true;
    reading->fault = (struct http_fault){HTTP_FAULT_HEAD_TOO_LONG, 0};
    return false;
}

static enum upstream_event conn_begin_body(struct upstream_conn *conn,
                                           struct upstream_reading *reading)
{
    enum http_parse parsed =
        http_framing_response(&reading->head, conn->method_id, &reading->framing, &reading->fault);
    if (parsed != HTTP_PARSE_OK) {
        reading->seen = (struct span){reading->head.base, reading->head.bytes};
        return UPSTREAM_BAD;
    }
    conn->scanned = 0;
    if (reading->head.status >= 200 || reading->framing.kind == HTTP_BODY_TUNNEL) {
        http_body_init(&conn->body, &reading->framing);
        conn->keep_alive = reading->framing.keep_alive &&
                           reading->framing.kind != HTTP_BODY_CLOSE &&
                           reading->framing.kind != HTTP_BODY_TUNNEL;
        conn->in_body = true;
    }
    return UPSTREAM_HEAD;
}

static enum upstream_event conn_read_head(struct upstream_conn *conn,
                                          struct upstream_reading *reading)
{
    if (!conn->at_is_kept && buf_len(&conn->in) != 0) {
        if (!conn_keep_partial_head(conn, reading))
            return UPSTREAM_BAD;
        conn->at = conn->in.bytes + conn->in.begin;
        conn->left = buf_len(&conn->in);
        conn->at_is_kept = true;
    }
    enum http_parse parsed =
        http_head_parse_response(&reading->head, conn->at, conn->left, &conn->scanned,
                                 reading->head_limits, &reading->fault);
    if (parsed == HTTP_PARSE_BAD) {
        reading->seen = (struct span){conn->at, conn->left};
        return UPSTREAM_BAD;
    }
    if (parsed == HTTP_PARSE_INCOMPLETE) {
        if (conn->at_is_kept)
            buf_consume(&conn->in, (size_t)(conn->at - conn->in.bytes) - conn->in.begin);
        else if (!conn_keep_partial_head(conn, reading))
            return UPSTREAM_BAD;
        conn->at_is_kept = false;
        conn->left = 0;
        return UPSTREAM_WAIT;
    }
    conn->at += reading->head.bytes;
    conn->left -= reading->head.bytes;
    return conn_begin_body(conn, reading);
}

enum upstream_event upstream_conn_end(struct upstream_conn *conn, struct upstream_reading *reading)
{
    reading->data = (struct span){conn->body.trailers, conn->body.trailers_len};
    if (conn->left != 0) /* bytes beyond the response: nothing on this connection can be trusted */
        conn->keep_alive = false;
    return UPSTREAM_END;
}

static enum upstream_event conn_read_body(struct upstream_conn *conn,
                                          struct upstream_reading *reading)
{
    size_t consumed = 0, data_len = 0;
    char *at = conn->at;
    enum http_body_state state = http_body_read(&conn->body, at, conn->left, &consumed, &data_len,
                                                reading->body_limits, reading->arena);
    conn->at += consumed;
    conn->left -= consumed;
    if (state == HTTP_BODY_BAD) {
        reading->fault = (struct http_fault){conn->body.fault, 0};
        return UPSTREAM_BAD;
    }
    if (data_len != 0) {
        reading->data = (struct span){at, data_len};
        return UPSTREAM_DATA;
    }
    return state == HTTP_BODY_DONE ? upstream_conn_end(conn, reading) : UPSTREAM_WAIT;
}

enum upstream_event upstream_conn_read_on(struct upstream_conn *conn,
                                          struct upstream_reading *reading)
{
    for (;;) {
        enum upstream_event event;
        ssize_t n = conn_fill(conn);
        if (n == CONN_FILL_WAIT)
            return UPSTREAM_WAIT;
        if (n < 0) {
            bool is_end =
                n == CONN_FILL_END && conn->in_body &&
                (conn->body.kind == HTTP_BODY_CLOSE || conn->body.kind == HTTP_BODY_TUNNEL);
            return is_end ? upstream_conn_end(conn, reading) : UPSTREAM_GONE;
        }
        event = conn->in_body ? conn_read_body(conn, reading) : conn_read_head(conn, reading);
        if (event != UPSTREAM_WAIT)
            return event;
    }
}

bool upstream_conn_is_reusable(const struct upstream_conn *conn)
{
    return conn->keep_alive && conn->sent_all && !conn->is_broken && conn->left == 0 &&
           !upstream_conn_is_blocked(conn);
}

void upstream_conn_set_deadline(struct upstream_conn *conn, uint64_t due_us)
{
    if (due_us == 0)
        loop_timer_cancel(&conn->timer);
    else
        loop_timer_set(conn->stream.loop, &conn->timer, due_us);
}
