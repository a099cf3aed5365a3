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

static void record_request(struct exchange *x, struct record_access *record)
{
    record->id = x->id;
    record->parent_id = x->parent_id;
    record->client_ip = x->client_ip;
    record->peer_ip = x->peer_ip;
    record->peer_is_unix = x->peer_is_unix;
    record->bytes_in = x->bytes_in;
    record->bytes_out = x->bytes_out;
    record->listener = x->listener->name;
    if (!x->has_head)
        return;
    record->proto = x->head.minor == 0 ? SPAN("HTTP/1.0") : SPAN("HTTP/1.1");
    record->method = http_head_span(&x->head, x->head.method);
    record->host = x->target.authority;
    record->path = x->judged.len != 0 ? x->judged : x->target.path;
    record->query = x->target.query;
}

static void record_routing(struct exchange *x, struct record_access *record)
{
    if (x->route == NULL)
        return;
    record->route = x->route->rule->name;
    record->cost = x->route->cost.estimate;
    if (x->tries == 0)
        return;
    record->upstream = x->snapshot->plan->upstreams[x->route->upstream].name;
    record->server = x->server;
    record->tries = x->tries;
    record->reused = x->was_reused;
    record->upstream_id = x->upstream_id;
}

static void record_times(struct exchange *x, struct record_access *record)
{
    uint64_t now_us = x->env->loop->mono_us;
    record->t_header_us = record_since(x->began_us, x->headed_us);
    record->t_store_us = x->is_decided ? x->store_us : UINT64_MAX;
    record->t_connect_us = record_since(x->connect_us, x->connected_us);
    record->t_first_us = record_since(x->sent_us, x->first_us);
    record->t_total_us = record_since(x->began_us, now_us);
}

static void record_line(struct exchange *x)
{
    char *line = loop_log_begin(x->env->ring, RECORD_LINE_MAX);
    if (line == NULL)
        return;
    struct record_subject subjects[QUOTA_MAX_PER_ROUTE * IDENTITY_VALUES_MAX];
    const struct quota_charge *shadows[QUOTA_MAX_PER_ROUTE];
    const struct quota_slot *slots[QUOTA_MAX_PER_ROUTE];
    for (unsigned i = 0; i < x->shadow_count; i++)
        shadows[i] = &x->shadows[i].charge;
    struct record_access record = {
        .wall_us = x->env->loop->wall_us,
        .generation = x->snapshot->plan->generation,
        .tier = x->tier,
        .decision = &x->ask.decision,
        .charges = x->ask.charges,
        .charge_count = x->is_decided ? x->ask.count : 0,
        .shadows = shadows,
        .shadow_count = x->shadow_count,
        .slots = slots,
        .subjects = subjects,
        .subject_count = x->subject_count,
        .status = x->status,
        .end = exchange_ending(x->end)->name,
    };
    if (x->fault.id != HTTP_FAULT_NONE)
        record.reason = span_of(http_fault_name(x->fault.id));
    if (x->is_last)
        record.close = SPAN("requests");
    if (x->ask.hold != NULL || x->shadow_hold != NULL)
        record.slot_count = exchange_list_slots(x, slots);
    record_subjects(x, subjects);
    record_request(x, &record);
    record_routing(x, &record);
    record_times(x, &record);
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
