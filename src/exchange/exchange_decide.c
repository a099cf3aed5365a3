/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_decide.c - the steps before the upstream: which route, who is calling, and whether there is quota
 * left.  Takes: the kept head.  Gives: a route and a decision, or a refusal.  Waits for nothing but the lease. */
#include "exchange/exchange_private.h"
#include "http/http_path.h"
#include "quota/quota_tier.h"

/* ---- ROUTE ---- */

/* What judges a path counts from its first byte; a fault is told from the head's. */
static void exchange_place_path_fault(struct exchange *x)
{
    const size_t at = (size_t)(x->target.path.ptr - x->head.base);
    if (at < x->head.bytes) /* else the path is a text of ours */
        x->fault.offset += (uint32_t)at;
}

static bool exchange_judge_path(struct exchange *x, struct http_path *path)
{
    char *room = arena_take(&x->arena, x->target.path.len + EXCHANGE_BEHIND);
    if (room == NULL)
        return false;
    bool is_good = http_path_judge(x->target.path, room, path, &x->fault) == HTTP_PARSE_OK;
    if (!is_good)
        exchange_place_path_fault(x);
    x->judged = is_good ? path->judged : x->target.path;
    return is_good;
}

/* The first route that matches, if it allows what the path has in doubt. */
static enum exchange_end exchange_find_route(struct exchange *x, const struct http_path *path)
{
    const struct plan *plan = x->snapshot->plan;
    const struct route_query query = {
        .listener = x->listener->name,
        .host = x->target.host,
        .path = x->judged,
        .method = http_head_span(&x->head, x->head.method),
    };
    bool is_found = route_table_find(plan->route_table, &query, &x->match);
    const struct plan_route *route = is_found ? &plan->routes[x->match.index] : NULL;
    if (path->doubts != 0 &&
        http_path_allow(path, is_found ? route->rule->allow_path : 0, &x->fault) != HTTP_PARSE_OK) {
        x->judged = x->target.path; /* what it stands for is nobody's guess in the log either */
        exchange_place_path_fault(x);
        return exchange_end_of_fault(x->fault.id);
    }
    x->route = route;
    return is_found ? END_OK : END_NO_ROUTE;
}

/* What makes a head malformed that only an intermediary, or this configuration, looks at. */
static bool exchange_judge_head(struct exchange *x)
{
    const struct identity_headers *headers = &x->snapshot->plan->identity_headers;
    const struct http_field *alias = identity_find_alias(headers, &x->head);
    if (alias != NULL) {
        x->fault = (struct http_fault){HTTP_FAULT_BAD_FIELD_NAME, alias->name_off};
        return false;
    }
    const struct http_field *taker = identity_find_taken(headers, &x->head);
    if (taker != NULL) {
        x->fault = (struct http_fault){HTTP_FAULT_BAD_CONNECTION, taker->name_off};
        return false;
    }
    return http_hops_read(&x->head, &x->hops, &x->fault) == HTTP_PARSE_OK;
}

bool exchange_judge_trailers(struct exchange *x, struct span trailers)
{
    bool is_taken = x->route->rewrite != NULL && exchange_rewrites_trailer(x, trailers);
    if (!is_taken && !identity_names_trailer(&x->snapshot->plan->identity_headers, trailers))
        return true;
    x->fault = (struct http_fault){HTTP_FAULT_BAD_TRAILER, 0};
    return false;
}

/* Is the route for this client?  One on a Unix socket that no trusted proxy speaks for has no address. */
static bool exchange_may_use_route(const struct exchange *x)
{
    bool is_known =
        !x->peer_is_unix || memcmp(&x->client_ip, &x->peer_ip, sizeof(x->client_ip)) != 0;
    return plan_address_may(&x->route->addresses, is_known ? &x->client_ip : NULL);
}

enum step_result exchange_step_route(struct exchange *x)
{
    const struct plan *plan = x->snapshot->plan;
    if (x->has_head) {
        if (x->is_trusted)
            x->client_ip = identity_client_ip(&plan->trust, &x->head, &x->peer_ip, x->peer_is_unix);
        if (x->end == END_OK && !exchange_judge_head(x))
            x->end = exchange_end_of_fault(x->fault.id);
    }
    struct http_path path;
    path.doubts = 0;
    if (x->has_head && x->target.path.len != 0 && !exchange_judge_path(x, &path)) {
        if (x->fault.id == HTTP_FAULT_NONE)
            return exchange_fail(x, END_INTERNAL);
        if (x->end == END_OK)
            x->end = exchange_end_of_fault(x->fault.id);
    }
    if (x->end == END_OK)
        x->end = exchange_find_route(x, &path);
    if (x->end != END_OK)
        return exchange_fail(x, x->end);
    metrics_add(x->env->loop->metrics, x->route->slot_requests, 1);
    if (!exchange_may_use_route(x))
        return exchange_fail(x, END_ADDRESS_DENIED);
    if (x->framing.kind == HTTP_BODY_LENGTH &&
        x->framing.length_bytes > plan->limits.body_max_bytes)
        return exchange_fail(x, END_TOO_LARGE);
    if (http_head_has(&x->head, HTTP_FIELD_UPGRADE) && x->route->upgrades.count != 0 &&
        !exchange_offer_upgrade(x))
        return exchange_fail(x, exchange_end_of_fault(x->fault.id));
    return STEP_NEXT;
}

/* ---- IDENTIFY ---- */

struct exchange_subject *exchange_subject(struct exchange *x, uint16_t index)
{
    const struct plan *plan = x->snapshot->plan;
    for (unsigned i = 0; i < x->subject_count; i++) {
        if (x->subjects[i].identity == index)
            return &x->subjects[i];
    }
    const struct identity_input input = {
        .head = &x->head,
        .target = &x->target,
        .route = x->route->rule->name,
        .client_ip = x->client_ip,
        .certificate = x->certificate,
        .path_names = x->match.names,
        .path_name_count = x->match.name_count,
        .arena = &x->arena,
        .now_s = x->env->loop->wall_us / 1000000,
        .project = x->lookups == NULL ? SPAN_NONE : exchange_project(x),
        .cache = x->env->identities,
    };
    struct exchange_subject *subject = &x->subjects[x->subject_count++];
    subject->identity = index;
    subject->has_mark = subject->is_claimed = false;
    subject->result = identity_extract(&plan->identities[index], &input, &subject->value);
    return subject;
}

bool exchange_subject_mark(struct exchange *x, struct exchange_subject *subject)
{
    if (subject->has_mark)
        return true;
    subject->has_mark = identity_cache_mark(x->env->identities, x->snapshot->plan->secret,
                                            &subject->value, 1, &subject->mark) == ERR_OK;
    return subject->has_mark;
}

/* The key of several identities together: a mac over all their values. */
static bool exchange_combined_mark(struct exchange *x, struct exchange_subject *const *parts,
                                   unsigned count, struct identity_mark *mark)
{
    struct identity_value values[IDENTITY_VALUES_MAX];
    for (unsigned i = 0; i < count; i++) {
        values[i] = parts[i]->value;
        /* an address is text inside the value itself: follow the copy */
        if (parts[i]->value.value.ptr == parts[i]->value.text)
            values[i].value.ptr = values[i].text;
    }
    return identity_cache_mark(x->env->identities, x->snapshot->plan->secret, values, count,
                               mark) == ERR_OK;
}

/* Room for another charge: in the question that decides, or in shadow.  NULL: no memory. */
static struct quota_charge *exchange_next_charge(struct exchange *x, const struct quota *quota)
{
    if (quota->mode != QUOTA_SHADOW)
        return &x->ask.charges[x->ask.count++];
    if (x->shadows == NULL)
        x->shadows = arena_take(&x->arena, x->route->quota_count * sizeof(*x->shadows));
    if (x->shadows == NULL)
        return NULL;
    struct lease_shadow *shadow = &x->shadows[x->shadow_count++];
    shadow->state = LEASE_SHADOW_SKIPPED; /* until the request is admitted */
    shadow->pending = NULL;
    shadow->id = x->id.hex;
    return &shadow->charge;
}

/* Adds the charge of one quota, or nothing when it does not count this request or its identity is missing and
 * skipped. */
static __attribute__((noinline)) enum exchange_end exchange_add_charge(struct exchange *x,
                                                                       const struct quota *quota)
{
    struct exchange_subject *parts[IDENTITY_VALUES_MAX];
    struct identity_mark combined;
    const bool has_exempt = quota_has_exempt(quota);
    if (has_exempt && exchange_exempt_request(x, quota) == EXCHANGE_EXEMPT) {
        x->is_exempt = true;
        return END_OK;
    }
    for (unsigned i = 0; i < quota->key_count; i++) {
        parts[i] = exchange_subject(x, quota->key[i]);
        if (parts[i]->result == IDENTITY_SKIPPED)
            return END_OK;
        if (parts[i]->result == IDENTITY_REFUSED)
            return END_IDENTITY_REQUIRED;
        if (parts[i]->result == IDENTITY_EXHAUSTED)
            return END_SHED;
        if (parts[i]->result != IDENTITY_FOUND)
            return END_BAD_REQUEST;
    }
    struct exchange_claims claims = {0};
    if (x->route->has_buckets) {
        enum exchange_end end = exchange_find_claims(x, quota, parts, &claims);
        if (end != END_OK)
            return end;
    }
    enum exchange_exemption exemption =
        has_exempt ? exchange_exempt_subject(x, quota, parts) : EXCHANGE_COUNTED;
    const struct quota_tier *tier =
        quota->tiers == NULL ? NULL : exchange_find_tier(x, quota, parts);
    if (exemption == EXCHANGE_EXEMPT_UNKNOWN || (quota->tiers != NULL && tier == NULL))
        return END_INTERNAL;
    if (exemption == EXCHANGE_EXEMPT || (tier != NULL && tier->quota == NULL)) {
        x->is_exempt = true;
        return END_OK;
    }
    const struct identity_mark *mark = &combined;
    if (quota->key_count == 1) {
        if (!exchange_subject_mark(x, parts[0]))
            return END_INTERNAL;
        mark = &parts[0]->mark;
    } else if (!exchange_combined_mark(x, parts, quota->key_count, &combined)) {
        return END_INTERNAL;
    }
    const struct quota *counted = tier == NULL ? quota : tier->quota;
    uint8_t of_quota[IDENTITY_KEY_BYTES];
    identity_cache_key(x->env->identities, mark, quota->id, of_quota);
    if (counted->in_flight != 0 && !exchange_add_slot(x, counted, of_quota))
        return END_SHED;
    if (counted->limit_count == 0)
        return END_OK;
    struct quota_charge *charge = exchange_next_charge(x, counted);
    if (charge == NULL)
        return END_SHED;
    quota_charge_begin(charge, counted, of_quota, x->route->cost.estimate);
    charge->is_claimed = claims.has_any;
    charge->is_guarded = claims.is_guarded;
    return END_OK;
}

/* Most quotas count by one identity, all its callers alike.  False: go the long way; nothing but the subject is there. */
static inline bool exchange_add_usual_charge(struct exchange *x, const struct quota *quota)
{
    if (quota->key_count != 1 || quota->mode == QUOTA_SHADOW || quota->limit_count == 0 ||
        quota->in_flight != 0 || quota->tiers != NULL || x->route->has_buckets ||
        quota_has_exempt(quota))
        return false;
    struct exchange_subject *subject = exchange_subject(x, quota->key[0]);
    if (subject->result != IDENTITY_FOUND || !exchange_subject_mark(x, subject))
        return false;
    uint8_t of_quota[IDENTITY_KEY_BYTES];
    identity_cache_key(x->env->identities, &subject->mark, quota->id, of_quota);
    quota_charge_begin(&x->ask.charges[x->ask.count++], quota, of_quota, x->route->cost.estimate);
    return true;
}

bool exchange_make_subjects(struct exchange *x)
{
    const struct plan_route *route = x->route;
    unsigned parts = 0;
    for (unsigned i = 0; i < route->quota_count; i++)
        parts += route->quotas[i]->key_count;
    parts += route->hash_identity >= 0;
    if (x->subjects == NULL && parts != 0)
        x->subjects = arena_take(&x->arena, parts * sizeof(struct exchange_subject));
    return x->subjects != NULL || parts == 0;
}

enum step_result exchange_step_identify(struct exchange *x)
{
    const struct plan_route *route = x->route;
    if (!exchange_make_subjects(x))
        return exchange_fail(x, END_SHED);
    for (unsigned i = 0; i < route->quota_count; i++) {
        if (exchange_add_usual_charge(x, route->quotas[i]))
            continue;
        enum exchange_end end = exchange_add_charge(x, route->quotas[i]);
        if (end != END_OK)
            return exchange_fail(x, end);
    }
    return STEP_NEXT;
}

/* ---- DECIDE ---- */

static const metrics_slot VERDICT_SLOTS[] = {
    [QUOTA_NONE] = METRICS_DECISION_NONE,
    [QUOTA_ALLOW] = METRICS_DECISION_ALLOW,
    [QUOTA_REFUSE] = METRICS_DECISION_REFUSE,
    [QUOTA_EXEMPT] = METRICS_DECISION_EXEMPT,
    [QUOTA_DEGRADED_ALLOW] = METRICS_DECISION_DEGRADED_ALLOW,
    [QUOTA_DEGRADED_REFUSE] = METRICS_DECISION_DEGRADED_REFUSE,
    [QUOTA_UNAVAILABLE] = METRICS_DECISION_DEGRADED_REFUSE,
};

static bool charge_is_refused(const struct quota_charge *charge)
{
    for (unsigned i = 0; i < charge->quota->limit_count; i++) {
        if (charge->readings[i].refused)
            return true;
    }
    return false;
}

/* Decided without the store: not charged there, and nevertheless admitted or refused. */
static void exchange_top_degraded(struct exchange *x, const struct quota_charge *charge)
{
    const enum quota_verdict verdict = x->ask.decision.verdict;
    bool is_refused = charge_is_refused(charge);
    if (!charge->is_skipped &&
        (is_refused || verdict == QUOTA_ALLOW || verdict == QUOTA_DEGRADED_ALLOW))
        exchange_top_note(x, charge->quota, charge->key, is_refused);
}

static void exchange_count_decision(struct exchange *x)
{
    struct metrics_block *metrics = x->env->loop->metrics;
    const struct quota_decision *decision = &x->ask.decision;
    metrics_add(metrics, VERDICT_SLOTS[decision->verdict], 1);
    if (decision->is_near)
        metrics_add(metrics, METRICS_DECISION_NEAR, 1);
    if (x->ask.hold != NULL)
        exchange_count_slots(x);
    for (unsigned i = 0; i < x->ask.count; i++) {
        const struct quota_charge *charge = &x->ask.charges[i];
        const struct quota *quota = charge->quota;
        if (charge->is_degraded || decision->verdict == QUOTA_UNAVAILABLE) {
            metrics_add(metrics, quota->slot_degraded, 1);
            exchange_top_degraded(x, charge);
        } else if (charge->is_charged) {
            metrics_add(metrics, quota->slot_allow, 1);
            if (decision->is_near)
                exchange_count_windows(metrics, charge, false);
            exchange_top_note(x, quota, charge->key, false);
        } else if (charge_is_refused(charge)) {
            metrics_add(metrics, quota->slot_refuse, 1);
            exchange_count_windows(metrics, charge, true);
            exchange_top_note(x, quota, charge->key, true);
        }
    }
}

static void exchange_on_decided(struct lease_ask *ask, void *arg)
{
    struct exchange *x = arg;
    (void)ask;
    x->is_deciding = false;
    x->is_decided = true;
    exchange_run(x);
}

enum step_result exchange_step_decide(struct exchange *x)
{
    if (x->is_deciding)
        return STEP_WAIT;
    if (!x->is_decided && (x->ask.count != 0 || x->ask.hold != NULL)) {
        x->ask.done = exchange_on_decided;
        x->ask.arg = x;
        x->ask.since_us = x->lookups == NULL ? 0 : exchange_waits_since(x);
        x->is_deciding = true;
        if (!lease_decide(x->env->lease, &x->ask))
            return STEP_WAIT;
        x->is_deciding = false;
        x->is_decided = true;
    }
    if (x->is_decided)
        x->store_us = x->env->loop->mono_us - x->ask.asked_at_us;
    else if (x->is_exempt)
        x->ask.decision.verdict = QUOTA_EXEMPT;
    exchange_count_decision(x);
    switch (x->ask.decision.verdict) {
    case QUOTA_REFUSE:
    case QUOTA_DEGRADED_REFUSE:
        exchange_note_refused(x);
        return exchange_fail(x, END_LIMITED);
    case QUOTA_UNAVAILABLE:
        return exchange_fail(x, END_STORE_UNAVAILABLE);
    default:
        exchange_ask_shadows(x);
        return STEP_NEXT;
    }
}

/* ---- RESPOND ---- */

/* A request that may be forwarded no further is answered here, charged like any other of its route (RFC 9110
 * section 7.6.2).  TRACE would echo to a script what its browser hides from it (section 9.3.8). */
static enum step_result exchange_answer_here(struct exchange *x)
{
    if (x->head.method_id == HTTP_METHOD_TRACE)
        return exchange_fail(x, END_METHOD_REFUSED);
    return exchange_reply(x, 200, SPAN_NONE, SPAN_NONE);
}

enum step_result exchange_step_respond(struct exchange *x)
{
    const struct plan_respond *respond = x->route->respond;
    if (respond == NULL) {
        bool is_last = x->hops.has_max_forwards && x->hops.max_forwards == 0;
        return is_last ? exchange_answer_here(x) : STEP_NEXT;
    }
    return exchange_reply(x, respond->status, respond->content_type, respond->body);
}
