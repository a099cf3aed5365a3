/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_early.c - see exchange_early.h.  A look asks the same functions as the steps ROUTE and IDENTIFY do, in their
 * order; where one of them finds anything out of the ordinary, the request goes the usual way from its beginning. */
#include "exchange/exchange_early.h"

#include <stdlib.h>
#include <string.h>

#include "exchange/exchange_private.h"
#include "http/http_path.h"
#include "http/http_write.h"
#include "record/record_usual.h"

#define EARLY_CALLERS    256 /* a power of two */
#define EARLY_TEXTS      8   /* the same */
#define EARLY_TEXT_BYTES 2048

/* Identities whose value follows from the head and the address alone, at any time. */
#define EARLY_KINDS                                                                                \
    (1U << IDENTITY_IP | 1U << IDENTITY_HEADER | 1U << IDENTITY_COOKIE | 1U << IDENTITY_QUERY |    \
     1U << IDENTITY_BEARER | 1U << IDENTITY_BASIC_USER | 1U << IDENTITY_ACCESS_KEY |               \
     1U << IDENTITY_PATH | 1U << IDENTITY_HOST | 1U << IDENTITY_METHOD | 1U << IDENTITY_ROUTE)

/* What changes nothing but how a request is forwarded, or rarely comes. */
#define EARLY_SPECIAL                                                                              \
    (HTTP_FIELD_BIT(HTTP_FIELD_UPGRADE) | HTTP_FIELD_BIT(HTTP_FIELD_MAX_FORWARDS) |                \
     HTTP_FIELD_BIT(HTTP_FIELD_TE) | HTTP_FIELD_BIT(HTTP_FIELD_EXPECT))

/* A whole response but for the request's id. */
struct early_text {
    const struct plan_route *route;
    uint32_t generation;
    uint8_t window;  /* of the route's quota; with these two it makes the body */
    uint32_t serial; /* counts what was written here */
    unsigned len, line_at, line_len, id_count;
    uint16_t ids[REPLY_IDS_MAX]; /* in the body */
    char bytes[EARLY_TEXT_BYTES];
};

/* A caller that was refused. */
struct early_caller {
    uint64_t second; /* of the wall clock; 0: free */
    uint8_t mac[IDENTITY_KEY_BYTES];
    const struct plan_route *route;
    uint32_t generation; /* of the plan, which all pointers are into */
    uint32_t serial;     /* of the text */
    uint32_t orders;     /* of operators, when it was asked */
    struct quota_decision decision;
    struct quota_charge charge;
};

/* Owner: the worker's env.  Freed by: exchange_early_free.  Thread: the worker's. */
struct exchange_early {
    uint64_t second; /* in which something was kept last */
    struct early_text texts[EARLY_TEXTS];
    struct early_caller callers[EARLY_CALLERS];
};

struct exchange_early *exchange_early_new(void)
{
    return calloc(1, sizeof(struct exchange_early));
}

void exchange_early_free(struct exchange_early *early)
{
    free(early);
}

static inline struct early_text *text_of(struct exchange_early *early, const struct plan *plan,
                                         const struct plan_route *route)
{
    return &early->texts[(size_t)(route - plan->routes) % EARLY_TEXTS];
}

static inline struct early_caller *caller_of(struct exchange_early *early,
                                             const struct identity_mark *mark)
{
    return &early->callers[mark->place % EARLY_CALLERS];
}

static uint64_t second_of(const struct exchange_env *env)
{
    return env->loop->wall_us / 1000000;
}

/* ---- learning ---- */

static bool is_plain_quota(const struct quota *quota)
{
    const struct statuses *on = &quota->charge_on;
    return quota->algorithm == QUOTA_FIXED && quota->mode == QUOTA_ENFORCE && !quota->is_gate &&
           quota->tiers == NULL && quota->in_flight == 0 && quota->key_count == 1 &&
           !quota_has_exempt(quota) && on->classes == 0 && on->code_count == 0;
}

static bool is_plain_route(const struct plan *plan, const struct plan_route *route)
{
    const struct reply_headers *headers = &route->headers;
    return plan->store_is_memory && !plan->has_cost_headers && route->quota_count == 1 &&
           is_plain_quota(route->quotas[0]) && !route->has_buckets && !route->looks_up_project &&
           !route->looks_up_members &&
           (route->response_rules == NULL || !route->response_rules->is_always) &&
           headers->dialects <= REPLY_X_RATELIMIT && headers->jitter_percent == 0 &&
           headers->jitter_us == 0 && !route->errors->has_xml;
}

static bool is_plain_identity(const struct identity *identity)
{
    for (unsigned i = 0; i < identity->from_count; i++) {
        if ((EARLY_KINDS >> identity->from[i].kind & 1) == 0)
            return false;
    }
    return true;
}

/* Is a window full that refused it, and none about to end?  Nothing of a quota is charged while one of its windows is
 * full, so all others stay as they are too. */
static bool is_full(const struct quota_charge *charge, uint64_t second)
{
    bool is_refused = false;
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        const struct quota_reading *reading = &charge->readings[w];
        if (second - reading->start_s >= charge->quota->limits[w].period_s)
            return false;
        is_refused = is_refused || (reading->refused && reading->used >= reading->limit);
    }
    return is_refused;
}

static bool may_keep(const struct exchange *x)
{
    return x->has_head && !x->is_trusted && !x->peer_is_unix && !x->is_exempt && !x->has_claims &&
           x->ask.decision.verdict == QUOTA_REFUSE && x->ask.decision.has_binding &&
           x->ask.hold == NULL && x->ask.count == 1 && x->subject_count == 1 &&
           x->subjects[0].has_mark && x->ask.decision.now_s == second_of(x->env) &&
           is_plain_route(x->snapshot->plan, x->route) &&
           is_plain_identity(&x->snapshot->plan->identities[x->subjects[0].identity]) &&
           is_full(&x->ask.charges[0], second_of(x->env));
}

/* False: it is not of the kind that is kept. */
static bool write_text(struct early_text *text, const struct exchange *x, struct span fields,
                       struct span body)
{
    const struct reply_memo *memo = &x->env->refusal;
    const struct span line = {x->id_line, x->id_line_len};
    char *at = text->bytes;
    text->serial++;
    text->id_count = 0;
    text->route = NULL;
    if (fields.len + body.len + 64 > sizeof(text->bytes) || body.ptr != memo->body)
        return false;
    at = FMT_LIT(at, "HTTP/1.1 429 Too Many Requests\r\n");
    const char *id = memmem(fields.ptr, fields.len, line.ptr, line.len);
    if (id == NULL)
        return false;
    text->line_at = (unsigned)(at - text->bytes + (id - fields.ptr));
    text->line_len = (unsigned)line.len;
    at = fmt_span(at, fields);
    at = FMT_LIT(at, "\r\n");
    for (unsigned i = 0; i < memo->ids.count; i++)
        text->ids[text->id_count++] = (uint16_t)(at - text->bytes + memo->ids.at[i]);
    at = fmt_span(at, body);
    text->len = (unsigned)(at - text->bytes);
    text->route = x->route;
    text->generation = x->snapshot->plan->generation;
    text->window = x->ask.decision.window;
    return true;
}

/* Does the text say what this response says, but for the id? */
static bool says_the_same(const struct early_text *text, const struct exchange *x,
                          struct span fields, struct span body)
{
    const size_t before = sizeof("HTTP/1.1 429 Too Many Requests\r\n") - 1, end = 2;
    const char *at = text->bytes + before;
    size_t line_at = text->line_at - before, behind = line_at + text->line_len;
    if (text->route != x->route || text->generation != x->snapshot->plan->generation ||
        text->window != x->ask.decision.window || text->line_len != x->id_line_len ||
        text->len != before + fields.len + end + body.len)
        return false;
    return memcmp(at, fields.ptr, line_at) == 0 &&
           memcmp(at + behind, fields.ptr + behind, fields.len - behind) == 0;
}

void exchange_early_learn(struct exchange *x, struct span fields, struct span body)
{
    struct exchange_early *early = x->env->early;
    if (!may_keep(x))
        return;
    struct early_text *text = text_of(early, x->snapshot->plan, x->route);
    struct early_caller *caller = caller_of(early, &x->subjects[0].mark);
    caller->second = 0;
    if (!says_the_same(text, x, fields, body) && !write_text(text, x, fields, body))
        return;
    memcpy(caller->mac, x->subjects[0].mark.mac, IDENTITY_KEY_BYTES);
    caller->second = early->second = second_of(x->env);
    caller->route = x->route;
    caller->generation = x->snapshot->plan->generation;
    caller->serial = text->serial;
    caller->orders = x->orders;
    caller->decision = x->ask.decision;
    caller->charge = x->ask.charges[0];
}

/* ---- looking ---- */

/* A request as far as it was looked at. */
struct looked {
    const struct plan_route *route;
    uint16_t identity;
    struct route_match match;
    struct identity_value value;
    struct identity_mark mark;
    const struct early_caller *caller;
};

/* As the step ROUTE. */
static bool look_for_route(struct exchange_env *env, const struct exchange_request *request,
                           struct looked *look)
{
    const struct plan *plan = env->snapshot->plan;
    const struct http_head *head = request->head;
    const struct span target = request->target.path;
    struct http_path path;
    struct http_fault fault;
    bool has_odd_name = head->has_underscore || plan->identity_headers.has_underscore;
    if ((head->present & EARLY_SPECIAL) != 0 ||
        (plan->trust.net_count != 0 &&
         identity_trust_has(&plan->trust, &request->peer_ip, false)) ||
        (has_odd_name && identity_find_alias(&plan->identity_headers, head) != NULL) ||
        (http_head_has(head, HTTP_FIELD_CONNECTION) &&
         identity_find_taken(&plan->identity_headers, head) != NULL))
        return false;
    if (target.len == 0 || target.len > EXCHANGE_OUT_BYTES ||
        http_path_judge(target, env->out, &path, &fault) != HTTP_PARSE_OK || path.doubts != 0 ||
        path.judged.ptr != target.ptr)
        return false;
    const struct route_query query = {
        .listener = request->listener->name,
        .host = request->target.host,
        .path = target,
        .method = http_head_span(head, head->method),
    };
    if (!route_table_find(plan->route_table, &query, &look->match))
        return false;
    look->route = &plan->routes[look->match.index];
    return plan_address_may(&look->route->addresses, &request->peer_ip);
}

/* As the step IDENTIFY.  What has to be decoded first goes the usual way. */
static bool look_for_caller(struct exchange_env *env, const struct exchange_request *request,
                            struct looked *look)
{
    const struct plan *plan = env->snapshot->plan;
    if (look->route->quota_count != 1 || look->route->quotas[0]->key_count != 1)
        return false;
    look->identity = look->route->quotas[0]->key[0];
    const struct identity_input input = {
        .head = request->head,
        .target = &request->target,
        .route = look->route->rule->name,
        .client_ip = request->peer_ip,
        .path_names = look->match.names,
        .path_name_count = look->match.name_count,
    };
    if (!is_plain_identity(&plan->identities[look->identity]) ||
        identity_extract(&plan->identities[look->identity], &input, &look->value) !=
            IDENTITY_FOUND ||
        identity_cache_mark(env->identities, plan->secret, &look->value, 1, &look->mark) != ERR_OK)
        return false;
    const struct early_caller *caller = caller_of(env->early, &look->mark);
    look->caller = caller;
    return caller->second == env->early->second && caller->route == look->route &&
           caller->generation == plan->generation && caller->orders == lease_orders(env->lease) &&
           exchange_same16(caller->mac, look->mark.mac);
}

/* ---- refusing ---- */

/* As exchange_top_note. */
static inline void count_top(const struct exchange_env *env, const struct looked *look)
{
    const struct quota_charge *charge = &look->caller->charge;
    struct metrics_top *top = exchange_top_of(env->top, charge->quota->slot_allow);
    if (top != NULL && !metrics_top_count(top, charge->key, true, env->loop->mono_us))
        metrics_top_admit(top, charge->key, true, exchange_subject_text(&look->value, &look->mark),
                          (uint8_t)look->value.kind, env->loop->mono_us);
}

/* As exchange_keep_refused. */
static __attribute__((noinline)) void keep_refused(const struct exchange_env *env,
                                                   const struct looked *look)
{
    const struct quota_charge *charge = &look->caller->charge;
    const struct record_refused_by by = {
        .quota = charge->quota,
        .key = charge->key,
        .limit = &charge->quota->limits[look->caller->decision.window],
        .decision = &look->caller->decision,
        .route = look->route->rule->name,
        .subject = exchange_subject_text(&look->value, &look->mark),
        .kind = (uint8_t)look->value.kind,
    };
    record_refused_add(env->refused, env->loop->wall_us, &by);
}

static void count(const struct exchange_env *env, const struct exchange_request *request,
                  const struct looked *look, uint64_t bytes_out)
{
    struct metrics_block *metrics = env->loop->metrics;
    count_top(env, look);
    if (record_refused_may(env->refused, env->loop->mono_us))
        keep_refused(env, look);
    metrics_add(metrics, look->route->slot_requests, 1);
    metrics_add(metrics, METRICS_DECISION_REFUSE, 1);
    if (look->caller->decision.is_near)
        metrics_add(metrics, METRICS_DECISION_NEAR, 1);
    metrics_add(metrics, look->caller->charge.quota->slot_refuse, 1);
    exchange_count_windows(metrics, &look->caller->charge, true);
    metrics_add(metrics, env->slot_end[END_LIMITED], 1);
    metrics_add(metrics, look->route->slot_class[4], 1);
    metrics_observe_us(metrics, env->slot_duration, env->loop->mono_us - request->began_us);
    metrics_observe_us(metrics, look->route->slot_duration, env->loop->mono_us - request->began_us);
    metrics_observe_us(metrics, env->slot_store, 0);
    metrics_add(metrics, METRICS_BYTES_IN, request->head->bytes);
    metrics_add(metrics, METRICS_BYTES_OUT, bytes_out);
}

/* What the line has in the text that it shows: nothing of it is read beyond the head. */
static inline bool is_within(const struct http_head *head, struct span text)
{
    return text.len == 0 || text.ptr + text.len + RECORD_USUAL_BEHIND <= head->base + head->bytes;
}

/* As exchange_record.c has it, for what is always so of what is kept. */
static inline bool has_usual_line(const struct exchange_request *request, const struct looked *look,
                                  struct span subject)
{
    const struct http_head *head = request->head;
    const struct http_target *target = &request->target;
    return head->method_id != HTTP_METHOD_OTHER && target->authority.len != 0 && subject.len != 0 &&
           request->tls_record.len == 0 && !http_head_has(head, HTTP_FIELD_X_REQUEST_ID) &&
           look->caller->charge.quota->limit_count == 1 &&
           target->authority.len + target->path.len + target->query.len <= RECORD_USUAL_TEXT_MAX &&
           is_within(head, target->authority) && is_within(head, target->path) &&
           is_within(head, target->query);
}

static inline __attribute__((always_inline)) struct record_usual
gather_usual(struct exchange_env *env, const struct exchange_request *request,
             const struct looked *look, const struct record_id *id, uint64_t bytes_out,
             struct span subject)
{
    const struct plan *plan = env->snapshot->plan;
    const struct exchange_peer *peer = exchange_find_peer(env, &request->peer_ip);
    const uint64_t total_us = env->loop->mono_us - request->began_us;
    return (struct record_usual){
        .memo = &env->lines,
        .wall_us = env->loop->wall_us,
        .generation = plan->generation,
        .id = id,
        .peer = {peer->text, peer->len},
        .method_id = request->head->method_id,
        .minor = request->head->minor,
        .host = request->target.authority,
        .path = request->target.path,
        .query = request->target.query,
        .bytes_in = request->head->bytes,
        .bytes_out = bytes_out,
        .listener = request->listener->name,
        .route = look->route->rule->name,
        .decision = &look->caller->decision,
        .charge = &look->caller->charge,
        .cost = look->route->cost.estimate,
        .identity = plan->identities[look->identity].name,
        .subject = subject,
        .is_hashed = subject.ptr == look->mark.text,
        .status = 429,
        .end = exchange_ending(END_LIMITED)->name,
        .t_header_us = total_us,
        .t_connect_us = UINT64_MAX,
        .t_first_us = UINT64_MAX,
        .t_total_us = total_us,
    };
}

static __attribute__((noinline)) char *write_whole(char *line, struct exchange_env *env,
                                                   const struct exchange_request *request,
                                                   const struct looked *look,
                                                   const struct record_id *id, uint64_t bytes_out)
{
    const struct plan *plan = env->snapshot->plan;
    const struct record_subject subject = {
        .identity = plan->identities[look->identity].name,
        .text = exchange_subject_text(&look->value, &look->mark),
    };
    const uint64_t total_us = env->loop->mono_us - request->began_us;
    const struct record_access record = {
        .memo = &env->lines,
        .wall_us = env->loop->wall_us,
        .generation = plan->generation,
        .id = *id,
        .parent_id = exchange_parent_id(request->head),
        .client_ip = request->peer_ip,
        .peer_ip = request->peer_ip,
        .proto = SPAN("HTTP/1.1"),
        .method = http_head_span(request->head, request->head->method),
        .host = request->target.authority,
        .path = request->target.path,
        .query = request->target.query,
        .bytes_in = request->head->bytes,
        .bytes_out = bytes_out,
        .listener = request->listener->name,
        .tls = request->tls_record,
        .route = look->route->rule->name,
        .decision = &look->caller->decision,
        .charges = &look->caller->charge,
        .charge_count = 1,
        .cost = look->route->cost.estimate,
        .subjects = &subject,
        .subject_count = 1,
        .status = 429,
        .end = exchange_ending(END_LIMITED)->name,
        .t_header_us = total_us,
        .t_store_us = 0,
        .t_connect_us = UINT64_MAX,
        .t_first_us = UINT64_MAX,
        .t_total_us = total_us,
    };
    return record_access_write(line, &record);
}

static void record(struct exchange_env *env, const struct exchange_request *request,
                   const struct looked *look, const struct record_id *id, uint64_t bytes_out)
{
    const struct span subject = exchange_subject_text(&look->value, &look->mark);
    char *line = span_eq(env->snapshot->plan->log.access, SPAN("off"))
                     ? NULL
                     : loop_log_begin(env->ring, RECORD_LINE_MAX);
    if (line == NULL)
        return;
    char *end = NULL;
    if (has_usual_line(request, look, subject)) {
        const struct record_usual usual = gather_usual(env, request, look, id, bytes_out, subject);
        end = record_usual_write(line, &usual);
    }
    if (end == NULL) {
        end = write_whole(line, env, request, look, id, bytes_out);
        if (has_usual_line(request, look, subject)) {
            const struct record_usual usual =
                gather_usual(env, request, look, id, bytes_out, subject);
            record_usual_learn(&usual);
        }
    }
    loop_log_commit(env->ring, (size_t)(end - line));
}

bool exchange_early_refuse(struct exchange_env *env, const struct exchange_request *request,
                           struct span *response)
{
    struct exchange_early *early = env->early;
    struct looked look;
    if (early->second != second_of(env))
        return false;
    if (!look_for_route(env, request, &look) || !look_for_caller(env, request, &look))
        return false;
    struct early_text *text = text_of(early, env->snapshot->plan, look.route);
    if (text->serial != look.caller->serial)
        return false;
    struct record_id id;
    record_id_make(&id, &env->loop->rng);
    (void)exchange_write_id_line(env, env->snapshot->plan, &id, text->bytes + text->line_at);
    for (unsigned i = 0; i < text->id_count; i++)
        memcpy(text->bytes + text->ids[i], id.hex, RECORD_ID_HEX);
    *response = (struct span){text->bytes, text->len};
    count(env, request, &look, text->len);
    record(env, request, &look, &id, text->len);
    return true;
}
