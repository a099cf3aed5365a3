/* SPDX-License-Identifier: Apache-2.0 */
/* record_access.c - takes: what is known of a finished exchange.  Gives: its line, valid JSON in valid UTF-8
 * whatever the client sent.  Never: writes a query's value, a line over the limit, or calls printf: every
 * exchange comes through here. */
#include "record/record.h"

#include "base/base_load.h"
#include "record/record_query.h"
#include "record/record_run.h"

/* Kept at the line's end for the fields of bounded size (numbers, times, words), so that these need no look
 * at the room. */
#define FIXED_MAX  1024

/* Kept for the quotas at most: a client must not hide what it was charged behind a long path. */
#define QUOTAS_MAX 5000

#define ENTRY_MAX  256 /* of "quotas", without the quota's name */

struct line {
    struct fmt_json text;   /* what clients and upstreams may fill */
    struct fmt_json quotas; /* what "refused_by" and "quotas" may */
    bool is_subject_lost;   /* there was no room for one of those that were charged */
    struct record_memo *memo;
    struct record_marks *marks;
    struct fmt_memo *numbers;
    uint32_t generation;
};

/* ,"name":"text" with `begin` up to the opening quote; nothing for an empty text.  Always inlined, so that
 * `begin` is copied without a call; the literals have room in FIXED_MAX. */
static inline __attribute__((always_inline)) char *
put_text(struct fmt_json *json, char *out, struct span begin, struct span text, size_t max)
{
    return text.len == 0 ? out : fmt_json_value(json, fmt_span(out, begin), text, max);
}

static inline __attribute__((always_inline)) char *put_number(char *out, struct span begin,
                                                              uint64_t value)
{
    return value == UINT64_MAX ? out : fmt_u64(fmt_span(out, begin), value);
}

static inline bool is_same_ip(const struct ip *a, const struct ip *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static bool is_zero(const struct ip *ip)
{
    static const struct ip zero;
    return is_same_ip(ip, &zero);
}

/* An address is rarely longer, and then costs a call. */
static inline char *put_short(char *out, struct span text)
{
    if (text.len < 8 || text.len > 16)
        return fmt_span(out, text);
    uint64_t first = load_u64(text.ptr), last = load_u64(text.ptr + text.len - 8);
    memcpy(out, &first, 8);
    memcpy(out + text.len - 8, &last, 8);
    return out + text.len;
}

static char *put_addresses(char *out, const struct record_access *record)
{
    char room[IP_TEXT_MAX];
    struct span peer = record->peer_text;
    bool is_same = record->peer_is_unix ? is_zero(&record->client_ip)
                                        : is_same_ip(&record->client_ip, &record->peer_ip);
    if (peer.len == 0)
        peer = record->peer_is_unix ? SPAN("unix")
                                    : (struct span){room, ip_format(room, &record->peer_ip)};
    out = FMT_LIT(out, ",\"client_ip\":\"");
    if (is_same)
        out = put_short(out, peer);
    else
        out += ip_format(out, &record->client_ip);
    out = FMT_LIT(out, "\",\"peer_ip\":\"");
    out = put_short(out, peer);
    *out++ = '"';
    return out;
}

void record_memo_begin_anew(struct record_memo *memo, uint64_t wall_us, uint32_t generation)
{
    char *out = FMT_LIT(memo->begin, ",\"ts\":\"");
    out = fmt_rfc3339_ms(out, wall_us);
    out = FMT_LIT(out, "\",\"gen\":");
    out = fmt_u64(out, generation);
    out = FMT_LIT(out, ",\"id\":\"");
    memo->from_us = wall_us - wall_us % 1000;
    memo->generation = generation;
    memo->begin_len = (uint32_t)(out - memo->begin);
}

static char *put_request(struct fmt_json *json, char *out, const struct record_access *record)
{
    out = record_memo_begin(record->memo, out, record->wall_us, record->generation);
    memcpy(out, record->id.hex, RECORD_ID_HEX);
    out += RECORD_ID_HEX;
    *out++ = '"';
    out = put_text(json, out, SPAN(",\"parent_id\":\""), record->parent_id, NAME_MAX_BYTES);
    out = put_addresses(out, record);
    out = put_text(json, out, SPAN(",\"proto\":\""), record->proto, WORD_MAX_BYTES);
    out = put_text(json, out, SPAN(",\"method\":\""), record->method, WORD_MAX_BYTES);
    out = put_text(json, out, SPAN(",\"host\":\""), record->host, HOST_MAX_BYTES);
    out = put_text(json, out, SPAN(",\"path\":\""), record->path, PATH_MAX_BYTES);
    if (record->query.len != 0)
        out = put_query(json, out, record->query);
    return put_number(out, SPAN(",\"bytes_in\":"), record->bytes_in);
}

static char *put_route(struct fmt_json *json, char *out, const struct record_access *record)
{
    out = put_text(json, out, SPAN(",\"listener\":\""), record->listener, NAME_MAX_BYTES);
    out = put_text(json, out, SPAN(",\"route\":\""), record->route, NAME_MAX_BYTES);
    if (record->upstream.len == 0)
        return out;
    out = put_text(json, out, SPAN(",\"upstream\":\""), record->upstream, NAME_MAX_BYTES);
    out = put_text(json, out, SPAN(",\"server\":\""), record->server, NAME_MAX_BYTES);
    out = FMT_LIT(out, ",\"tries\":");
    out = fmt_u64(out, record->tries);
    return record->reused ? FMT_LIT(out, ",\"reused\":true") : FMT_LIT(out, ",\"reused\":false");
}

/* A server may come, go and stand elsewhere within a generation: its text is compared with the kept one, which ends
 * in it, "tries" of one digit and "reused". */
static inline bool is_same_server(const struct record_run *run, const struct record_access *record)
{
    size_t behind = sizeof("\",\"tries\":1,\"reused\":true") - 1 + !record->reused;
    return run->len > behind + record->server.len &&
           record_run_has(run->text + run->len - behind - record->server.len, record->server);
}

/* A worker serves few pairs of a route and a server. */
static inline char *put_routing(struct line *line, char *out, const struct record_access *record)
{
    const bool is_sent = record->upstream.len != 0;
    struct fmt_json *json = &line->text;
    struct record_made of = {
        .names = {record->listener.ptr, record->route.ptr, record->upstream.ptr},
        .key = is_sent ? record->tries | (uint64_t)record->reused << 32 : 0,
        .more = is_sent ? record->server.len : 0,
        .generation = record->generation,
    };
    struct record_run *run = NULL;
    if (record->server.len < 64 && record->tries < 10 && has_room(json, out, RECORD_RUN_BYTES)) {
        unsigned server = 0;
        if (is_sent && record->server.len != 0)
            server = (unsigned char)record->server.ptr[record->server.len - 1];
        run = line->memo->routings + record_run_place(record->route.ptr, server + record->reused);
        if (record_run_is(run, &of) && (!is_sent || is_same_server(run, record)))
            return record_run_copy(out, run);
    }
    char *begin = out;
    out = put_route(json, out, record);
    if (run != NULL) {
        record_run_keep(run, &of, json, begin, out);
        if (is_sent && !is_same_server(run, record)) /* escaped */
            run->len = 0;
    }
    return out;
}

/* The words of the decision field.  Copied whole: a copy of a known size needs no call. */
static const struct {
    char text[32];
    unsigned len;
} verdicts[] = {
#define VERDICT(word)                                                                              \
    {                                                                                              \
        ",\"decision\":\"" word "\"", sizeof(",\"decision\":\"" word "\"") - 1                     \
    }
    [QUOTA_NONE] = VERDICT("none"),
    [QUOTA_ALLOW] = VERDICT("allow"),
    [QUOTA_REFUSE] = VERDICT("refuse"),
    [QUOTA_EXEMPT] = VERDICT("exempt"),
    [QUOTA_DEGRADED_ALLOW] = VERDICT("degraded_allow"),
    [QUOTA_DEGRADED_REFUSE] = VERDICT("degraded_refuse"),
    /* Refused because the store was away; the status (503, not 429) tells the two apart. */
    [QUOTA_UNAVAILABLE] = VERDICT("degraded_refuse"),
#undef VERDICT
};

static inline char *put_verdict(char *out, enum quota_verdict verdict)
{
    memcpy(out, verdicts[verdict].text, sizeof(verdicts[verdict].text));
    return out + verdicts[verdict].len;
}

/* What of one quota belongs into "refused_by", each with a comma: "quota/window", or "quota" alone when it
 * refused because the store was away. */
static char *put_refusers(struct fmt_json *json, char *out, const struct quota_charge *charge,
                          bool is_away)
{
    unsigned windows = is_away ? 1 : charge->quota->limit_count;
    bool is_deny = charge->is_degraded && charge->quota->on_failure == QUOTA_FAIL_DENY;
    for (unsigned w = 0; w < windows; w++) {
        if (is_away ? !is_deny : charge->is_skipped || !charge->readings[w].refused)
            continue;
        if (!has_room(json, out, NAME_MAX_BYTES + ENTRY_MAX)) {
            json->cut = true;
            break;
        }
        *out++ = '"';
        out = fmt_json_value(json, out, charge->quota->name, NAME_MAX_BYTES);
        if (!is_away) {
            out[-1] = '/';
            out += quota_window_text(out, &charge->quota->limits[w], false);
            *out++ = '"';
        }
        *out++ = ',';
    }
    return out;
}

/* The same for a slot: "quota/in_flight". */
static char *put_slot_refuser(struct fmt_json *json, char *out, const struct quota_slot *slot,
                              bool is_away)
{
    bool is_refuser = is_away ? slot->is_degraded : slot->is_refused;
    if (!is_refuser || slot->quota->mode == QUOTA_SHADOW)
        return out;
    if (!has_room(json, out, NAME_MAX_BYTES + ENTRY_MAX)) {
        json->cut = true;
        return out;
    }
    *out++ = '"';
    out = fmt_json_value(json, out, slot->quota->name, NAME_MAX_BYTES);
    if (!is_away)
        out = FMT_LIT(out - 1, "/in_flight\"");
    *out++ = ',';
    return out;
}

static char *put_refused_by(struct fmt_json *json, char *out, const struct record_access *record)
{
    bool is_away = record->decision->verdict == QUOTA_UNAVAILABLE;
    char *begin = out, *first = out = FMT_LIT(out, ",\"refused_by\":[");
    for (unsigned i = 0; i < record->charge_count; i++)
        out = put_refusers(json, out, &record->charges[i], is_away);
    for (unsigned i = 0; i < record->slot_count; i++)
        out = put_slot_refuser(json, out, record->slots[i], is_away);
    return out == first ? begin : close_list(out, first, ']');
}

/* Those from number `from` on, each with a comma. */
static char *put_subjects_from(struct line *line, char *out, const struct record_access *record,
                               unsigned from)
{
    struct fmt_json *json = &line->text;
    for (unsigned i = from; i < record->subject_count; i++) {
        const struct record_subject *subject = &record->subjects[i];
        if (subject->text.len == 0)
            continue;
        if (!has_room(json, out, 2 * NAME_MAX_BYTES + 8)) {
            json->cut = line->is_subject_lost = true;
            break;
        }
        *out++ = '"';
        out = fmt_json_value(json, out, subject->identity, NAME_MAX_BYTES);
        out = FMT_LIT(out, ":\"");
        out = fmt_json_value(json, out, subject->text, NAME_MAX_BYTES);
        *out++ = ',';
    }
    return out;
}

static char *put_subjects(struct line *line, char *out, const struct record_access *record)
{
    char *begin = out, *first = out = FMT_LIT(out, ",\"subjects\":{");
    out = put_subjects_from(line, out, record, 0);
    return out == first ? begin : close_list(out, first, '}');
}

/* The second, on the store's clock, that the decision was made in: all its resets count from there. */
static uint64_t decided_at_s(const struct record_access *record)
{
    const struct quota_decision *decision = record->decision;
    if (decision == NULL || !decision->has_binding)
        return record->wall_us / 1000000;
    const struct quota_charge *charge = &record->charges[decision->charge];
    if (charge->quota->algorithm != QUOTA_FIXED)
        return decision->now_s;
    return (uint64_t)charge->readings[decision->window].start_s +
           charge->quota->limits[decision->window].period_s - decision->reset_s;
}

/* What is said of a window behind its numbers. */
static char *put_window_end(char *out, const struct quota_charge *charge, bool is_refused)
{
    if (charge->corrected < 0) {
        out = FMT_LIT(out, ",\"refunded\":");
        out = fmt_u64(out, (uint64_t) - (int64_t)charge->corrected);
    } else if (charge->corrected > 0) {
        out = FMT_LIT(out, ",\"added\":");
        out = fmt_u64(out, (uint64_t)charge->corrected);
    }
    if (charge->quota->mode != QUOTA_SHADOW)
        return out;
    if (is_refused)
        out = FMT_LIT(out, ",\"refused\":true");
    return FMT_LIT(out, ",\"mode\":\"shadow\"");
}

static const struct {
    char text[24];
    unsigned len;
} window_sources[] = {
    [QUOTA_SOURCE_STORE] = {",\"source\":\"store\"", 17},
    [QUOTA_SOURCE_LEASE] = {",\"source\":\"lease\"", 17},
    [QUOTA_SOURCE_LOCAL] = {",\"source\":\"local\"", 17},
};

/* Up to its start and "used": the same for all callers of a fixed window. */
static inline char *put_window_begin(struct line *line, char *out,
                                     const struct quota_charge *charge, unsigned w)
{
    const struct quota *quota = charge->quota;
    uint32_t start_s = charge->readings[w].start_s, charged = charge->is_charged ? charge->cost : 0;
    struct record_made of = {
        .names = {quota},
        .key = (uint64_t)w << 32 | start_s,
        .more = charged,
        .generation = line->generation,
    };
    struct record_run *run = &line->memo->windows[record_run_place(quota->name.ptr, w)];
    if (record_run_is(run, &of))
        return record_run_copy(out, run);
    char *begin = out;
    out = FMT_LIT(out, "{\"q\":\"");
    out = fmt_json_value(&line->quotas, out, quota->name, NAME_MAX_BYTES);
    out = FMT_LIT(out, ",\"w\":\"");
    out += quota_window_text(out, &quota->limits[w], false);
    out = FMT_LIT(out, "\",\"start\":");
    out = fmt_u32_memo(line->numbers, out, start_s);
    out = FMT_LIT(out, ",\"charged\":");
    out = fmt_u64(out, charged);
    out = FMT_LIT(out, ",\"used\":");
    record_run_keep(run, &of, &line->quotas, begin, out);
    return out;
}

/* Behind "used": the same for all callers within a second. */
static inline char *put_window_limit(struct line *line, char *out, uint32_t limit, uint64_t reset_s,
                                     unsigned source)
{
    struct record_made of = {.key = (uint64_t)source << 32 | limit, .more = reset_s};
    struct record_run *run = &line->memo->limits[(limit ^ reset_s) % RECORD_RUNS];
    if (record_run_is(run, &of))
        return record_run_copy(out, run);
    char *begin = out;
    out = FMT_LIT(out, ",\"limit\":");
    out = fmt_u32_memo(line->numbers, out, limit);
    out = FMT_LIT(out, ",\"reset_s\":");
    out = fmt_u64(out, reset_s);
    memcpy(out, window_sources[source].text, sizeof(window_sources[0].text));
    out += window_sources[source].len;
    record_run_keep(run, &of, &line->quotas, begin, out);
    return out;
}

/* A window that nothing was read of: the store was away, or a gate refused before. */
static char *put_window_skipped(struct line *line, char *out, const struct quota_charge *charge,
                                unsigned w)
{
    out = FMT_LIT(out, "{\"q\":\"");
    out = fmt_json_value(&line->quotas, out, charge->quota->name, NAME_MAX_BYTES);
    out = FMT_LIT(out, ",\"w\":\"");
    out += quota_window_text(out, &charge->quota->limits[w], false);
    return FMT_LIT(put_window_end(FMT_LIT(out, "\",\"charged\":0"), charge, false), "},");
}

/* One window of "quotas", with a comma. */
static inline char *put_window(struct line *line, char *out, const struct quota_charge *charge,
                               unsigned w, uint64_t now_s)
{
    const struct quota_reading *reading = &charge->readings[w];
    if (charge->is_skipped || reading->start_s == 0)
        return put_window_skipped(line, out, charge, w);
    uint64_t end_s = (uint64_t)reading->start_s + charge->quota->limits[w].period_s;
    if (charge->quota->algorithm != QUOTA_FIXED)
        end_s = (charge->outlooks[w].end_us + 999999) / 1000000;
    line->marks->used = out = put_window_begin(line, out, charge, w);
    line->marks->used_end = out = fmt_u64(out, reading->used);
    out = put_window_limit(line, out, reading->limit, end_s > now_s ? end_s - now_s : 1,
                           charge->source);
    if (charge->corrected != 0 || charge->quota->mode == QUOTA_SHADOW)
        out = put_window_end(out, charge, reading->refused);
    return FMT_LIT(out, "},");
}

static char *put_windows(struct line *line, char *out, const struct quota_charge *charge,
                         uint64_t now_s)
{
    for (unsigned w = 0; w < charge->quota->limit_count; w++) {
        if (!has_room(&line->quotas, out, NAME_MAX_BYTES + ENTRY_MAX)) {
            line->quotas.cut = true;
            break;
        }
        out = put_window(line, out, charge, w, now_s);
    }
    return out;
}

/* The entry of a slot; it has no beginning and no end. */
static char *put_slot(struct fmt_json *json, char *out, const struct quota_slot *slot)
{
    static const struct span sources[] = {
        [QUOTA_SOURCE_STORE] = {",\"source\":\"store\"", 17},
        [QUOTA_SOURCE_LEASE] = {",\"source\":\"lease\"", 17},
        [QUOTA_SOURCE_LOCAL] = {",\"source\":\"local\"", 17},
    };
    if (!has_room(json, out, NAME_MAX_BYTES + ENTRY_MAX)) {
        json->cut = true;
        return out;
    }
    out = FMT_LIT(out, "{\"q\":\"");
    out = fmt_json_value(json, out, slot->quota->name, NAME_MAX_BYTES);
    out = FMT_LIT(out, ",\"w\":\"in_flight\",\"charged\":");
    *out++ = slot->is_granted ? '1' : '0';
    if (!slot->is_skipped && slot->limit != 0) {
        out = FMT_LIT(out, ",\"used\":");
        out = fmt_u64(out, slot->used);
        out = FMT_LIT(out, ",\"limit\":");
        out = fmt_u64(out, slot->limit);
        out = fmt_span(out, sources[slot->source]);
    }
    if (slot->quota->mode == QUOTA_SHADOW)
        out = slot->is_refused ? FMT_LIT(out, ",\"refused\":true,\"mode\":\"shadow\"")
                               : FMT_LIT(out, ",\"mode\":\"shadow\"");
    return FMT_LIT(out, "},");
}

static char *put_quotas(struct line *line, char *out, const struct record_access *record)
{
    uint64_t now_s = decided_at_s(record);
    char *first = out = FMT_LIT(out, ",\"quotas\":[");
    for (unsigned i = 0; i < record->charge_count; i++)
        out = put_windows(line, out, &record->charges[i], now_s);
    for (unsigned i = 0; i < record->shadow_count; i++)
        out = put_windows(line, out, record->shadows[i], now_s);
    for (unsigned i = 0; i < record->slot_count; i++)
        out = put_slot(&line->quotas, out, record->slots[i]);
    return close_list(out, first, ']');
}

static inline bool is_refusal(const struct record_access *record)
{
    const struct quota_decision *decision = record->decision;
    return decision->verdict == QUOTA_REFUSE || decision->verdict == QUOTA_DEGRADED_REFUSE ||
           decision->verdict == QUOTA_UNAVAILABLE;
}

static inline bool is_counted(const struct record_access *record)
{
    return record->decision != NULL && (record->charge_count != 0 || record->slot_count != 0);
}

/* Up to the subjects. */
static char *put_outcome(struct line *line, char *out, const struct record_access *record)
{
    const struct quota_decision *decision = record->decision;
    out = put_verdict(out, decision == NULL ? QUOTA_NONE : decision->verdict);
    if (is_counted(record) && is_refusal(record))
        out = put_refused_by(&line->quotas, out, record);
    out = put_text(&line->text, out, SPAN(",\"tier\":\""), record->tier, WORD_MAX_BYTES);
    if (!is_counted(record) && record->shadow_count == 0)
        return out;
    if (decision != NULL && decision->is_near)
        out = FMT_LIT(out, ",\"near\":true");
    out = FMT_LIT(out, ",\"cost\":");
    return fmt_u64(out, record->cost);
}

/* The usual decision: admitted, or refused by the only window there is, without a tier, with a subject. */
static inline bool is_usual(const struct record_access *record)
{
    const struct quota_decision *decision = record->decision;
    if (!is_counted(record) || record->tier.len != 0 || record->subject_count == 0 ||
        record->subjects[0].text.len == 0)
        return false;
    if (decision->verdict == QUOTA_ALLOW)
        return true;
    const struct quota_charge *charge = record->charges;
    return decision->verdict == QUOTA_REFUSE && record->charge_count == 1 &&
           record->slot_count == 0 && charge->quota->limit_count == 1 && !charge->is_skipped &&
           charge->readings[0].refused;
}

/* Up to the first subject's text, which has room. */
static inline char *put_usual(struct line *line, char *out, const struct record_access *record)
{
    const struct quota_decision *decision = record->decision;
    const struct span identity = record->subjects[0].identity;
    const bool is_refused = decision->verdict == QUOTA_REFUSE;
    struct record_made of = {
        .names = {identity.ptr, is_refused ? record->charges[0].quota : NULL},
        .key = decision->verdict | (uint64_t)decision->is_near << 32,
        .more = record->cost,
        .generation = record->generation,
    };
    unsigned place = record_run_place(identity.ptr, decision->verdict + record->cost);
    struct record_run *run = &line->memo->decisions[place];
    if (record_run_is(run, &of))
        return record_run_copy(out, run);
    char *begin = out;
    out = put_outcome(line, out, record);
    out = FMT_LIT(out, ",\"subjects\":{\"");
    out = fmt_json_value(&line->text, out, identity, NAME_MAX_BYTES);
    out = FMT_LIT(out, ":\"");
    record_run_keep(run, &of, &line->text, begin, out);
    if (line->quotas.cut || line->quotas.bytes)
        run->len = 0;
    return out;
}

static inline char *put_decision(struct line *line, char *out, const struct record_access *record)
{
    if (is_usual(record) && has_room(&line->text, out, 2 * NAME_MAX_BYTES + RECORD_RUN_BYTES)) {
        line->marks->subject = out = put_usual(line, out, record);
        out = fmt_json_value(&line->text, out, record->subjects[0].text, NAME_MAX_BYTES);
        line->marks->subject_end = out - 1;
        if (record->subject_count > 1) {
            *out++ = ',';
            out = put_subjects_from(line, out, record, 1) - 1;
        }
        *out++ = '}';
    } else {
        out = put_outcome(line, out, record);
        if (record->subject_count != 0)
            out = put_subjects(line, out, record);
    }
    if (is_counted(record) || record->shadow_count != 0)
        out = put_quotas(line, out, record);
    if (is_counted(record) && is_refusal(record) && record->decision->retry_after_s != 0) {
        out = FMT_LIT(out, ",\"retry_after\":");
        out = fmt_u64(out, record->decision->retry_after_s);
    }
    return out;
}

static __attribute__((noinline)) char *put_tls(struct fmt_json *json, char *out, struct span tls)
{
    if (has_room(json, out, tls.len))
        return fmt_span(out, tls);
    json->cut = true;
    return out;
}

static char *put_result(struct line *line, char *out, const struct record_access *record)
{
    struct fmt_json *json = &line->text;
    /* How it ended must stand in every line: these three words have room in FIXED_MAX. */
    json->end = out + 6 * WORD_MAX_BYTES;
    if (record->status != 0) {
        out = FMT_LIT(out, ",\"status\":");
        out = fmt_u64(out, record->status);
    }
    if (record->bytes_out != UINT64_MAX)
        out = FMT_LIT(out, ",\"bytes_out\":");
    line->marks->bytes_out = out;
    if (record->bytes_out != UINT64_MAX)
        out = fmt_u64(out, record->bytes_out);
    line->marks->bytes_out_end = out;
    out = put_text(json, out, SPAN(",\"end\":\""), record->end, WORD_MAX_BYTES);
    out = put_text(json, out, SPAN(",\"reason\":\""), record->reason, WORD_MAX_BYTES);
    out = put_text(json, out, SPAN(",\"close\":\""), record->close, WORD_MAX_BYTES);
    line->marks->times = out;
    out = put_number(out, SPAN(",\"t_header\":"), record->t_header_us);
    out = put_number(out, SPAN(",\"t_store\":"), record->t_store_us);
    if (record->t_body_us != 0)
        out = put_number(out, SPAN(",\"t_body\":"), record->t_body_us);
    if (record->t_queue_us != 0)
        out = put_number(out, SPAN(",\"t_queue\":"), record->t_queue_us);
    out = put_number(out, SPAN(",\"t_connect\":"), record->t_connect_us);
    out = put_number(out, SPAN(",\"t_first\":"), record->t_first_us);
    return put_number(out, SPAN(",\"t_total\":"), record->t_total_us);
}

/* About what "refused_by" and "quotas" will take. */
static size_t quotas_bytes(const struct record_access *record)
{
    size_t bytes = NAME_MAX_BYTES;
    for (unsigned i = 0; i < record->charge_count; i++) {
        const struct quota *quota = record->charges[i].quota;
        bytes += quota->limit_count * (ENTRY_MAX + 2 * quota->name.len);
    }
    for (unsigned i = 0; i < record->shadow_count; i++) {
        const struct quota *quota = record->shadows[i]->quota;
        bytes += quota->limit_count * (ENTRY_MAX + quota->name.len);
    }
    for (unsigned i = 0; i < record->slot_count; i++)
        bytes += ENTRY_MAX + 2 * record->slots[i]->quota->name.len;
    return bytes < QUOTAS_MAX ? bytes : QUOTAS_MAX;
}

/* Whoever sums charges up must know whether all of them are there: what a client writes may be cut in any line. */
static __attribute__((noinline)) char *put_cut(const struct line *line, char *out)
{
    out = FMT_LIT(out, ",\"cut\":true");
    return line->quotas.cut || line->is_subject_lost ? out
                                                     : FMT_LIT(out, ",\"charges_whole\":true");
}

char *record_access_write(char *out, const struct record_access *record)
{
    const char *end = out + RECORD_LINE_MAX - RECORD_PREFIX_MAX - FIXED_MAX;
    struct line line = {.text.end = end - quotas_bytes(record), .quotas.end = end};
    line.memo = record->memo;
    line.marks = &record->memo->marks;
    line.marks->subject = line.marks->used = NULL;
    line.generation = record->generation;
    line.numbers = &record->memo->numbers;
    line.marks->routing = out = put_request(&line.text, out, record);
    if (record->tls.len != 0)
        out = put_tls(&line.text, out, record->tls);
    out = put_routing(&line, out, record);
    if (record->upstream.len != 0)
        out = put_text(&line.text, out, SPAN(",\"upstream_id\":\""), record->upstream_id,
                       NAME_MAX_BYTES);
    out = put_decision(&line, out, record);
    out = put_result(&line, out, record);
    line.marks->is_whole =
        !line.text.cut && !line.quotas.cut && !line.text.bytes && !line.quotas.bytes;
    if (line.text.cut || line.quotas.cut)
        out = put_cut(&line, out);
    if (line.text.bytes || line.quotas.bytes)
        out = FMT_LIT(out, ",\"bytes\":true");
    return FMT_LIT(out, "}\n");
}
