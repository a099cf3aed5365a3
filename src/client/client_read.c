/* SPDX-License-Identifier: Apache-2.0 */
/* client_read.c - from a client's bytes to requests.  Takes: the socket's bytes, in the loop's scratch.  Gives:
 * exchanges, and body data to them.  A head is parsed only when it is complete; what came of it so far is kept
 * under a budget of the whole process. */
#include <errno.h>
#include <string.h>

#include "client/client_private.h"

/* ---- input ---- */

static void client_count_held(struct client_conn *conn, size_t bytes)
{
    if (bytes == conn->held_bytes)
        return;
    atomic_fetch_add_explicit(conn->env->head_bytes, (uint64_t)bytes - conn->held_bytes,
                              memory_order_relaxed);
    conn->held_bytes = bytes;
}

void client_drop_input(struct client_conn *conn)
{
    buf_free(&conn->in);
    client_count_held(conn, 0);
    conn->at_is_kept = false;
    conn->left = 0;
}

bool client_keep_rest(struct client_conn *conn)
{
    const struct plan_limits *limits = client_limits(conn);
    size_t max =
        (size_t)limits->head.line_max_bytes + limits->head.head_max_bytes + LOOP_SCRATCH_BYTES;
    if (conn->at_is_kept || conn->left == 0)
        return true;
    if (buf_append(&conn->in, (struct span){conn->at, conn->left}, max) != ERR_OK)
        return false;
    conn->at = conn->in.bytes + conn->in.begin;
    conn->left = buf_len(&conn->in);
    conn->at_is_kept = true;
    client_count_held(conn, conn->in.size);
    return true;
}

ssize_t client_fill(struct client_conn *conn)
{
    struct loop *loop = client_loop(conn);
    if (conn->left != 0)
        return (ssize_t)conn->left;
    if (conn->at_is_kept)
        client_drop_input(conn);
    ssize_t n = net_stream_read(&conn->stream, loop->scratch, LOOP_SCRATCH_BYTES);
    if (n < 0)
        return errno == EAGAIN ? 0 : -1;
    if (n == 0)
        return -1;
    conn->at = loop->scratch;
    conn->left = (size_t)n;
    return n;
}

/* More bytes for a head that is not complete yet: they join those that were kept. */
static ssize_t client_fill_head(struct client_conn *conn)
{
    struct loop *loop = client_loop(conn);
    if (conn->state != CLIENT_HEAD || conn->left == 0)
        return client_fill(conn);
    ssize_t n = net_stream_read(&conn->stream, loop->scratch, LOOP_SCRATCH_BYTES);
    if (n < 0)
        return errno == EAGAIN ? 0 : -1;
    if (n == 0)
        return -1;
    buf_consume(&conn->in, (size_t)(conn->at - conn->in.bytes) - conn->in.begin);
    conn->at = loop->scratch;
    conn->left = (size_t)n;
    conn->at_is_kept = false;
    return client_keep_rest(conn) ? (ssize_t)conn->left : -1;
}

/* ---- heads ---- */

/* A response to HEAD has no body, also when the rest of the head is refused (RFC 9110 section 9.3.2). */
static bool client_says_head(const struct client_conn *conn)
{
    return conn->left >= 5 && memcmp(conn->at, "HEAD ", 5) == 0;
}

static bool client_begin(struct client_conn *conn, const struct exchange_request *request)
{
    conn->waited_us = 0;
    conn->waiting_us = 0;
    conn->x = exchange_new(conn->env->exchanges, &CLIENT_OPS, conn, request);
    if (conn->x == NULL) {
        client_set_state(conn, CLIENT_CLOSED);
        return true;
    }
    client_set_state(conn, CLIENT_BUSY);
    if (request->head != NULL) {
        conn->x->bytes_in = request->head->bytes;
    } else {
        conn->framing = client_says_head(conn) ? CLIENT_NOTHING : CLIENT_RAW;
        conn->is_1_0 = false;
    }
    return true;
}

bool client_refuse(struct client_conn *conn, struct exchange_request *request)
{
    conn->keep_alive = false;
    conn->request_done = false;
    bool has_begun = client_begin(conn, request);
    client_drop_input(conn);
    return has_begun;
}

static void client_take_head(struct client_conn *conn, const struct http_head *head)
{
    conn->at += head->bytes;
    conn->left -= head->bytes;
    conn->scanned = 0;
    conn->is_1_0 = head->minor == 0;
}

static bool client_begin_request(struct client_conn *conn, struct http_head *head,
                                 struct exchange_request *request)
{
    client_take_head(conn, head);
    request->head = head;
    conn->framing = head->method_id == HTTP_METHOD_HEAD ? CLIENT_NOTHING : CLIENT_RAW;
    if (http_framing_request(head, &request->framing, &request->fault) != HTTP_PARSE_OK ||
        http_target_parse(head, &request->target, &request->fault) != HTTP_PARSE_OK)
        return client_refuse(conn, request);
    conn->keep_alive = request->framing.keep_alive;
    conn->request_done = request->framing.kind == HTTP_BODY_NONE;
    http_body_init(&conn->body, &request->framing);
    bool has_begun = client_begin(conn, request);
    /* The exchange may read its server into the scratch: what belongs to a later request moves out. */
    if (conn->request_done && !client_keep_rest(conn)) {
        exchange_stop(conn->x, END_CLIENT_ABORT);
        client_set_state(conn, CLIENT_CLOSED);
    }
    return has_begun;
}

/* One empty line before a request line is skipped (RFC 9112 section 2.2), also when its two bytes came apart. */
static void client_skip_crlf(struct client_conn *conn)
{
    size_t skipped = http_head_skip_crlf(conn->at, conn->left);
    if (skipped == 0)
        return;
    conn->at += skipped;
    conn->left -= skipped;
    conn->scanned = 0;
}

static bool client_is_over_budget(const struct client_conn *conn)
{
    return atomic_load_explicit(conn->env->head_bytes, memory_order_relaxed) >
           client_limits(conn)->head_budget_bytes;
}

static bool client_wait_for_head(struct client_conn *conn, struct exchange_request *request)
{
    if (!client_keep_rest(conn) || client_is_over_budget(conn)) {
        request->refuse = END_SHED;
        return client_refuse(conn, request);
    }
    if (conn->state != CLIENT_HEAD)
        client_set_state(conn, CLIENT_HEAD);
    /* No new event comes for what is there already, nor for a reset that came together with it. */
    net_stream_look_again(&conn->stream);
    return true;
}

static bool client_parse_head(struct client_conn *conn)
{
    struct exchange_env *env = conn->env->exchanges;
    struct http_head head = {.fields = env->fields, .field_max = EXCHANGE_FIELDS_MAX};
    struct exchange_request request = {
        .listener = &conn->door->listener,
        .peer_ip = conn->peer_ip,
        .peer_is_unix = conn->peer_is_unix,
        .began_us = conn->began_us,
    };
    switch (http_head_parse_request(&head, conn->at, conn->left, &conn->scanned,
                                    &env->snapshot->plan->limits.head, &request.fault)) {
    case HTTP_PARSE_OK:
        return client_begin_request(conn, &head, &request);
    case HTTP_PARSE_INCOMPLETE:
        return client_wait_for_head(conn, &request);
    default:
        return client_refuse(conn, &request);
    }
}

static void client_ended(struct client_conn *conn)
{
    client_set_state(conn, CLIENT_CLOSED);
}

bool client_read_head(struct client_conn *conn)
{
    ssize_t n = client_fill_head(conn);
    if (n < 0) {
        client_ended(conn);
        return true;
    }
    if (n == 0)
        return false;
    if (conn->state == CLIENT_IDLE) {
        conn->began_us = client_loop(conn)->mono_us;
        conn->scanned = 0;
    }
    client_skip_crlf(conn);
    return conn->left == 0 || client_parse_head(conn);
}

/* ---- bodies ---- */

static enum exchange_body client_wait_for_body(struct client_conn *conn)
{
    struct loop *loop = client_loop(conn);
    if (conn->waiting_us == 0) {
        conn->waiting_us = loop->mono_us;
        loop_timer_set(loop, &conn->timer, loop->mono_us + 1000000);
    }
    return EXCHANGE_BODY_WAIT;
}

static void client_got_body(struct client_conn *conn)
{
    if (conn->waiting_us == 0)
        return;
    conn->waited_us += client_loop(conn)->mono_us - conn->waiting_us;
    conn->waiting_us = 0;
}

/* Only the time that we waited for the client counts, so a slow server is never the client's fault.  Who was fast
 * at first has no credit for days: a single pause may last as long as one in reading. */
bool client_body_is_slow(const struct client_conn *conn)
{
    const struct plan_limits *limits = client_limits(conn);
    uint64_t pause_us = client_loop(conn)->mono_us - conn->waiting_us;
    uint64_t waited_us = conn->waited_us + pause_us;
    if (waited_us <= limits->body_grace_us)
        return false;
    if (pause_us > limits->write_stall_us)
        return true;
    double expected_bytes =
        (double)(waited_us - limits->body_grace_us) * (double)limits->body_min_rate_per_s / 1e6;
    return (double)conn->body.data_bytes < expected_bytes;
}

enum exchange_body client_read_body(void *arg, struct span *data, struct http_fault *fault,
                                    struct arena *arena)
{
    struct client_conn *conn = arg;
    const struct plan_limits *limits = &conn->x->snapshot->plan->limits;
    while (!http_body_is_done(&conn->body)) {
        size_t consumed = 0, data_len = 0;
        net_stream_look_again(&conn->stream); /* as for heads */
        ssize_t n = client_fill(conn);
        if (n == 0)
            return client_wait_for_body(conn);
        if (n < 0)
            return EXCHANGE_BODY_GONE;
        client_got_body(conn);
        char *at = conn->at;
        enum http_body_state state = http_body_read(&conn->body, at, conn->left, &consumed,
                                                    &data_len, &limits->chunks, arena);
        conn->at += consumed;
        conn->left -= consumed;
        conn->x->bytes_in += consumed;
        if (state == HTTP_BODY_BAD) {
            *fault = (struct http_fault){conn->body.fault, 0};
            return EXCHANGE_BODY_BAD;
        }
        if (data_len != 0) {
            *data = (struct span){at, data_len};
            return client_keep_rest(conn) ? EXCHANGE_BODY_DATA : EXCHANGE_BODY_GONE;
        }
    }
    conn->request_done = true;
    *data = (struct span){conn->body.trailers, conn->body.trailers_len};
    /* The response may be read into the scratch: what belongs to a later request moves out. */
    return client_keep_rest(conn) ? EXCHANGE_BODY_DONE : EXCHANGE_BODY_GONE;
}
