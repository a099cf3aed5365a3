/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_record.c - what remains of an exchange: a log line and counters. */
#include "base/base_log.h"
#include "exchange/exchange_private.h"

static void record_subjects(struct exchange *x, struct record_subject *subjects)
{
    const struct plan *plan = x->snapshot->plan;
    for (unsigned i = 0; i < x->subject_count; i++) {
        struct exchange_subject *subject = &x->subjects[i];
        struct record_subject *out = &subjects[i];
        out->identity = plan->identities[subject->identity].name;
        out->text = SPAN_NONE;
        if (subject->result != IDENTITY_FOUND)
            continue;
        if (subject->value.is_shared) {
            out->text = SPAN("shared");
        } else if (identity_is_clear(subject->value.kind)) {
            out->text = subject->value.value;
        } else if (exchange_subject_mark(x, subject)) {
            out->text = (struct span){subject->mark.text, IDENTITY_TEXT_LEN};
        }
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

static void record_line(struct exchange *x)
{
    char *line = loop_log_begin(x->env->ring, RECORD_LINE_MAX);
    if (line == NULL)
        return;
    const struct plan *plan = x->snapshot->plan;
    const struct plan_route *route = x->route;
    const bool has_head = x->has_head, is_sent = route != NULL && x->tries != 0;
    const bool has_slots = x->ask.hold != NULL || x->shadow_hold != NULL;
    uint64_t now_us = x->env->loop->mono_us;
    struct record_subject subjects[QUOTA_MAX_PER_ROUTE * IDENTITY_VALUES_MAX];
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
        .t_connect_us = record_since(x->connect_us, x->connected_us),
        .t_first_us = record_since(x->sent_us, x->first_us),
        .t_total_us = record_since(x->began_us, now_us),
    };
    loop_log_commit(x->env->ring, (size_t)(record_access_write(line, &record) - line));
}

static void record_count(struct exchange *x)
{
    struct metrics_block *metrics = x->env->loop->metrics;
    metrics_add(metrics, x->env->slot_end[x->end], 1);
    if (x->tunnel.is_open) /* its hours would hide how fast answers are */
        metrics_sub(metrics, METRICS_TUNNELS_OPEN, 1);
    else
        metrics_observe_us(metrics, x->env->slot_duration, x->env->loop->mono_us - x->began_us);
    if (x->is_decided)
        metrics_observe_us(metrics, x->env->slot_store, x->store_us);
    if (x->tries != 0 && x->first_us > x->sent_us)
        metrics_observe_us(metrics, x->env->slot_first, x->first_us - x->sent_us);
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

void exchange_record(struct exchange *x)
{
    record_count(x);
    record_say(x);
    if (!span_eq(x->snapshot->plan->log.access, SPAN("off")))
        record_line(x);
}
