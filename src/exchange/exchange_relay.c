/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_relay.c - both bodies, at the speed of the slower side.  Takes: readiness of either side.  Gives: at
 * most a few buffers a turn each way, so that one exchange cannot starve the others.  A side is read only
 * while the other one has nothing unsent: that is all the backpressure there is. */
#include "base/base_log.h"
#include "exchange/exchange_private.h"
#include "http/http_write.h"

#define RELAY_BUDGET      4  /* buffers of 64 KiB a turn and direction */
#define RELAY_INTERIM_MAX 32 /* 1xx responses before the final one */

enum relay {
    RELAY_IDLE,     /* nothing more can be done now */
    RELAY_BUDGETED, /* there is more: go on next turn */
    RELAY_FAILED,   /* *result says how to go on */
};

/* ---- request body: client to server ---- */

static enum relay relay_failed(enum step_result how, enum step_result *result)
{
    *result = how;
    return RELAY_FAILED;
}

/* What passed through a pipe has been sent: no data. */
static enum exchange_body relay_read_request(struct exchange *x, struct span *data)
{
    enum exchange_body body;
    *data = SPAN_NONE;
    if (x->buffered == NULL && exchange_pass_request(x, &body))
        return body;
    return exchange_read_body(x, data);
}

static enum relay relay_request(struct exchange *x, enum step_result *result)
{
    uint64_t max_bytes = x->snapshot->plan->limits.body_max_bytes;
    if (!upstream_conn_flush(x->conn))
        return RELAY_IDLE; /* the server may have answered before it stopped reading */
    for (unsigned i = 0; i < RELAY_BUDGET; i++) {
        struct span data;
        if (x->request_done || x->conn->is_broken || upstream_conn_is_blocked(x->conn))
            return RELAY_IDLE;
        switch (relay_read_request(x, &data)) {
        case EXCHANGE_BODY_WAIT:
            return RELAY_IDLE;
        case EXCHANGE_BODY_DATA:
            x->body_bytes += data.len;
            if (x->body_bytes > max_bytes)
                return relay_failed(exchange_fail(x, END_TOO_LARGE), result);
            (void)upstream_conn_send_data(x->conn, data);
            break;
        case EXCHANGE_BODY_DONE:
            x->request_done = true;
            if (!exchange_judge_trailers(x, data))
                return relay_failed(exchange_fail(x, exchange_end_of_fault(x->fault.id)), result);
            (void)upstream_conn_send_end(x->conn, data);
            break;
        case EXCHANGE_BODY_BAD:
            return relay_failed(exchange_fail(x, exchange_end_of_fault(x->fault.id)), result);
        case EXCHANGE_BODY_GONE:
            return relay_failed(exchange_fail(x, END_CLIENT_ABORT), result);
        }
    }
    return RELAY_BUDGETED;
}

/* ---- response: server to client ---- */

static const uint64_t RELAY_REPLACED =
    HTTP_FIELD_BIT(HTTP_FIELD_X_REQUEST_ID) | HTTP_FIELD_BIT(HTTP_FIELD_TRANSFER_ENCODING);

static void relay_note_id(struct exchange *x, const struct http_head *head)
{
    unsigned from = 0;
    const struct http_field *field = http_head_next(head, HTTP_FIELD_X_REQUEST_ID, &from);
    if (field != NULL)
        x->upstream_id = arena_copy(&x->arena, http_field_value(head, field));
}

/* Is the server's own Date passed on? */
static bool relay_keeps_date(const struct upstream_reading *reading)
{
    return http_head_has(&reading->head, HTTP_FIELD_DATE) &&
           (reading->framing.nominated & HTTP_FIELD_BIT(HTTP_FIELD_DATE)) == 0;
}

/* The server's fields that ours stand for. */
static uint64_t relay_replaced(const struct exchange *x, struct http_head *head)
{
    uint32_t dialects = exchange_dialects(x);
    if ((dialects & REPLY_X_APIG) != 0)
        http_head_mark(head, SPAN("x-apig-ratelimit-"), HTTP_FIELD_X_APIG_RATELIMIT);
    return reply_replaced_fields(dialects, head);
}

static bool relay_head(struct exchange *x, struct upstream_reading *reading, struct span protocol)
{
    struct http_head *head = &reading->head;
    bool is_tunnel = reading->framing.kind == HTTP_BODY_TUNNEL;
    bool is_interim = head->status < 200 && !is_tunnel;
    uint64_t drop = RELAY_REPLACED;
    const struct plan_rewrite_rules *rules = x->route->response_rules;
    const size_t rules_bytes = rules == NULL ? 0 : rules->max_bytes;
    if (is_interim && x->head.minor == 0)
        return true; /* HTTP/1.0 knows no interim responses */
    char *out = x->ops->begin_head(x->client, head->status, http_head_span(head, head->reason),
                                   head->bytes + exchange_own_fields_max(x) + rules_bytes);
    if (out == NULL)
        return false;
    if (exchange_shows_limits(x))
        drop |= relay_replaced(x, head);
    if (head->status < 200 || head->status == 204) /* RFC 9110 section 8.6: none, be it 0 */
        drop |= HTTP_FIELD_BIT(HTTP_FIELD_CONTENT_LENGTH);
    char *at = rules == NULL ? http_write_fields(out, head, drop)
                             : exchange_rewrite_response(x, out, head, drop, is_interim);
    if (!is_interim) {
        if (!relay_keeps_date(reading)) /* RFC 9110 section 6.6.1 */
            at = exchange_write_date(x->env, at);
        at = exchange_write_own_fields(x, at);
        relay_note_id(x, head);
        x->status = head->status;
        x->first_us = x->env->loop->mono_us;
        x->response_begun = true;
        upstream_answered(x->conn, head->status);
        exchange_note_cost(x, head);
        exchange_settle(x); /* the rest may take longer than the window */
        if (x->route->learns_tokens)
            exchange_learn_head(x, reading);
        if (x->buffered != NULL && x->request_done)
            exchange_drop_buffered(x); /* it is not sent again */
    }
    const struct exchange_response response = {
        .fields = {out, (size_t)(at - out)},
        .kind = reading->framing.kind,
        .upgrade = protocol,
        .is_interim = is_interim,
        .must_close = x->must_close,
    };
    x->ops->send_head(x->client, &response);
    if (head->status == 100 && exchange_holds_body(x)) { /* from now on the client is waited for */
        x->is_body_due = true;
        loop_task_schedule(x->env->loop, &x->task);
    }
    if (is_tunnel)
        exchange_open_tunnel(x);
    return true;
}

static enum step_result relay_bad(struct exchange *x, const struct upstream_reading *reading)
{
    const struct http_fault fault = reading->fault;
    x->fault = fault;
    exchange_note_fault(x, true, reading->seen);
    log_warn("server %.*s: bad response: %s", (int)x->server.len, x->server.ptr,
             http_fault_sentence(fault.id));
    upstream_note_failure(x->conn, UPSTREAM_FAILURE_RESPONSE);
    return exchange_fail(x, END_UPSTREAM_BAD_RESPONSE);
}

/* A head that is well-formed and out of place, or NONE. */
static enum http_fault_id
relay_head_fault(struct exchange *x, const struct upstream_reading *reading, struct span *protocol)
{
    if (reading->framing.kind == HTTP_BODY_TUNNEL)
        return exchange_judge_upgrade(x, &reading->head, protocol);
    if (reading->head.status < 200 && ++x->interims > RELAY_INTERIM_MAX)
        return HTTP_FAULT_TOO_MANY_INTERIMS;
    return HTTP_FAULT_NONE;
}

static enum step_result relay_gone(struct exchange *x)
{
    if (!x->conn->got_bytes && x->was_reused && !x->is_retry && exchange_is_replayable(x))
        return exchange_retry(x);
    if (!x->conn->got_bytes && !x->was_reused)
        upstream_note_failure(x->conn, UPSTREAM_FAILURE_RESET);
    return exchange_fail(x, END_UPSTREAM_ABORT);
}

/* Data that passed through a pipe have been sent. */
static enum relay relay_passed(struct exchange *x, enum upstream_event event,
                               enum step_result *result)
{
    if (event == UPSTREAM_DATA)
        return RELAY_BUDGETED;
    return event == UPSTREAM_WAIT ? RELAY_IDLE : relay_failed(relay_gone(x), result);
}

static enum relay relay_event(struct exchange *x, struct upstream_reading *reading,
                              enum step_result *result)
{
    struct span protocol = SPAN_NONE;
    enum upstream_event event;
    if (exchange_pass_response(x, &event))
        return relay_passed(x, event, result);
    switch (upstream_conn_read(x->conn, reading)) {
    case UPSTREAM_WAIT:
        return RELAY_IDLE;
    case UPSTREAM_HEAD:
        reading->fault.id = relay_head_fault(x, reading, &protocol);
        if (reading->fault.id != HTTP_FAULT_NONE)
            break;
        if (!relay_head(x, reading, protocol))
            return relay_failed(exchange_fail(x, END_SHED), result);
        return x->tunnel.is_open ? RELAY_IDLE : RELAY_BUDGETED;
    case UPSTREAM_DATA:
        if (x->learning != NULL)
            exchange_learn_data(x, reading->data);
        x->ops->send_data(x->client, reading->data);
        return RELAY_BUDGETED;
    case UPSTREAM_END:
        if (x->learning != NULL)
            exchange_learn_end(x);
        if (reading->data.len != 0 && x->route->response_rules != NULL)
            reading->data = exchange_rewrite_trailers(x, reading->data);
        x->ops->send_end(x->client, reading->data);
        x->response_done = true;
        return RELAY_IDLE;
    case UPSTREAM_GONE:
        return relay_failed(relay_gone(x), result);
    case UPSTREAM_BAD:
        break;
    }
    return relay_failed(relay_bad(x, reading), result);
}

/* A head and its data count as one buffer: the data was read with it. */
static enum relay relay_response(struct exchange *x, enum step_result *result)
{
    const struct plan_limits *limits = &x->snapshot->plan->limits;
    struct upstream_reading
        reading; /* not cleared: each event sets what it says (80 instructions) */
    reading.head.fields = x->env->fields;
    reading.head.field_max = EXCHANGE_FIELDS_MAX;
    reading.fault = (struct http_fault){HTTP_FAULT_NONE, 0};
    reading.seen = SPAN_NONE;
    reading.head_limits = &limits->head;
    reading.body_limits = &limits->chunks;
    reading.arena = &x->arena;
    enum relay relayed = RELAY_IDLE;
    for (unsigned i = 0; i < RELAY_BUDGET * 2 && !x->response_done; i++) {
        if (x->ops->is_blocked(x->client)) {
            relayed = RELAY_IDLE;
            break;
        }
        relayed = relay_event(x, &reading, result);
        if (relayed != RELAY_BUDGETED)
            break;
    }
    if (relayed == RELAY_FAILED)
        return RELAY_FAILED;
    if (!x->response_done && !upstream_conn_keep_rest(x->conn))
        return relay_failed(exchange_fail(x, END_SHED), result);
    x->ops->flush(x->client);
    return relayed;
}

/* ---- RELAY ---- */

/* Whoever everybody waits for has a deadline: here the server, elsewhere (see client) the client. */
static enum exchange_waits relay_waits_for(const struct exchange *x)
{
    if (x->ops->is_blocked(x->client))
        return EXCHANGE_WAITS_CLIENT;
    if (x->response_begun)
        return EXCHANGE_WAITS_MORE;
    /* To a connection that takes no more nothing is sent, so the client's body is not read. */
    if (!x->request_done && !x->conn->is_broken && !upstream_conn_is_blocked(x->conn) &&
        !exchange_holds_body(x))
        return EXCHANGE_WAITS_CLIENT;
    return EXCHANGE_WAITS_FIRST;
}

/* Interim responses are no progress: "wait" must not put off the deadline of the answer.  Nor is a body that trickles behind
 * the begin of it: nobody is ended for that, and it could go on for ever. */
static uint64_t relay_progress(const struct exchange *x)
{
    return (x->is_body_late ? 0 : x->body_bytes) + (x->response_begun ? x->bytes_out : 0);
}

/* Only progress moves a deadline: a client that keeps sending must not keep a dead server alive. */
static void relay_set_deadline(struct exchange *x, bool has_progress)
{
    const struct upstream_conf *conf = x->snapshot->pools[x->route->upstream]->conf;
    const uint64_t timeouts_us[] = {
        [EXCHANGE_WAITS_FIRST] = conf->first_byte_timeout_us,
        [EXCHANGE_WAITS_MORE] = conf->read_idle_timeout_us,
    };
    enum exchange_waits waits = relay_waits_for(x);
    if (waits == x->waits && !has_progress)
        return;
    x->waits = waits;
    upstream_conn_set_deadline(
        x->conn, waits == EXCHANGE_WAITS_CLIENT ? 0 : x->env->loop->mono_us + timeouts_us[waits]);
}

static inline bool relay_request_is_over(const struct exchange *x)
{
    return x->request_done && !upstream_conn_is_blocked(x->conn);
}

/* Not inlined: its frame would burden the first look, behind SEND. */
static __attribute__((noinline)) enum step_result relay_both(struct exchange *x)
{
    enum step_result result = STEP_WAIT;
    uint64_t before = relay_progress(x);
    enum relay up = relay_request_is_over(x) ? RELAY_IDLE : relay_request(x, &result);
    if (up == RELAY_FAILED)
        return result;
    enum relay down = relay_response(x, &result);
    if (down == RELAY_FAILED)
        return result;
    if (x->response_done) {
        if (!exchange_has_read_all(x)) /* answered early: the rest of the request has no reader */
            x->must_close = true;
        exchange_leave_upstream(x);
        x->step = EXCHANGE_STEP_FINISH;
        return STEP_AGAIN;
    }
    if (x->tunnel.is_open)
        return STEP_NEXT;
    if (up == RELAY_BUDGETED || down == RELAY_BUDGETED)
        loop_task_schedule(x->env->loop, &x->task);
    relay_set_deadline(x, before != relay_progress(x));
    return STEP_WAIT;
}

enum step_result exchange_step_relay(struct exchange *x)
{
    if (!relay_request_is_over(x) || upstream_conn_may_have_event(x->conn))
        return relay_both(x);
    relay_set_deadline(x, false);
    return STEP_WAIT;
}
