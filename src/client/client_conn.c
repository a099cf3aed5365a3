/* SPDX-License-Identifier: Apache-2.0 */
/* client_conn.c - a client's connection from accept to close: its states, deadlines and closing.  Takes:
 * readiness and time.  Gives: calls to client_read_head and exchange_run.  Never parses. */
#include <assert.h>
#include <unistd.h>

#include "client/client_private.h"

#define CLIENT_LINGER_PAUSE_US 2000000
#define CLIENT_PART_US         1000000 /* a drain waits for it */
#define CLIENT_LOOKS_MAX       64 /* a turn: one that pipelines without end must not starve the others */

/* ---- states ---- */

static uint64_t client_due(const struct client_conn *conn)
{
    const struct plan_limits *limits = client_limits(conn);
    uint64_t now_us = client_loop(conn)->mono_us;
    switch (conn->state) {
    case CLIENT_PROXY:
        return now_us + limits->header_timeout_us;
    case CLIENT_HANDSHAKE:
        return now_us + limits->tls_handshake_timeout_us;
    case CLIENT_IDLE:
        return now_us + limits->keepalive_us;
    case CLIENT_HEAD:
        return conn->work->began_us + limits->header_timeout_us;
    case CLIENT_LINGER:
        return now_us + CLIENT_LINGER_PAUSE_US < conn->work->linger_until_us
                   ? now_us + CLIENT_LINGER_PAUSE_US
                   : conn->work->linger_until_us;
    default:
        return now_us + CLIENT_FAR_AWAY_US;
    }
}

void client_set_state(struct client_conn *conn, enum client_state state)
{
    conn->state = state;
    if (state != CLIENT_CLOSED)
        loop_timer_set(client_loop(conn), &conn->timer, client_due(conn));
}

static void client_free(struct client_conn *conn)
{
    struct client_env *env = conn->env;
    struct metrics_block *metrics = client_loop(conn)->metrics;
    list_remove(&conn->node);
    env->count--;
    env->lingering -= conn->is_lingering;
    metrics_sub(metrics, METRICS_CONNECTIONS_OPEN, 1);
    metrics_add(metrics, conn->why == 0 ? METRICS_CLOSED_CLIENT : conn->why, 1);
    loop_timer_cancel(&conn->timer);
    client_work_give(env, &conn->work);
    if (conn->is_handshaking)
        client_tls_leave(conn);
    if (conn->is_secured)
        metrics_sub(metrics, METRICS_TLS_OPEN, 1);
    net_stream_close(&conn->stream);
    client_leave(conn);
}

static void client_begin_linger(struct client_conn *conn, uint64_t most_us)
{
    net_stream_shutdown(&conn->stream);
    conn->work->linger_until_us = client_loop(conn)->mono_us + most_us;
    conn->work->linger_left_bytes = client_limits(conn)->linger_max_bytes;
    conn->is_lingering = true;
    conn->env->lingering++;
    client_set_state(conn, CLIENT_LINGER);
}

/* Our side is finished.  Closing while the client still sends would reset the connection and could destroy what it
 * has not read yet: then what it sends is read away until it ends, pauses, or has had its time or its bytes
 * (RFC 9112 section 9.6).  A client that did not ask for the end may be sending its next request. */
static void client_finish(struct client_conn *conn)
{
    struct client_work *work = conn->work;
    if (!conn->stream.is_watched) /* nobody has told */
        conn->stream.is_readable = net_stream_has_input(&conn->stream);
    bool may_come_more =
        conn->keep_alive || !conn->request_done || work->left != 0 || conn->stream.is_readable;
    client_work_drop_input(conn->env, work);
    if (!may_come_more) {
        client_set_state(conn, CLIENT_CLOSED);
        return;
    }
    client_begin_linger(conn, client_limits(conn)->linger_us);
}

/* Short: mostly nothing comes, and the drain waits for those whose clients keep unused connections. */
static uint64_t client_part_us(const struct client_conn *conn)
{
    const struct plan_limits *limits = client_limits(conn);
    uint64_t most_us = limits->drain_us / 2;
    most_us = most_us < limits->linger_us ? most_us : limits->linger_us;
    return most_us < CLIENT_PART_US ? most_us : CLIENT_PART_US;
}

void client_part(struct client_conn *conn)
{
    if (!client_has_work(conn)) {
        client_end(conn, METRICS_CLOSED_DRAIN);
        return;
    }
    client_ends_by(conn, METRICS_CLOSED_DRAIN);
    conn->stream.on_ready = client_on_ready;
    client_begin_linger(conn, client_part_us(conn));
    client_drive(conn);
}

static bool client_linger(struct client_conn *conn)
{
    struct client_work *work = conn->work;
    for (unsigned i = 0; i < 4; i++) {
        ssize_t n = client_fill(conn);
        if (n == 0)
            return false;
        if (n < 0 || (uint64_t)n > work->linger_left_bytes) {
            client_set_state(conn, CLIENT_CLOSED);
            return true;
        }
        work->linger_left_bytes -= (uint64_t)n;
        client_work_drop_input(conn->env, work);
        client_set_state(conn, CLIENT_LINGER); /* a pause begins anew */
    }
    loop_task_schedule(client_loop(conn), &work->task);
    return false;
}

static enum metrics_id client_reason(const struct client_conn *conn)
{
    if (conn->is_last)
        return METRICS_CLOSED_REQUESTS;
    return conn->env->is_draining ? METRICS_CLOSED_DRAIN : METRICS_CLOSED_RESPONSE;
}

/* Between requests, and there is nothing to read, write or do. */
static bool client_is_at_rest(const struct client_conn *conn)
{
    return conn->state == CLIENT_IDLE && !conn->stream.is_readable && conn->env->cork_len == 0 &&
           client_work_is_over(conn->work);
}

/* The connection ends with this response, or without it.  Not inlined: most go on. */
static __attribute__((noinline)) void client_finished_last(struct client_conn *conn,
                                                           enum exchange_after after)
{
    if (after != EXCHANGE_ABORT && !conn->is_broken) {
        client_ends_by(conn, client_reason(conn));
        client_finish(conn);
        return;
    }
    if (after == EXCHANGE_ABORT)
        conn->env->cork_len = 0;
    client_ends_by(conn, METRICS_CLOSED_BROKEN);
    net_stream_abort(&conn->stream);
    client_set_state(conn, CLIENT_CLOSED);
}

void client_finished(void *arg, enum exchange_after after)
{
    struct client_conn *conn = arg;
    conn->x = NULL;
    conn->work->waiting_us = 0;
    if (after != EXCHANGE_KEEP || conn->is_broken || conn->will_close || conn->is_last ||
        conn->env->is_draining)
        client_finished_last(conn, after);
    else
        client_set_state(conn, CLIENT_IDLE);
    if (conn->is_driving)
        return;
    if (conn->stream.is_watched &&
        client_is_at_rest(conn)) /* as client_drive would find it (measured: 140 instructions) */
        client_work_give(conn->env, &conn->work);
    else
        client_drive(conn);
}

/* ---- driving ---- */

/* A client that has ended or reset its side while its response is awaited is taken for gone, as nginx and most
 * servers do: nothing else would stop a server from working for nobody.  A half-closed connection looks the
 * same, and is given up with it. */
static bool client_has_left(struct client_conn *conn)
{
    return conn->stream.is_readable && conn->request_done && conn->work->left == 0 &&
           net_stream_is_over(&conn->stream);
}

/* What the exchange does not read, because the server takes nothing or a later request begins there, hides a reset
 * that came behind it. */
static bool client_was_reset(struct client_conn *conn)
{
    return conn->x != NULL && conn->stream.is_readable && net_stream_has_failed(&conn->stream);
}

/* Who is not watched is told of when it will be. */
void client_look(void *arg)
{
    struct client_conn *conn = arg;
    if (!conn->stream.is_watched)
        return;
    net_stream_look_again(&conn->stream);
    loop_task_schedule(client_loop(conn), &conn->work->task);
}

static void client_drive_exchange(struct client_conn *conn)
{
    if (conn->is_broken || client_has_left(conn)) {
        exchange_stop(conn->x, END_CLIENT_ABORT);
        return;
    }
    exchange_run(conn->x);
    if (client_was_reset(conn))
        exchange_stop(conn->x, END_CLIENT_ABORT);
}

/* A response that was sent early has not gone whole: until it has, no request behind it is begun. */
static bool client_hold(struct client_conn *conn)
{
    if (conn->is_broken) {
        client_ends_by(conn, METRICS_CLOSED_BROKEN);
        client_set_state(conn, CLIENT_CLOSED);
        return true;
    }
    if (client_work_has_unsent(conn->work))
        return false;
    conn->is_held = false;
    client_set_state(conn, CLIENT_IDLE);
    return true;
}

/* True while another look is worth it. */
static bool client_drive_once(struct client_conn *conn)
{
    switch (conn->state) {
    case CLIENT_IDLE:
    case CLIENT_HEAD:
        if (conn->is_held)
            return client_hold(conn);
        return client_read_head(conn) && !client_is_at_rest(conn); /* after an early response */
    case CLIENT_BUSY:
        client_drive_exchange(conn);
        return conn->state != CLIENT_BUSY;
    case CLIENT_LINGER:
        return client_linger(conn);
    default:
        return false;
    }
}

/* A request that is whole, behind which nothing may come, is mostly answered before its client could do anything:
 * until the next tick nobody needs to hear of it. */
static bool client_is_awaited(const struct client_conn *conn)
{
    return conn->state != CLIENT_BUSY || !conn->request_done || conn->keep_alive ||
           conn->work->left != 0 || client_work_has_unsent(conn->work);
}

/* False: no memory. */
static bool client_is_heard(struct client_conn *conn)
{
    if (conn->stream.is_watched)
        return true;
    if (client_is_awaited(conn))
        return net_stream_watch(&conn->stream) == ERR_OK;
    loop_timer_set(client_loop(conn), &conn->timer, client_loop(conn)->mono_us);
    return true;
}

static void client_on_task(void *arg)
{
    struct client_work *work = arg;
    client_drive(work->conn);
}

bool client_has_work(struct client_conn *conn)
{
    if (conn->work == NULL)
        conn->work = client_work_take(conn->env, conn, client_on_task);
    return conn->work != NULL;
}

/* A response that was sent early may have waited here while draining began. */
static void client_rest(struct client_conn *conn)
{
    if (!conn->env->is_draining || conn->env->is_patient) {
        client_work_give(conn->env, &conn->work);
        return;
    }
    client_part(conn);
}

void client_drive(struct client_conn *conn)
{
    unsigned looks = 0;
    if (!client_has_work(conn)) {
        client_free(conn);
        return;
    }
    conn->is_driving = true;
    client_flush(conn);
    while (conn->state != CLIENT_CLOSED && client_drive_once(conn)) {
        if (++looks < CLIENT_LOOKS_MAX)
            continue;
        loop_task_schedule(client_loop(conn), &conn->work->task);
        break;
    }
    if (conn->state != CLIENT_CLOSED && (!client_keep_rest(conn) || !client_is_heard(conn))) {
        if (conn->x != NULL)
            exchange_stop(conn->x, END_CLIENT_ABORT);
        client_set_state(conn, CLIENT_CLOSED);
    }
    conn->is_driving = false;
    if (conn->state == CLIENT_CLOSED)
        client_free(conn);
    else if (conn->state == CLIENT_IDLE && client_work_is_over(conn->work))
        client_rest(conn);
}

void client_on_ready(struct net_stream *stream, void *arg)
{
    struct client_conn *conn = arg;
    (void)stream;
    assert(conn->env->cork_len == 0);
    client_drive(conn);
}

/* ---- deadlines ---- */

static void client_stop(struct client_conn *conn, enum exchange_end end)
{
    conn->is_driving = true;
    conn->work->waiting_us = 0; /* from now on only for the response to be taken */
    exchange_stop(conn->x, end);
    conn->is_driving = false;
    client_drive(conn);
}

/* Within a request, or while a response that was sent early waits. */
static void client_on_timer_busy(struct client_conn *conn)
{
    static const struct {
        enum metrics_id why;
        bool is_broken; /* nobody takes an answer */
    } slow[] = {
        [END_BODY_TIMEOUT] = {METRICS_CLOSED_BODY_TIMEOUT, false},
        [END_SLOW_READ] = {METRICS_CLOSED_SLOW_READ, true},
        [END_WRITE_STALL] = {METRICS_CLOSED_WRITE_STALL, true},
    };
    client_watch(conn);
    enum exchange_end end = client_pace_judge(conn);
    if (end == END_OK) {
        client_pace_set_timer(conn);
        return;
    }
    client_ends_by(conn, slow[end].why);
    conn->is_broken = conn->is_broken || slow[end].is_broken;
    if (conn->x != NULL) {
        client_stop(conn, end);
        return;
    }
    client_set_state(conn, CLIENT_CLOSED);
    client_drive(conn);
}

void client_begin_refusal(struct client_conn *conn, enum exchange_end end)
{
    struct exchange_request request;
    client_request(conn, &request);
    request.refuse = end;
    client_refuse(conn, &request);
    client_drive(conn);
}

static void client_on_timer(void *arg)
{
    struct client_conn *conn = arg;
    if (conn->is_held) {
        client_on_timer_busy(conn);
        return;
    }
    switch (conn->state) {
    case CLIENT_BUSY:
        client_on_timer_busy(conn);
        break;
    case CLIENT_PROXY:
        client_proxy_on_timeout(conn);
        break;
    case CLIENT_HANDSHAKE:
        client_tls_on_timeout(conn);
        break;
    case CLIENT_HEAD:
        client_ends_by(conn, METRICS_CLOSED_HEADER_TIMEOUT);
        client_begin_refusal(conn, END_HEADER_TIMEOUT);
        break;
    default: /* for a lingering one the reason stands already */
        client_ends_by(conn, METRICS_CLOSED_KEEPALIVE);
        client_set_state(conn, CLIENT_CLOSED);
        client_drive(conn);
        break;
    }
}

/* ---- beginning ---- */

void client_begin_serving(struct client_conn *conn, int fd)
{
    struct client_env *env = conn->env;
    struct loop *loop = client_loop(conn);
    conn->stream.fd = -1;
    conn->request_done = true;
    list_init(&conn->node);
    list_push_back(&env->conns, &conn->node);
    env->count++;
    metrics_add(loop->metrics, METRICS_CONNECTIONS_OPEN, 1);
    loop_timer_init(&conn->timer, client_on_timer, conn);
    client_set_state(conn, CLIENT_IDLE);
    net_stream_adopt(&conn->stream, loop, fd, client_on_ready, conn);
    bool is_good = true;
    if (client_proxy_is_due(conn))
        is_good = client_proxy_begin(conn);
    else if (conn->door->listener.tls != NULL)
        is_good = client_tls_begin(conn);
    else
        client_drive(conn); /* mostly the request has come together with the connection */
    if (!is_good)
        client_free(conn);
}

void client_end(struct client_conn *conn, enum metrics_id why)
{
    client_ends_by(conn, why);
    client_set_state(conn, CLIENT_CLOSED);
    client_free(conn);
}

/* ---- draining ---- */

static bool client_is_between_requests(struct client_conn *conn)
{
    return (conn->state == CLIENT_IDLE || conn->state == CLIENT_PROXY) && conn->work == NULL &&
           !net_stream_has_input(&conn->stream);
}

void client_drain(struct client_env *env)
{
    env->is_draining = true;
    env->is_patient = false;
    client_tls_drain(env);
    LIST_EACH_SAFE (node, &env->conns) {
        struct client_conn *conn = LIST_OF(node, struct client_conn, node);
        if (client_is_between_requests(conn))
            client_part(conn);
    }
}

unsigned client_owed(const struct client_env *env)
{
    return env->count - env->lingering - env->handshake_count;
}

/* Who waits for a response that has not begun is told so; any other is broken off. */
static void client_end_now(struct client_conn *conn)
{
    client_ends_by(conn, METRICS_CLOSED_DRAIN);
    conn->is_driving = true;
    if (conn->x != NULL)
        exchange_stop(conn->x, END_DRAINING);
    conn->is_broken = true;
    if (conn->x != NULL) /* the client does not take it */
        exchange_stop(conn->x, END_DRAINING);
    client_set_state(conn, CLIENT_CLOSED);
    client_drive(conn);
}

void client_close_all(struct client_env *env)
{
    LIST_EACH_SAFE (node, &env->handshakes)
        client_end(LIST_OF(node, struct client_conn, node), METRICS_CLOSED_DRAIN);
    LIST_EACH_SAFE (node, &env->conns)
        client_end_now(LIST_OF(node, struct client_conn, node));
}
