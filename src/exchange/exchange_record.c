/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_record.c - what remains of an exchange: a log line and counters. */
#include "base/base_log.h"
#include "exchange/exchange_private.h"

struct span exchange_subject_text(const struct identity_value *value,
                                  const struct identity_mark *mark)
{
    if (value->is_shared)
        return SPAN("shared");
    return identity_is_clear(value->kind) ? value->value
                                          : (struct span){mark->text, IDENTITY_TEXT_LEN};
}

static inline struct span record_subject_text(struct exchange *x, struct exchange_subject *subject)
{
    const struct identity_value *value = &subject->value;
    bool is_shown = value->is_shared || identity_is_clear(value->kind);
    if (subject->result != IDENTITY_FOUND || !(is_shown || exchange_subject_mark(x, subject)))
        return SPAN_NONE;
    return exchange_subject_text(value, &subject->mark);
}

static void record_subjects(struct exchange *x, struct record_subject *subjects)
{
    const struct plan *plan = x->snapshot->plan;
    for (unsigned i = 0; i < x->subject_count; i++) {
        subjects[i].identity = plan->identities[x->subjects[i].identity].name;
        subjects[i].text = record_subject_text(x, &x->subjects[i]);
    }
}

static uint64_t record_since(uint64_t from_us, uint64_t to_us)
{
    return from_us == 0 || to_us < from_us ? UINT64_MAX : to_us - from_us;
}

static struct span record_proto(const struct exchange *x)
{
    return x->head.minor == 0 ? SPAN("HTTP/1.0") : SPAN("HTTP/1.1");
}

static struct span record_reason(const struct exchange *x)
{
    if (x->fault.id != HTTP_FAULT_NONE)
        return span_of(http_fault_name(x->fault.id));
    return x->end == END_UPSTREAM_TLS ? span_of(x->tls_fault) : SPAN_NONE;
}

static struct span record_path(const struct exchange *x)
{
    return x->judged.len != 0 ? x->judged : x->target.path;
}

/* Any line.  Apart from the usual one, which has no need of all this. */
static __attribute__((noinline)) char *record_write_whole(struct exchange *x, char *line)
{
    const struct plan *plan = x->snapshot->plan;
    const struct plan_route *route = x->route;
    const bool has_head = x->has_head, is_sent = route != NULL && x->tries != 0;
    const bool has_slots = x->ask.hold != NULL || x->shadow_hold != NULL;
    uint64_t now_us = x->env->loop->mono_us;
    struct record_subject subjects[QUOTA_MAX_PER_ROUTE * IDENTITY_VALUES_MAX + 1];
    const struct quota_charge *shadows[QUOTA_MAX_PER_ROUTE];
    const struct quota_slot *slots[QUOTA_MAX_PER_ROUTE];
    for (unsigned i = 0; i < x->shadow_count; i++)
        shadows[i] = &x->shadows[i].charge;
    record_subjects(x, subjects);
    /* All members: what is left out here is cleared first, and with it the rest. */
    const struct record_access record = {
        .memo = &x->env->lines,
        .wall_us = x->env->loop->wall_us,
        .generation = plan->generation,
        .id = x->id,
        .parent_id = x->parent_id,
        .client_ip = x->client_ip,
        .peer_ip = x->peer_ip,
        .peer_is_unix = x->peer_is_unix,
        .peer_text = exchange_peer_text(x),
        .proto = has_head ? record_proto(x) : SPAN_NONE,
        .method = has_head ? http_head_span(&x->head, x->head.method) : SPAN_NONE,
        .host = has_head ? x->target.authority : SPAN_NONE,
        .path = has_head ? record_path(x) : SPAN_NONE,
        .query = has_head ? x->target.query : SPAN_NONE,
        .bytes_in = x->bytes_in,
        .bytes_out = x->bytes_out,
        .listener = x->listener->name,
        .tls = x->tls_record,
        .route = route == NULL ? SPAN_NONE : route->rule->name,
        .upstream = is_sent ? plan->upstreams[route->upstream].name : SPAN_NONE,
        .server = x->server,
        .upstream_id = x->upstream_id,
        .tries = x->tries,
        .reused = x->was_reused,
        .tier = x->tier,
        .decision = &x->ask.decision,
        .charges = x->ask.charges,
        .charge_count = x->is_decided ? x->ask.count : 0,
        .shadows = shadows,
        .shadow_count = x->shadow_count,
        .slots = slots,
        .slot_count = has_slots ? exchange_list_slots(x, slots) : 0,
        .cost = route == NULL ? 0 : route->cost.estimate,
        .subjects = subjects,
        .subject_count = x->subject_count,
        .status = x->status,
        .end = exchange_ending(x->end)->name,
        .reason = record_reason(x),
        .close = x->is_last ? SPAN("requests") : SPAN_NONE,
        .t_header_us = record_since(x->began_us, x->headed_us),
        .t_store_us = x->is_decided ? x->store_us : UINT64_MAX,
        .t_body_us = x->buffer_us,
        .t_queue_us = x->queue_us,
        .t_connect_us = record_since(x->connect_us, x->connected_us),
        .t_first_us = record_since(x->sent_us, x->first_us),
        .t_total_us = record_since(x->began_us, now_us),
    };
    return record_access_write(line, &record);
}

/* Does the line have what struct record_usual tells, and nothing else? */
static inline bool record_is_usual(const struct exchange *x)
{
    const struct quota_charge *charge = x->ask.charges;
    const struct quota_decision *decision = &x->ask.decision;
    if (!x->has_head) /* then neither head nor target is set */
        return false;
    /* One sum of what is mostly not there costs half of asking for each. */
    size_t more = x->tls_record.len | x->parent_id.len | x->upstream_id.len | x->tier.len |
                  x->shadow_count | (uintptr_t)x->ask.hold | (uintptr_t)x->shadow_hold |
                  (size_t)x->fault.id | (size_t)x->is_last | (size_t)x->peer_is_unix |
                  (size_t)x->queue_us | (size_t)x->buffer_us |
                  (size_t)(x->end == END_UPSTREAM_TLS) |
                  (size_t)x->target.is_absolute; /* its path may be a text of ours */
    if (more != 0 || x->head.method_id == HTTP_METHOD_OTHER || x->route == NULL ||
        x->target.authority.len == 0 || record_path(x).len == 0 ||
        x->target.authority.len + record_path(x).len + x->target.query.len > RECORD_USUAL_TEXT_MAX)
        return false;
    if (!x->is_decided || x->ask.count != 1 || x->subject_count != 1 || !decision->has_binding ||
        (decision->verdict != QUOTA_ALLOW && decision->verdict != QUOTA_REFUSE))
        return false;
    return charge->quota->limit_count == 1 && charge->quota->algorithm == QUOTA_FIXED &&
           charge->quota->mode == QUOTA_ENFORCE && charge->corrected == 0 &&
           charge->readings[0].start_s != 0 && x->status != 0 &&
           x->tries <= RECORD_USUAL_TRIES_MAX && x->server.len <= RECORD_USUAL_SERVER_MAX;
}

static inline __attribute__((always_inline)) struct record_usual
record_gather_usual(struct exchange *x)
{
    const struct plan *plan = x->snapshot->plan;
    const bool is_sent = x->tries != 0;
    const struct span subject = record_subject_text(x, x->subjects);
    const struct span peer = exchange_peer_text(x); /* its look-up may take the client's place */
    struct span client = SPAN_NONE;
    if (!exchange_same16(&x->client_ip, &x->peer_ip)) {
        const struct exchange_peer *kept = exchange_find_peer(x->env, &x->client_ip);
        client = (struct span){kept->text, kept->len};
    }
    return (struct record_usual){
        .memo = &x->env->lines,
        .wall_us = x->env->loop->wall_us,
        .generation = plan->generation,
        .id = &x->id,
        .peer = peer,
        .client = client,
        .method_id = x->head.method_id,
        .minor = x->head.minor,
        .host = x->target.authority,
        .path = record_path(x),
        .query = x->target.query,
        .bytes_in = x->bytes_in,
        .bytes_out = x->bytes_out,
        .listener = x->listener->name,
        .route = x->route->rule->name,
        .tries = x->tries,
        .reused = is_sent && x->was_reused,
        .server = is_sent ? x->server : SPAN_NONE,
        .decision = &x->ask.decision,
        .charge = x->ask.charges,
        .cost = x->route->cost.estimate,
        .identity = plan->identities[x->subjects->identity].name,
        .subject = subject,
        .is_hashed = subject.ptr == x->subjects->mark.text,
        .status = x->status,
        .end = exchange_ending(x->end)->name,
        .t_header_us = x->headed_us - x->began_us,
        .t_store_us = x->store_us,
        .t_connect_us = record_since(x->connect_us, x->connected_us),
        .t_first_us = record_since(x->sent_us, x->first_us),
        .t_total_us = x->env->loop->mono_us - x->began_us,
    };
}

static inline char *record_write_usual(struct exchange *x, char *line)
{
    const struct record_usual usual = record_gather_usual(x);
    return usual.subject.len == 0 ? NULL : record_usual_write(line, &usual);
}

static __attribute__((noinline)) void record_learn(struct exchange *x)
{
    const struct record_usual usual = record_gather_usual(x);
    record_usual_learn(&usual);
}

static void record_line(struct exchange *x)
{
    char *line = loop_log_begin(x->env->ring, RECORD_LINE_MAX);
    if (line == NULL)
        return;
    bool is_usual = record_is_usual(x);
    char *end = is_usual ? record_write_usual(x, line) : NULL;
    if (end == NULL) {
        end = record_write_whole(x, line);
        if (is_usual)
            record_learn(x);
    }
    loop_log_commit(x->env->ring, (size_t)(end - line));
}

static void record_count(struct exchange *x)
{
    struct metrics_block *metrics = x->env->loop->metrics;
    const uint64_t took_us = x->env->loop->mono_us - x->began_us;
    metrics_add(metrics, x->env->slot_end[x->end], 1);
    if (x->tunnel.is_open) { /* its hours would hide how fast answers are */
        metrics_sub(metrics, METRICS_TUNNELS_OPEN, 1);
    } else {
        metrics_observe_us(metrics, x->env->slot_duration, took_us);
        if (x->route != NULL)
            metrics_observe_us(metrics, x->route->slot_duration, took_us);
    }
    if (x->is_decided)
        metrics_observe_us(metrics, x->env->slot_store, x->store_us);
    if (x->route != NULL && x->tries != 0 && x->first_us > x->sent_us) {
        metrics_observe_us(metrics, x->env->slot_first, x->first_us - x->sent_us);
        metrics_observe_us(metrics, x->snapshot->pools[x->route->upstream]->conf->slot_response,
                           x->first_us - x->sent_us);
    }
    metrics_add(metrics, METRICS_BYTES_IN, x->bytes_in);
    metrics_add(metrics, METRICS_BYTES_OUT, x->bytes_out);
    if (x->route != NULL && x->status >= 100 && x->status < 600)
        metrics_add(metrics, x->route->slot_class[x->status / 100], 1);
}

/* The error log names the request: failures of ours for every operator, refusals of malformed messages for
 * one who looks for them.  A quota's refusal is no event. */
static void record_say(struct exchange *x)
{
    const struct exchange_ending *ending = exchange_ending(x->end);
    const char *fault = x->fault.id == HTTP_FAULT_NONE ? "" : http_fault_name(x->fault.id);
    char peer[IP_TEXT_MAX] = "unix";
    int peer_len = 4;
    if (x->end == END_OK || x->end == END_LIMITED)
        return;
    if (!x->peer_is_unix)
        peer_len = (int)ip_format(peer, &x->peer_ip);
    if (ending->is_error)
        log_warn("request %.*s from %.*s: %s %s", RECORD_ID_HEX, x->id.hex, peer_len, peer,
                 ending->sentence, fault);
    else
        log_debug("request %.*s from %.*s: %s %s (byte %u)", RECORD_ID_HEX, x->id.hex, peer_len,
                  peer, ending->sentence, fault, x->fault.offset);
}

void exchange_note_fault(struct exchange *x, bool is_response, struct span seen)
{
    const uint64_t wall_us = x->env->loop->wall_us;
    metrics_add(x->env->loop->metrics, x->env->slot_fault[is_response][x->fault.id], 1);
    if (record_faults_may(x->env->faults, wall_us))
        record_faults_add(x->env->faults, wall_us, is_response, &x->fault,
                          is_response ? x->server : exchange_peer_text(x), x->id.hex, seen);
}

/* A request whose head was good as such.  Nothing at its first byte can be wrong then: the fault is behind the head. */
static void record_fault(struct exchange *x)
{
    bool is_in_head = x->fault.offset != 0;
    if (x->has_head && x->end != END_UPSTREAM_BAD_RESPONSE)
        exchange_note_fault(x, false, (struct span){x->head.base, is_in_head ? x->head.bytes : 0});
}

void exchange_record(struct exchange *x)
{
    record_count(x);
    if (x->fault.id != HTTP_FAULT_NONE)
        record_fault(x);
    record_say(x);
    if (!span_eq(x->snapshot->plan->log.access, SPAN("off")))
        record_line(x);
}
