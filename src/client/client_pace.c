/* SPDX-License-Identifier: Apache-2.0 */
/* client_pace.c - how slow a client may be within a request: with the body that it sends, and with the response
 * that it should take.  Takes: what has come and gone, and the time.  Gives: the ending that is due, and when to
 * look again.  A slow server is never the client's fault: only the time that the client is waited for counts. */
#include "client/client_private.h"

#define PACE_NEVER_US (UINT64_C(1) << 60)
#define PACE_LOOK_US  500000 /* how often the kernel is asked what a client took */

/* What `bytes` at this rate may take, without overflow. */
static uint64_t pace_us(uint64_t bytes, uint64_t rate_per_s)
{
    double us = rate_per_s == 0 ? (double)PACE_NEVER_US : (double)bytes * 1e6 / (double)rate_per_s;
    return us < (double)PACE_NEVER_US ? (uint64_t)us : PACE_NEVER_US;
}

/* Those that the request began with; of a response that the exchange has handed over, those in force. */
static const struct plan_limits *pace_limits(const struct client_conn *conn)
{
    return conn->x != NULL ? &conn->x->snapshot->plan->limits : client_limits(conn);
}

static uint64_t pace_less(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t pace_beyond(uint64_t us, uint64_t used_us)
{
    return us > used_us ? us - used_us : 0;
}

/* ---- the request's body ---- */

/* When the client will have been too slow if nothing more comes.  Who was fast at first has no credit for days: a
 * single pause may last as long as one in reading. */
static uint64_t pace_body_due_us(const struct client_conn *conn)
{
    const struct client_work *work = conn->work;
    const struct plan_limits *limits = pace_limits(conn);
    uint64_t grace_us = limits->body_grace_us;
    uint64_t allowed_us = grace_us + pace_us(work->body.data_bytes, limits->body_min_rate_per_s);
    uint64_t pause_us = pace_beyond(grace_us, work->waited_us);
    if (pause_us < limits->write_stall_us)
        pause_us = limits->write_stall_us;
    return work->waiting_us + pace_less(pace_beyond(allowed_us, work->waited_us), pause_us);
}

void client_pace_await_body(struct client_conn *conn)
{
    struct client_work *work = conn->work;
    if (work->waiting_us != 0 || conn->x->is_body_late || exchange_holds_body(conn->x))
        return;
    work->waiting_us = client_loop(conn)->mono_us;
    client_pace_set_timer(conn);
}

void client_pace_got_body(struct client_conn *conn)
{
    struct client_work *work = conn->work;
    conn->x->is_body_due = true;
    if (work->waiting_us == 0)
        return;
    work->waited_us += client_loop(conn)->mono_us - work->waiting_us;
    work->waiting_us = 0;
}

/* ---- the response ---- */

void client_pace_blocked(struct client_conn *conn)
{
    struct client_work *work = conn->work;
    work->blocked_us = 0;
    work->stalled_us = client_loop(conn)->mono_us + pace_limits(conn)->write_stall_us;
    client_pace_set_timer(conn);
}

/* Room in the socket's buffer is no measure: it holds megabytes, and opens in large steps.  What the client's own
 * side has acknowledged is what it took. */
static void pace_look(struct client_conn *conn)
{
    struct client_work *work = conn->work;
    uint64_t now_us = client_loop(conn)->mono_us;
    uint64_t taken_bytes = work->sent_bytes - net_stream_unsent(&conn->stream);
    if (work->blocked_us == 0) {
        work->blocked_us = now_us;
        work->blocked_taken_bytes = taken_bytes;
    } else if (taken_bytes == work->taken_bytes) {
        return;
    }
    work->taken_bytes = taken_bytes;
    work->stalled_us = now_us + pace_limits(conn)->write_stall_us;
}

/* When the client will have been too slow on the whole, by what it took since it began to keep us waiting.  A
 * client that reads steadily gets the time of one stall on top, for the steps in which it says what it took. */
static uint64_t pace_read_due_us(const struct client_conn *conn)
{
    const struct client_work *work = conn->work;
    const struct plan_limits *limits = pace_limits(conn);
    int64_t bytes = (int64_t)(work->taken_bytes - work->blocked_taken_bytes);
    return work->blocked_us + limits->write_stall_us +
           pace_us(bytes < 0 ? 0 : (uint64_t)bytes, limits->read_min_rate_per_s);
}

/* ---- both ---- */

enum exchange_end client_pace_judge(struct client_conn *conn)
{
    struct client_work *work = conn->work;
    uint64_t now_us = client_loop(conn)->mono_us;
    if (client_work_has_unsent(work)) {
        pace_look(conn);
        if (now_us >= work->stalled_us)
            return END_WRITE_STALL;
        if (now_us >= pace_read_due_us(conn))
            return END_SLOW_READ;
    }
    if (work->waiting_us == 0 || now_us < pace_body_due_us(conn))
        return END_OK;
    if (!conn->x->response_begun || conn->x->is_discarding)
        return END_BODY_TIMEOUT;
    /* A server's response is on its way: who has it may stop sending (RFC 9112 section 9.5; with Expect RFC 9110 section
     * 10.1.1), and must not lose it for that. */
    conn->x->is_body_late = true;
    work->waiting_us = 0;
    return END_OK;
}

void client_pace_set_timer(struct client_conn *conn)
{
    struct client_work *work = conn->work;
    struct loop *loop = client_loop(conn);
    uint64_t due_us = loop->mono_us + CLIENT_FAR_AWAY_US;
    if (work->waiting_us != 0)
        due_us = pace_less(due_us, pace_body_due_us(conn));
    if (client_work_has_unsent(work) && work->blocked_us == 0)
        due_us = loop->mono_us; /* the first look: the next tick */
    else if (client_work_has_unsent(work))
        due_us = pace_less(pace_less(due_us, loop->mono_us + PACE_LOOK_US),
                           pace_less(work->stalled_us, pace_read_due_us(conn)));
    loop_timer_set(loop, &conn->timer, due_us);
}
