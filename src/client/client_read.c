/* SPDX-License-Identifier: Apache-2.0 */
/* client_read.c - from a client's bytes to requests.  Takes: the socket's bytes, in the loop's scratch.  Gives:
 * exchanges, and body data to them.  A head is parsed only when it is complete; what came of it so far is kept
 * under a budget of the whole process. */
#include <errno.h>
#include <string.h>

#include "client/client_private.h"

#define CLIENT_MISSES_MAX                                                                          \
    6 /* looks in vain; then every 64th request that follows a refusal is looked for */

/* ---- input ---- */

bool client_move_rest(struct client_conn *conn)
{
    struct client_work *work = conn->work;
    if (buf_append(&work->in, (struct span){work->at, work->left}, CLIENT_IN_MAX_BYTES) != ERR_OK)
        return false;
    work->at = work->in.bytes + work->in.begin;
    work->left = buf_len(&work->in);
    work->at_is_kept = true;
    client_work_count_held(conn->env, work, work->in.size);
    return true;
}

static inline ssize_t client_fill_room(struct client_conn *conn, char *room, size_t bytes)
{
    struct client_work *work = conn->work;
    if (work->at_is_kept)
        client_work_drop_input(conn->env, work);
    ssize_t n = net_stream_read(&conn->stream, room, bytes);
    if (n < 0)
        return errno == EAGAIN ? CLIENT_FILL_WAIT : CLIENT_FILL_ERROR;
    if (n == 0)
        return CLIENT_FILL_END;
    work->at = room;
    work->left = (size_t)n;
    return n;
}

ssize_t client_fill(struct client_conn *conn)
{
    if (conn->work->left != 0)
        return (ssize_t)conn->work->left;
    return client_fill_room(conn, client_loop(conn)->scratch, LOOP_SCRATCH_BYTES);
}

/* What comes first is mostly a head, which then need not be copied; what is long is read in larger pieces. */
static ssize_t client_fill_first(struct client_conn *conn)
{
    char *landing = conn->sends_much ? NULL : exchange_landing(conn->env->exchanges);
    if (conn->work->left != 0 || landing == NULL)
        return client_fill(conn);
    return client_fill_room(conn, landing, EXCHANGE_LANDING_BYTES);
}

/* More bytes for a head that is not complete yet: they join those that were kept. */
static ssize_t client_fill_head(struct client_conn *conn)
{
    struct client_work *work = conn->work;
    struct loop *loop = client_loop(conn);
    if (conn->state != CLIENT_HEAD || work->left == 0)
        return client_fill_first(conn);
    ssize_t n = net_stream_read(&conn->stream, loop->scratch, LOOP_SCRATCH_BYTES);
    if (n < 0)
        return errno == EAGAIN ? CLIENT_FILL_WAIT : CLIENT_FILL_ERROR;
    if (n == 0)
        return CLIENT_FILL_END;
    buf_consume(&work->in, (size_t)(work->at - work->in.bytes) - work->in.begin);
    work->at = loop->scratch;
    work->left = (size_t)n;
    work->at_is_kept = false;
    return client_keep_rest(conn) ? (ssize_t)work->left : CLIENT_FILL_ERROR;
}

/* ---- heads ---- */

/* A response to HEAD has no body, also when the rest of the head is refused (RFC 9110 section 9.3.2). */
static bool client_says_head(const struct client_conn *conn)
{
    return conn->work->left >= 5 && memcmp(conn->work->at, "HEAD ", 5) == 0;
}

static void client_begin(struct client_conn *conn, struct exchange_request *request)
{
    struct client_work *work = conn->work;
    request->is_alone = work->left == 0 || work->at_is_kept;
    work->waited_us = 0;
    work->waiting_us = 0;
    conn->x = exchange_new(conn->env->exchanges, &CLIENT_OPS, conn, request);
    if (conn->x == NULL) {
        client_set_state(conn, CLIENT_CLOSED);
        return;
    }
    conn->state = CLIENT_BUSY; /* the timer that runs will find that nothing is due */
    if (request->head != NULL) {
        conn->x->bytes_in = request->head->bytes;
    } else {
        conn->framing = client_says_head(conn) ? CLIENT_NOTHING : CLIENT_RAW;
        conn->is_1_0 = false;
    }
}

void client_refuse(struct client_conn *conn, struct exchange_request *request)
{
    conn->keep_alive = false;
    conn->request_done = false;
    client_begin(conn, request);
    if (conn->x != NULL && request->head == NULL && request->fault.id != HTTP_FAULT_NONE)
        exchange_note_fault(conn->x, false, (struct span){conn->work->at, conn->work->left});
    client_work_drop_input(conn->env, conn->work);
}

static bool client_is_over_budget(const struct client_conn *conn)
{
    return atomic_load_explicit(conn->env->shared.head_bytes, memory_order_relaxed) >
           client_limits(conn)->head_budget_bytes;
}

/* The exchange may read its server into the scratch: what belongs to a later request moves out.  It may wait for
 * hours there, so it has the same budget as heads. */
static bool client_keep_next(struct client_conn *conn)
{
    return conn->work->left == 0 || (client_keep_rest(conn) && !client_is_over_budget(conn));
}

static void client_take_head(struct client_conn *conn, const struct http_head *head)
{
    struct client_work *work = conn->work;
    work->at += head->bytes;
    work->left -= head->bytes;
    work->scanned = 0;
    conn->is_1_0 = head->minor == 0;
    conn->has_skipped_crlf = false;
}

/* The head, its framing and its target are good. */
static void client_admit(struct client_conn *conn, struct exchange_request *request)
{
    struct client_work *work = conn->work;
    request->is_last = ++conn->requests >= client_limits(conn)->requests_max;
    conn->keep_alive = request->framing.keep_alive;
    conn->is_last = request->is_last;
    conn->request_done = request->framing.kind == HTTP_BODY_NONE;
    conn->sends_much = !conn->request_done || request->head->bytes > EXCHANGE_LANDING_BYTES;
    http_body_init(&work->body, &request->framing);
    if (conn->request_done && !client_keep_next(conn)) {
        request->refuse = END_HEAD_MEMORY;
        client_refuse(conn, request);
        return;
    }
    client_begin(conn, request);
}

/* May the response be sent and the connection go on as if nothing had happened? */
static bool client_may_refuse_early(struct client_conn *conn,
                                    const struct exchange_request *request)
{
    bool is_plain = request->framing.kind == HTTP_BODY_NONE && request->framing.keep_alive &&
                    !conn->is_1_0 && conn->framing == CLIENT_RAW && !conn->peer_is_unix;
    bool goes_on = !conn->env->is_draining &&
                   conn->requests + 1 < client_limits(conn)->requests_max &&
                   !conn->stream.is_readable; /* it has not ended; pipelines may have */
    return is_plain && goes_on && conn->env->cork_len == 0;
}

/* A quota has refused the request before this one: mostly it refuses this one too.  False: nothing has happened. */
static bool client_refuse_early(struct client_conn *conn, const struct exchange_request *request)
{
    struct span response;
    if (conn->early_waits != 0) {
        conn->early_waits--;
        return false;
    }
    if (!client_may_refuse_early(conn, request))
        return false;
    if (!exchange_early_refuse(conn->env->exchanges, request, &response)) {
        conn->early_misses += conn->early_misses < CLIENT_MISSES_MAX;
        conn->early_waits = (uint8_t)((1U << conn->early_misses) - 1);
        return false;
    }
    conn->early_misses = 0;
    conn->requests++;
    conn->keep_alive = conn->request_done = true;
    conn->is_last = conn->will_close = false;
    client_set_state(conn, CLIENT_IDLE);
    client_send_whole(conn, response);
    return true;
}

static void client_begin_request(struct client_conn *conn, struct http_head *head,
                                 struct exchange_request *request)
{
    client_take_head(conn, head);
    request->head = head;
    conn->framing = head->method_id == HTTP_METHOD_HEAD ? CLIENT_NOTHING : CLIENT_RAW;
    if (http_framing_request(head, &request->framing, &request->fault) != HTTP_PARSE_OK) {
        request->target = (struct http_target){.authority = SPAN_NONE};
        client_refuse(conn, request);
        return;
    }
    if (http_target_parse_next(head, &conn->env->exchanges->host_memo, &request->target,
                               &request->fault) != HTTP_PARSE_OK) {
        client_refuse(conn, request);
        return;
    }
    if (!conn->is_refused || !client_refuse_early(conn, request))
        client_admit(conn, request);
}

/* One empty line before a request line is skipped (RFC 9112 section 2.2), also when its two bytes came apart, and
 * one alone, also when the next came later. */
static void client_skip_crlf(struct client_conn *conn)
{
    struct client_work *work = conn->work;
    size_t skipped = conn->has_skipped_crlf ? 0 : http_head_skip_crlf(work->at, work->left);
    if (skipped == 0)
        return;
    conn->has_skipped_crlf = true;
    work->at += skipped;
    work->left -= skipped;
    work->scanned = 0;
}

static void client_wait_for_head(struct client_conn *conn, struct exchange_request *request)
{
    if (!client_keep_rest(conn) || client_is_over_budget(conn)) {
        request->refuse = END_HEAD_MEMORY;
        client_refuse(conn, request);
        return;
    }
    if (conn->state != CLIENT_HEAD)
        client_set_state(conn, CLIENT_HEAD);
    /* No new event comes for what is there already, nor for a reset that came together with it. */
    net_stream_look_again(&conn->stream);
}

static void client_parse_head(struct client_conn *conn)
{
    struct client_work *work = conn->work;
    struct exchange_env *env = conn->env->exchanges;
    struct http_head head; /* the parser sets the rest, when there is a head */
    head.fields = env->fields;
    head.field_max = EXCHANGE_FIELDS_MAX;
    struct exchange_request request;
    client_request(conn, &request);
    switch (http_head_parse_request(&head, work->at, work->left, &work->scanned,
                                    &env->snapshot->plan->limits.head, &request.fault)) {
    case HTTP_PARSE_OK:
        client_begin_request(conn, &head, &request);
        break;
    case HTTP_PARSE_INCOMPLETE:
        client_wait_for_head(conn, &request);
        break;
    default:
        client_refuse(conn, &request);
        break;
    }
}

bool client_read_head(struct client_conn *conn)
{
    struct client_work *work = conn->work;
    ssize_t n = client_fill_head(conn);
    if (n < 0) {
        client_set_state(conn, CLIENT_CLOSED);
        return true;
    }
    if (n == 0)
        return false;
    if (conn->state == CLIENT_IDLE) {
        work->began_us = client_loop(conn)->mono_us;
        work->scanned = 0;
    }
    client_skip_crlf(conn);
    if (work->left != 0)
        client_parse_head(conn);
    return true;
}

/* ---- bodies ---- */

/* The body is whole.  An end that was told while it waited here was not taken for leaving then; and requests that have lasted
 * for so long are not looked at any more. */
static void client_look_behind(struct client_conn *conn)
{
    if (conn->stream.saw_end || client_loop(conn)->mono_us - conn->x->headed_us > EXCHANGE_LOOK_US)
        client_look(conn);
}

enum exchange_body client_read_body(void *arg, struct span *data, struct http_fault *fault,
                                    struct arena *arena)
{
    struct client_conn *conn = arg;
    struct client_work *work = conn->work;
    const struct plan_limits *limits = &conn->x->snapshot->plan->limits;
    while (!http_body_is_done(&work->body)) {
        size_t consumed = 0, data_len = 0;
        net_stream_look_again(&conn->stream); /* as for heads */
        ssize_t n = client_fill(conn);
        if (n == 0) {
            client_pace_await_body(conn);
            return EXCHANGE_BODY_WAIT;
        }
        if (n < 0)
            return EXCHANGE_BODY_GONE;
        client_pace_got_body(conn);
        char *at = work->at;
        enum http_body_state state = http_body_read(&work->body, at, work->left, &consumed,
                                                    &data_len, &limits->chunks, arena);
        work->at += consumed;
        work->left -= consumed;
        conn->x->bytes_in += consumed;
        if (state == HTTP_BODY_BAD) {
            *fault = (struct http_fault){work->body.fault, 0};
            return EXCHANGE_BODY_BAD;
        }
        if (data_len != 0) {
            *data = (struct span){at, data_len};
            return client_keep_rest(conn) ? EXCHANGE_BODY_DATA : EXCHANGE_BODY_GONE;
        }
    }
    conn->request_done = true;
    client_look_behind(conn);
    *data = (struct span){work->body.trailers, work->body.trailers_len};
    if (!client_keep_next(
            conn)) { /* the client may send it again elsewhere (RFC 9112 section 9.3.2) */
        client_work_drop_input(conn->env, work);
        client_ends_by(conn, METRICS_CLOSED_RESPONSE);
        conn->is_last = true;
    }
    return EXCHANGE_BODY_DONE;
}

bool client_gives_pipe(const void *arg)
{
    const struct client_conn *conn = arg;
    return conn->work->left == 0 && http_body_passable(&conn->work->body) != 0 &&
           net_stream_is_plain(&conn->stream);
}

enum exchange_body client_read_pipe(void *arg, struct net_pipe *pipe)
{
    struct client_conn *conn = arg;
    struct client_work *work = conn->work;
    if (work->at_is_kept)
        client_work_drop_input(conn->env, work);
    net_stream_look_again(&conn->stream); /* as for heads */
    ssize_t n = net_pipe_fill(pipe, &conn->stream, http_body_passable(&work->body));
    if (n > 0) {
        client_pace_got_body(conn);
        http_body_pass(&work->body, (uint64_t)n);
        conn->x->bytes_in += (uint64_t)n;
        return EXCHANGE_BODY_DATA;
    }
    if (n == 0 || (errno != EAGAIN && !pipe->is_unfit))
        return EXCHANGE_BODY_GONE;
    if (!pipe->is_unfit)
        client_pace_await_body(conn);
    return EXCHANGE_BODY_WAIT;
}

/* ---- tunnels ---- */

enum exchange_body client_read_tunnel(void *arg, struct span *data)
{
    struct client_conn *conn = arg;
    struct client_work *work = conn->work;
    if (work->has_ended)
        return net_stream_has_failed(&conn->stream) ? EXCHANGE_BODY_GONE : EXCHANGE_BODY_DONE;
    net_stream_look_again(&conn->stream); /* as for heads */
    ssize_t n = client_fill(conn);
    switch (n) {
    case CLIENT_FILL_WAIT:
        return EXCHANGE_BODY_WAIT;
    case CLIENT_FILL_END:
        work->has_ended = true;
        return EXCHANGE_BODY_DONE;
    case CLIENT_FILL_ERROR:
        return EXCHANGE_BODY_GONE;
    default:
        *data = (struct span){work->at, (size_t)n};
        work->left = 0;
        conn->x->bytes_in += (uint64_t)n;
        return EXCHANGE_BODY_DATA;
    }
}
