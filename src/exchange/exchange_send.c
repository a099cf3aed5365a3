/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_send.c - towards the server: a connection, and the request's head on it.  Takes: the kept head.
 * Gives: the client's own method, path and end-to-end fields, with what an intermediary must change. */
#include <errno.h>
#include <string.h>

#include "base/base_log.h"
#include "exchange/exchange_private.h"
#include "http/http_write.h"

#define SEND_OWN_BYTES  1024 /* Via, X-Forwarded-*, X-request-id, without the client's values */
#define SEND_USUAL_HOST 256  /* a longer one is written elsewhere, where there is room for it */

/* All that is written behind a head that is sent from where it was kept: names and fixed values, the texts of which
 * EXCHANGE_BEHIND bytes more may be copied, and the id. */
_Static_assert(EXCHANGE_HEAD_MORE >= 256 + EXCHANGE_PEER_TEXT + SEND_USUAL_HOST + EXCHANGE_BEHIND +
                                         EXCHANGE_ID_LINE_MAX,
               "it fits");

static const uint64_t SEND_REPLACED =
    HTTP_FIELD_BIT(HTTP_FIELD_X_REQUEST_ID) | HTTP_FIELD_BIT(HTTP_FIELD_X_FORWARDED_FOR) |
    HTTP_FIELD_BIT(HTTP_FIELD_X_FORWARDED_PROTO) | HTTP_FIELD_BIT(HTTP_FIELD_X_FORWARDED_HOST) |
    HTTP_FIELD_BIT(HTTP_FIELD_TRANSFER_ENCODING);
static const uint64_t SEND_DROPPED_UNTRUSTED =
    HTTP_FIELD_BIT(HTTP_FIELD_FORWARDED) | HTTP_FIELD_BIT(HTTP_FIELD_X_REAL_IP);

/* ---- CONNECT ---- */

static void exchange_on_upstream_ready(void *arg)
{
    exchange_run(arg);
}

static void exchange_on_upstream_deadline(void *arg)
{
    struct exchange *x = arg;
    bool is_connecting = x->step == EXCHANGE_STEP_CONNECT;
    if (x->step == EXCHANGE_STEP_TUNNEL) {
        exchange_stop(x, END_TUNNEL_IDLE);
        return;
    }
    log_warn("server %.*s of upstream %.*s: %s", (int)upstream_server_name(x->conn).len,
             upstream_server_name(x->conn).ptr,
             (int)x->snapshot->plan->upstreams[x->route->upstream].name.len,
             x->snapshot->plan->upstreams[x->route->upstream].name.ptr,
             is_connecting ? "connecting took too long" : "no answer in time");
    if (is_connecting) {
        x->tls_fault = NULL;
        upstream_failed(&x->conn);
        exchange_run(x); /* the next server, if there is one */
        return;
    }
    /* Who keeps the body back or is late with it may be whom the server waits for: no client takes a server out. */
    if (!exchange_holds_body(x) && !x->is_body_late)
        upstream_note_failure(x->conn, UPSTREAM_FAILURE_TIMEOUT);
    upstream_close(&x->conn);
    exchange_stop(x, END_UPSTREAM_TIMEOUT);
}

static void exchange_say_connect_failed(const struct exchange *x, int error)
{
    const struct upstream_conf *conf = &x->snapshot->plan->upstreams[x->route->upstream];
    struct span server = x->server.len != 0 ? x->server : SPAN("any server");
    log_warn("upstream %.*s: cannot connect to %.*s: %s", (int)conf->name.len, conf->name.ptr,
             (int)server.len, server.ptr, strerror(error));
}

static void exchange_say_tls_failed(struct exchange *x)
{
    const struct upstream_conf *conf = &x->snapshot->plan->upstreams[x->route->upstream];
    const char *why = upstream_conn_tls_why(x->conn);
    x->tls_fault = upstream_conn_tls_word(x->conn);
    log_warn("upstream %.*s: no TLS with %.*s: %s", (int)conf->name.len, conf->name.ptr,
             (int)x->server.len, x->server.ptr, why == NULL ? x->tls_fault : why);
}

static enum step_result exchange_established(struct exchange *x)
{
    switch (upstream_conn_established(x->conn)) {
    case ERR_OK:
        x->connected_us = x->env->loop->mono_us;
        return STEP_NEXT;
    case ERR_AGAIN:
        return STEP_WAIT;
    default:
        x->tls_fault = NULL;
        if (upstream_conn_tls_word(x->conn) != NULL)
            exchange_say_tls_failed(x);
        else
            exchange_say_connect_failed(x, errno);
        upstream_failed(&x->conn);
        return STEP_AGAIN;
    }
}

/* There is no server left to try: why the last one was not to be had. */
static enum exchange_end exchange_end_of_no_connection(const struct exchange *x, int error)
{
    if (x->is_retry &&
        x->tried == 0) /* no leave, or nobody to ask: it ends as it would have without the retry */
        return END_UPSTREAM_ABORT;
    if (x->tries == 0 && error == EHOSTUNREACH)
        return END_NO_UPSTREAM;
    if (net_stream_is_shortage(error)) {
        log_warn("no connection to a server: %s (raise the limit of open files)", strerror(error));
        return END_NO_DESCRIPTORS;
    }
    if (x->tls_fault != NULL)
        return END_UPSTREAM_TLS;
    if (x->tries == 0) /* a Unix socket or a route tells at once */
        exchange_say_connect_failed(x, error);
    return END_UPSTREAM_CONNECT;
}

enum step_result exchange_step_connect(struct exchange *x)
{
    uint64_t key;
    struct upstream_want want = {
        .is_fresh = x->is_retry,
        .tries = x->tries,
        .is_careful = !exchange_is_replayable(x),
        .user = {exchange_on_upstream_ready, exchange_on_upstream_deadline, x},
    };
    struct upstream_pool *pool = x->snapshot->pools[x->route->upstream];
    if (x->conn != NULL)
        return exchange_established(x);
    if (x->connect_us == 0)
        x->connect_us = x->env->loop->mono_us;
    if (pool->conf->proxy != NET_PROXY_NONE)
        want.header = exchange_name_client(x, (enum net_proxy_version)pool->conf->proxy);
    if (x->route->hash_identity >= 0 && exchange_hash_key(x, &key))
        want.key = &key;
    if (x->waiting != NULL)
        want.waiter = exchange_waiter(x);
    enum upstream_take how = upstream_take(pool, &want, &x->tried, &x->conn);
    if (x->waiting != NULL && how != UPSTREAM_FULL)
        exchange_wait_is_over(x, how != UPSTREAM_NONE);
    switch (how) {
    case UPSTREAM_KEPT:
        x->was_reused = true;
        x->tries++;
        x->server = upstream_server_name(x->conn);
        return STEP_NEXT;
    case UPSTREAM_CONNECTING:
        x->was_reused = false;
        x->tries++;
        x->server = upstream_server_name(x->conn);
        upstream_conn_set_deadline(x->conn, x->env->loop->mono_us + pool->conf->connect_timeout_us);
        return STEP_WAIT;
    case UPSTREAM_FULL:
        if (x->waiting != NULL)
            return STEP_WAIT;
        return exchange_wait_in_line(x) ? STEP_AGAIN : exchange_fail(x, x->end);
    default:
        return exchange_fail(x, exchange_end_of_no_connection(x, errno));
    }
}

/* ---- SEND ---- */

static char *send_request_line(struct exchange *x, char *at)
{
    at = fmt_span(at, http_head_span(&x->head, x->head.method));
    *at++ = ' ';
    const struct plan_rewrite *rewrite = x->route->rewrite;
    if (rewrite != NULL || x->target.is_absolute) {
        at = rewrite == NULL ? fmt_span(at, x->target.path)
                             : http_prefix_write(at, &rewrite->prefix, x->target.path, x->judged);
        if (x->target.query.ptr != NULL) {
            *at++ = '?';
            at = fmt_span(at, x->target.query);
        }
    } else {
        at = fmt_span(at, http_head_span(&x->head, x->head.target));
    }
    return FMT_LIT(at, " HTTP/1.1\r\n");
}

/* The values of a repeated field as one list, each followed by ", ". */
static char *send_joined(struct exchange *x, char *at, enum http_field_id id)
{
    const struct http_field *field;
    unsigned from = 0;
    while ((field = http_head_next(&x->head, id, &from)) != NULL) {
        at = fmt_span(at, http_field_value(&x->head, field));
        at = FMT_LIT(at, ", ");
    }
    return at;
}

static char *send_kept_or(struct exchange *x, char *at, struct span name, enum http_field_id id,
                          struct span otherwise)
{
    unsigned from = 0;
    const struct http_field *field = http_head_next(&x->head, id, &from);
    if (field != NULL)
        otherwise = http_field_value(&x->head, field);
    if (otherwise.len == 0)
        return at;
    at = fmt_span(at, name);
    at = fmt_span(at, otherwise);
    return FMT_LIT(at, "\r\n");
}

/* A text of which EXCHANGE_BEHIND bytes more may be read.  SEND_OWN_BYTES has room for as many. */
static inline char *send_short(char *at, struct span text)
{
    if (text.len > EXCHANGE_BEHIND)
        return fmt_span(at, text);
    memcpy(at, text.ptr, EXCHANGE_BEHIND);
    return at + text.len;
}

static char *send_forwarded(struct exchange *x, char *at)
{
    at = FMT_LIT(at, "X-Forwarded-For: ");
    if (x->is_trusted)
        at = send_joined(x, at, HTTP_FIELD_X_FORWARDED_FOR);
    at = send_short(at, exchange_peer_text(x));
    at = FMT_LIT(at, "\r\n");
    if (!x->is_trusted) { /* the usual: no look for what others have written */
        at = x->listener->tls == NULL ? FMT_LIT(at, "X-Forwarded-Proto: http\r\n")
                                      : FMT_LIT(at, "X-Forwarded-Proto: https\r\n");
        if (x->target.authority.len == 0)
            return at;
        at = FMT_LIT(at, "X-Forwarded-Host: ");
        at = send_short(at, x->target.authority);
        return FMT_LIT(at, "\r\n");
    }
    at = send_kept_or(x, at, SPAN("X-Forwarded-Proto: "), HTTP_FIELD_X_FORWARDED_PROTO,
                      x->listener->tls == NULL ? SPAN("http") : SPAN("https"));
    return send_kept_or(x, at, SPAN("X-Forwarded-Host: "), HTTP_FIELD_X_FORWARDED_HOST,
                        x->target.authority);
}

/* What was for this hop, as it is for the next (RFC 9110 sections 7.6.2 and 10.1.4).  A client of HTTP/1.0 cannot
 * be given trailers; beside an upgrade they are not asked for, since many servers read one Connection line. */
static char *send_hops(const struct exchange *x, char *at)
{
    if (x->hops.has_max_forwards) {
        at = FMT_LIT(at, "Max-Forwards: ");
        at = fmt_u64(at, x->hops.max_forwards - 1);
        at = FMT_LIT(at, "\r\n");
    }
    if (x->hops.takes_trailers && x->head.minor != 0 && x->offer.count == 0)
        at = FMT_LIT(at, "TE: trailers\r\nConnection: TE\r\n");
    return at;
}

/* Fields that are not copied from the client's head. */
static uint64_t send_dropped(const struct exchange *x)
{
    uint64_t drop = SEND_REPLACED;
    if (!x->is_trusted)
        drop |= SEND_DROPPED_UNTRUSTED;
    if (x->hops.has_max_forwards)
        drop |= HTTP_FIELD_BIT(HTTP_FIELD_MAX_FORWARDS);
    /* Of HTTP/1.0 it MUST be ignored, and we make 1.1 of it (RFC 9110 section 10.1.1). */
    if (x->head.minor == 0 || x->buffered != NULL) /* of a body that was read, it was met */
        drop |= HTTP_FIELD_BIT(HTTP_FIELD_EXPECT);
    return drop;
}

/* Every value can appear twice at most: once kept, once in a list that we write. */
static size_t send_head_bytes(const struct exchange *x)
{
    const struct plan_rewrite *rewrite = x->route->rewrite;
    return (size_t)x->head.bytes * 2 + SEND_OWN_BYTES + sizeof(x->id_line) +
           (rewrite == NULL ? 0 : exchange_rewrite_max(rewrite));
}

/* For a request that names no host. */
static struct span send_host(const struct exchange *x)
{
    if (x->target.authority.len != 0)
        return x->target.authority;
    return span_starts_with(x->server, SPAN("unix:")) ? SPAN("localhost") : x->server;
}

/* The request line and the fields that are kept; those of an HTTP/1.1 request with a path go as they came. */
static char *send_lines(struct exchange *x, char *at)
{
    const bool is_rewritten = x->route->rewrite != NULL;
    if (!is_rewritten && !x->target.is_absolute && x->head.minor != 0)
        return http_write_lines(at, &x->head, send_dropped(x));
    at = send_request_line(x, at);
    if (!http_head_has(&x->head, HTTP_FIELD_HOST)) { /* HTTP/1.0: HTTP/1.1 servers insist on one */
        at = FMT_LIT(at, "Host: ");
        at = fmt_span(at, send_host(x));
        at = FMT_LIT(at, "\r\n");
    }
    return is_rewritten ? exchange_rewrite_request(x, at, send_dropped(x))
                        : http_write_fields(at, &x->head, send_dropped(x));
}

/* The end of every head, from what the server is told of the client on. */
static char *send_end(struct exchange *x, char *at)
{
    at = send_forwarded(x, at);
    at = x->head.minor == 0 ? FMT_LIT(at, "Via: 1.0 sluice\r\n")
                            : FMT_LIT(at, "Via: 1.1 sluice\r\n");
    at = exchange_put_id_line(x, at);
    return FMT_LIT(at, "\r\n");
}

/* Mostly all lines of the head go on as they came: then it is sent from where it was kept, and only its empty line
 * moves (a copy less: 400 instructions where a token of 4 KiB is in it).  What is written there is the same when it is
 * sent again.  Transfer-Encoding, Max-Forwards, TE and Upgrade are dropped, so there is nothing to say of them. */
static bool send_keeps_place(const struct exchange *x)
{
    return http_write_keeps_all(&x->head, send_dropped(x)) && !x->target.is_absolute &&
           x->head.minor != 0 && x->target.authority.len <= SEND_USUAL_HOST &&
           x->route->rewrite == NULL;
}

static struct span send_head(struct exchange *x)
{
    if (send_keeps_place(x)) {
        char *head = (char *)(uintptr_t)x->head.base;
        return (struct span){head, (size_t)(send_end(x, head + x->head.bytes - 2) - head)};
    }
    char *out = exchange_room(x, send_head_bytes(x));
    if (out == NULL)
        return SPAN_NONE;
    char *at = send_lines(x, out);
    if (x->framing.kind == HTTP_BODY_CHUNKED)
        at = FMT_LIT(at, "Transfer-Encoding: chunked\r\n");
    at = send_hops(x, at);
    if (x->offer.count != 0)
        at = exchange_write_offer(x, at);
    at = send_end(x, at);
    return (struct span){out, (size_t)(at - out)};
}

static inline enum step_result send_now(struct exchange *x, struct span head, struct span data,
                                        struct span trailers)
{
    bool is_sent = upstream_conn_send(x->conn, head, data);
    x->sent_us = x->env->loop->mono_us;
    if (!is_sent && x->was_reused && !x->is_retry && x->body_bytes == 0 && trailers.len == 0)
        return exchange_retry(x);
    if (x->request_done)
        (void)upstream_conn_send_end(x->conn, trailers);
    /* A connection that takes no request may still have an answer to read: RELAY will see. */
    return STEP_NEXT;
}

/* A body that came together with the head leaves together with it. */
static __attribute__((noinline)) enum step_result send_with_body(struct exchange *x,
                                                                 struct span head)
{
    struct span data = SPAN_NONE;
    switch (exchange_read_body(x, &data)) {
    case EXCHANGE_BODY_DATA:
        x->body_bytes += data.len;
        if (x->body_bytes > x->snapshot->plan->limits.body_max_bytes)
            return exchange_fail(x, END_TOO_LARGE);
        return send_now(x, head, data, SPAN_NONE);
    case EXCHANGE_BODY_DONE:
        x->request_done = true;
        if (!exchange_judge_trailers(x, data))
            return exchange_fail(x, exchange_end_of_fault(x->fault.id));
        return send_now(x, head, SPAN_NONE, data);
    case EXCHANGE_BODY_BAD:
        return exchange_fail(x, exchange_end_of_fault(x->fault.id));
    case EXCHANGE_BODY_GONE:
        return exchange_fail(x, END_CLIENT_ABORT);
    default:
        return send_now(x, head, SPAN_NONE, SPAN_NONE);
    }
}

enum step_result exchange_step_send(struct exchange *x)
{
    struct span head = send_head(x);
    if (head.ptr == NULL)
        return exchange_fail(x, END_SHED);
    upstream_conn_begin(x->conn, (enum http_method)x->head.method_id,
                        x->framing.kind == HTTP_BODY_CHUNKED);
    if (x->is_retry)
        metrics_add(x->env->loop->metrics, METRICS_UPSTREAM_RETRIES, 1);
    return x->request_done ? send_now(x, head, SPAN_NONE, SPAN_NONE) : send_with_body(x, head);
}

/* ---- leaving ---- */

/* RFC 9110 section 9.2.2: only an idempotent request may be sent again by itself, and only one whose body we
 * still have: none, or one that was buffered whole. */
bool exchange_is_replayable(const struct exchange *x)
{
    switch (x->head.method_id) {
    case HTTP_METHOD_GET:
    case HTTP_METHOD_HEAD:
    case HTTP_METHOD_OPTIONS:
    case HTTP_METHOD_TRACE:
    case HTTP_METHOD_PUT:
    case HTTP_METHOD_DELETE:
        return x->framing.kind == HTTP_BODY_NONE ||
               (x->framing.kind == HTTP_BODY_LENGTH && x->framing.length_bytes == 0) ||
               (x->buffered != NULL && x->buffered->state == EXCHANGE_BUFFER_WHOLE);
    default:
        return false;
    }
}

enum step_result exchange_retry(struct exchange *x)
{
    upstream_close(&x->conn);
    if (x->buffered != NULL)
        exchange_rewind_buffered(x);
    x->is_retry = true;
    x->tried = 0;
    x->waits = EXCHANGE_WAITS_NOBODY;
    x->step = EXCHANGE_STEP_CONNECT;
    return STEP_AGAIN;
}

void exchange_leave_upstream(struct exchange *x)
{
    if (x->waiting != NULL)
        exchange_wait_is_over(x, false);
    if (x->conn == NULL)
        return;
    if (x->response_done)
        upstream_return(&x->conn);
    else if (x->tunnel.is_open)
        upstream_abort(&x->conn); /* the server must not take it for the client's end */
    else
        upstream_close(&x->conn);
}
