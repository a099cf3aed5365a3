/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.c - the corridor: the way of one request through the house.
 *
 *   client bytes                                                         response bytes -> client
 *        |                                                                      ^
 *     http head                                                              client
 *        v                                                                      |
 *      ROUTE ----> IDENTIFY ----> DECIDE ----> CONNECT ----> SEND ----> RELAY ---> FINISH
 *      route       identity       lease        upstream     upstream    both ways    record, metrics
 *        |            |           (quota,         |            |           |            ^
 *        |            |            store)         |            |           |            |
 *        +------------+-- a refusal or failure: reply ---------+-----------+------------+
 *
 * Between ROUTE and IDENTIFY lies LOOKUP, where the few routes wait whose quotas need more than counts from the store: the
 * project of a token, the tier of a member.
 *
 * A route that answers by itself replies in RESPOND, behind DECIDE, and skips the rest.  Before CONNECT, in BUFFER, the few
 * routes wait that read a request's body before they ask a server.  A 101 that answers an
 * upgrade leads from RELAY to TUNNEL and from there to FINISH.
 *
 * Takes: a request, and events (client ready, server ready, store has decided).  Gives: steps run in
 * order, each until it has to wait.  Never frames, never parses: that is the client's and the
 * upstream's. */
#include "exchange/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "exchange/exchange_private.h"

#define EXCHANGE_ID_NAME    "X-request-id: "
#define EXCHANGE_SPARE_MAX  256
#define EXCHANGE_TRIPLE_MAX 128 /* a longer X-request-id is not worth a log field */

static void exchange_on_task(void *arg)
{
    exchange_run(arg);
}

static struct exchange *exchange_take_object(struct exchange_env *env)
{
    struct exchange *x;
    if (list_is_empty(&env->spare))
        return malloc(sizeof(*x));
    x = LIST_OF(env->spare.next, struct exchange, node);
    list_remove(&x->node);
    env->spare_count--;
    return x;
}

char *exchange_make_landing(struct exchange_env *env)
{
    env->landing = exchange_take_object(env);
    return env->landing == NULL ? NULL : env->landing->first;
}

/* The object whose memory the head stands in already, or another one. */
static struct exchange *exchange_take_for(struct exchange_env *env,
                                          const struct exchange_request *request)
{
    struct exchange *landed = env->landing;
    if (landed == NULL || request->head == NULL || request->head->base != landed->first ||
        !request->is_alone)
        return exchange_take_object(env);
    env->landing = NULL;
    return landed;
}

/* Has the head of this request been read to where it is kept? */
static inline bool exchange_has_landed(const struct exchange *x,
                                       const struct exchange_request *request)
{
    return request->head != NULL && request->head->base == x->first;
}

/* The client's bytes are only borrowed: let every span follow to our own.  A static text (the path of a target that has
 * none) stays where it is. */
static struct span span_moved(struct span span, const struct http_head *from, const char *to)
{
    uintptr_t offset = (uintptr_t)span.ptr - (uintptr_t)from->base;
    if (span.ptr == NULL || offset >= from->bytes)
        return span;
    return (struct span){to + offset, span.len};
}

/* Not inlined: most heads have landed. */
static __attribute__((noinline)) bool exchange_copy_head(struct exchange *x,
                                                         const struct exchange_request *request)
{
    const struct http_head *head = request->head;
    char *bytes = arena_take(&x->arena, head->bytes + EXCHANGE_HEAD_MORE);
    if (bytes == NULL)
        return false;
    memcpy(bytes, head->base, head->bytes);
    x->head.base = bytes;
    x->target.authority = span_moved(request->target.authority, head, bytes);
    x->target.host = span_moved(request->target.host, head, bytes);
    x->target.path = span_moved(request->target.path, head, bytes);
    x->target.query = span_moved(request->target.query, head, bytes);
    return true;
}

/* In our own memory, with room for what a server is told behind it. */
static bool exchange_keep_head(struct exchange *x, const struct exchange_request *request)
{
    const struct http_head *head = request->head;
    const size_t fields_bytes = head->field_count * sizeof(struct http_field);
    x->head = *head;
    x->framing = request->framing;
    x->target = request->target;
    if (!exchange_has_landed(x, request) && !exchange_copy_head(x, request))
        return false;
    x->head.fields = arena_take(&x->arena, fields_bytes + 1);
    if (x->head.fields == NULL)
        return false;
    memcpy(x->head.fields, head->fields, fields_bytes);
    x->has_head = true;
    return true;
}

/* All of its own memory that no head has landed in. */
static void exchange_init_arena(struct exchange *x, const struct exchange_request *request)
{
    const size_t used =
        exchange_has_landed(x, request) ? request->head->bytes + EXCHANGE_HEAD_MORE : 0;
    arena_init(&x->arena, x->first + used, sizeof(x->first) - used, EXCHANGE_ARENA_MAX_BYTES);
}

/* "X-request-id: <id>-<unix milliseconds>-<hostname>\r\n", but for its digits the same for all requests of a
 * millisecond. */
static const struct exchange_id_line *
exchange_id_line(struct exchange_env *env, const struct plan *plan, const struct record_id *id)
{
    struct exchange_id_line *last = &env->id_line;
    const uint64_t wall_us = env->loop->wall_us;
    if (wall_us - last->from_us >= 1000 || last->generation != plan->generation || last->len == 0) {
        char *end = FMT_LIT(last->text, EXCHANGE_ID_NAME);
        if (plan->request_id_short)
            end = fmt_span(end, (struct span){id->hex, RECORD_ID_HEX});
        else
            end = record_id_write(end, id, wall_us, plan->request_id_host);
        end = FMT_LIT(end, "\r\n");
        last->len = (unsigned)(end - last->text);
        last->from_us = wall_us - wall_us % 1000;
        last->generation = plan->generation;
    }
    return last;
}

const struct exchange_peer *exchange_find_peer(struct exchange_env *env, const struct ip *ip)
{
    struct exchange_peer *peer =
        &env->peers[(ip->bytes[15] ^ ip->bytes[7]) % EXCHANGE_PEERS]; /* of IPv6 also the net */
    if (peer->len == 0 || !exchange_same16(&peer->ip, ip)) {
        peer->len = (uint8_t)ip_format(peer->text, ip);
        peer->ip = *ip;
    }
    return peer;
}

void exchange_make_peer_text(struct exchange *x)
{
    if (x->peer_is_unix) {
        memcpy(x->peer_text, "unix", 4);
        x->peer_text_len = 4;
        return;
    }
    const struct exchange_peer *peer = exchange_find_peer(x->env, &x->peer_ip);
    memcpy(x->peer_text, peer->text, sizeof(peer->text));
    x->peer_text_len = peer->len;
}

char *exchange_write_id_line(struct exchange_env *env, const struct plan *plan,
                             const struct record_id *id, char *out)
{
    const struct exchange_id_line *last = exchange_id_line(env, plan, id);
    memcpy(out, last->text, last->len);
    memcpy(out + sizeof(EXCHANGE_ID_NAME) - 1, id->hex, RECORD_ID_HEX);
    return out + last->len;
}

struct span exchange_parent_id(const struct http_head *head)
{
    const struct http_field *field = http_head_first(head, HTTP_FIELD_X_REQUEST_ID);
    if (field == NULL || field->value_len > EXCHANGE_TRIPLE_MAX)
        return SPAN_NONE;
    return http_field_value(head, field);
}

/* The id that a trusted proxy gave is kept; anything else is replaced, and logged as the parent's. */
static void exchange_identify_request(struct exchange *x)
{
    bool is_kept = false;
    if (x->has_head && http_head_has(&x->head, HTTP_FIELD_X_REQUEST_ID)) {
        const struct http_field *field = http_head_first(&x->head, HTTP_FIELD_X_REQUEST_ID);
        is_kept = x->is_trusted && record_id_parse(&x->id, http_field_value(&x->head, field));
        if (!is_kept)
            x->parent_id = exchange_parent_id(&x->head);
    }
    if (!is_kept)
        record_id_make(&x->id, &x->env->loop->rng);
    const struct exchange_id_line *last = exchange_id_line(x->env, x->snapshot->plan, &x->id);
    memcpy(x->id_line, last->text, EXCHANGE_ID_LINE_USUAL);
    if (last->len > EXCHANGE_ID_LINE_USUAL)
        memcpy(x->id_line, last->text, sizeof(x->id_line));
    memcpy(x->id_line + sizeof(EXCHANGE_ID_NAME) - 1, x->id.hex, RECORD_ID_HEX);
    x->id_line_len = last->len;
}

struct exchange *exchange_new(struct exchange_env *env, const struct exchange_client *ops,
                              void *client, const struct exchange_request *request)
{
    struct exchange *x = exchange_take_for(env, request);
    if (x == NULL)
        return NULL;
#ifdef __SANITIZE_ADDRESS__
    /* What is used before it is set must not find what was there before. */
    memset(x, 0xA5,
           exchange_has_landed(x, request) ? offsetof(struct exchange, first) : sizeof(*x));
#endif
    memset(x, 0, offsetof(struct exchange, env));
    x->env = env;
    x->ops = ops;
    x->client = client;
    exchange_init_arena(x, request);
    x->ask.count = 0;
    x->ask.has_gates = false;
    x->ask.hold = NULL;
    x->ask.decision = (struct quota_decision){0};
    x->framing = (struct http_framing){0};
    if (request->head != NULL && !exchange_keep_head(x, request)) {
        arena_fini(&x->arena);
        free(x);
        return NULL;
    }
    x->snapshot = env->snapshot;
    x->snapshot->refs++;
    x->listener = request->listener;
    x->peer_ip = x->client_ip = request->peer_ip;
    x->peer_is_unix = request->peer_is_unix;
    x->tls_record = request->tls_record;
    x->certificate = request->certificate;
    x->is_last = request->is_last;
    x->is_trusted = identity_trust_has(&x->snapshot->plan->trust, &x->peer_ip, x->peer_is_unix);
    x->fault = request->fault;
    if (request->fault.id != HTTP_FAULT_NONE)
        x->end = exchange_end_of_fault(request->fault.id);
    else
        x->end = request->refuse;
    x->must_close = !x->has_head || x->end != END_OK;
    x->request_done = x->has_head && x->framing.kind == HTTP_BODY_NONE;
    x->began_us = request->began_us;
    x->headed_us = env->loop->mono_us;
    loop_task_init(&x->task, exchange_on_task, x);
    exchange_identify_request(x);
    x->is_after_refusal = request->is_after_refusal;
    if (x->is_after_refusal)
        x->orders = lease_orders(env->lease);
    list_push_back(&env->live, &x->node);
    env->open++;
    metrics_add(env->loop->metrics, METRICS_EXCHANGES_OPEN, 1);
    return x;
}

static void exchange_close(struct exchange *x)
{
    struct exchange_env *env = x->env;
    const struct exchange_client *ops = x->ops;
    void *client = x->client;
    enum exchange_after after = x->after;
    if (x->is_deciding)
        lease_cancel(env->lease, &x->ask);
    exchange_cancel_lookups(x);
    if (x->conn != NULL || x->waiting != NULL)
        exchange_leave_upstream(x);
    if (x->buffered != NULL)
        exchange_drop_buffered(x);
    loop_task_cancel(&x->task);
    exchange_settle(x);
    exchange_leave_shadows(x);
    if (x->ask.hold != NULL || x->shadow_hold != NULL)
        exchange_give_slots_back(x);
    exchange_record(x);
    exchange_snapshot_unref(&x->snapshot);
    arena_fini(&x->arena);
    list_remove(&x->node);
    env->open--;
    metrics_sub(env->loop->metrics, METRICS_EXCHANGES_OPEN, 1);
    if (env->spare_count < EXCHANGE_SPARE_MAX) {
        list_push_front(&env->spare, &x->node);
        env->spare_count++;
    } else {
        free(x);
    }
    ops->finished(client, after);
}

/* Each step leads to the one that stands behind it in the table, without a look at where the exchange is: most steps are
 * called from here alone and become part of this function, so that the usual exchange walks straight through. */
void exchange_run(struct exchange *x)
{
    for (;;) {
        enum step_result how = STEP_END;
        switch (x->step) {
#define STEP(id, function)                                                                         \
    case EXCHANGE_STEP_##id:                                                                       \
        x->step = EXCHANGE_STEP_##id;                                                              \
        how = function(x);                                                                         \
        if (how != STEP_NEXT)                                                                      \
            break;                                                                                 \
        __attribute__((fallthrough));
#include "exchange/exchange_steps.def"
#undef STEP
        case EXCHANGE_STEPS:
            break;
        }
        if (how == STEP_WAIT)
            return;
        if (how == STEP_END) {
            exchange_close(x);
            return;
        }
    }
}

void exchange_stop(struct exchange *x, enum exchange_end end)
{
    const struct exchange_ending *ending = exchange_ending(end);
    if (ending->error >= 0 && !x->response_begun) {
        if (end == END_BODY_TIMEOUT || end == END_DRAINING)
            x->must_close = true;
        (void)exchange_fail(x, end);
        exchange_run(x);
        return;
    }
    if (x->end == END_OK)
        x->end = end;
    x->after = EXCHANGE_ABORT;
    exchange_close(x);
}

char *exchange_room(struct exchange *x, size_t bytes)
{
    if (bytes <= EXCHANGE_OUT_BYTES)
        return x->env->out;
    if (bytes > x->room_bytes) { /* a server may send many large heads before its answer */
        x->room = arena_take(&x->arena, bytes);
        x->room_bytes = x->room == NULL ? 0 : bytes;
    }
    return x->room;
}
