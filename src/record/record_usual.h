/* SPDX-License-Identifier: Apache-2.0 */
/* record_usual.h - the line that nearly every exchange gets: a request of a known method on a route, counted or refused by
 * one quota with one window.  Takes: what is known of it, and the frames that lines before were made of.  Gives: the
 * bytes that record_access_write would write, in a third of the instructions, or NULL where it cannot: then that one
 * writes, and record_usual_learn keeps the frame of what it wrote.
 *
 * A frame is what does not change from one line to the next.  Nothing here spells a field that depends on the
 * configuration: frames are cut out of lines that the other writer has made.
 *
 * Inline, so that what is known of the exchange is not copied into a structure first. */
#ifndef SLUICE_RECORD_RECORD_USUAL_H
#define SLUICE_RECORD_RECORD_USUAL_H

#include "base/base_load.h"
#include "record/record.h"
#include "record/record_query.h"

#define RECORD_USUAL_TEXT_MAX   512 /* host, path and query together: nothing of them is cut */
#define RECORD_USUAL_SERVER_MAX 64
#define RECORD_USUAL_TRIES_MAX  9
#define RECORD_USUAL_BEHIND                                                                        \
    32 /* bytes that may be read from behind the end of host, path and query */
#define RECORD_HASHED_LEN 22

/* Everything borrowed.  What it has no member for is not in the line: see exchange_record.c for who asks. */
struct record_usual {
    struct record_memo *memo; /* changed by record_usual_learn */
    uint64_t wall_us;
    uint32_t generation;
    const struct record_id *id;
    struct span peer,
        client; /* 16 bytes may be read of each, whatever its length; client.len 0: the same */
    uint8_t method_id, minor;      /* of HTTP/1; not HTTP_METHOD_OTHER */
    struct span host, path, query; /* host and path not empty */
    uint64_t bytes_in, bytes_out;
    struct span listener, route;
    unsigned tries; /* 0: sent to no server; the next two are then empty */
    bool reused;
    struct span server;
    const struct quota_decision *decision; /* allowed or refused, with a binding window */
    const struct quota_charge *charge; /* read, neither corrected nor in shadow; fixed windows */
    uint32_t cost;                     /* of the route */
    struct span identity, subject;     /* neither is empty */
    bool is_hashed;                    /* subject is RECORD_HASHED_LEN characters of base64url */
    uint16_t status;
    struct span end;
    uint64_t t_header_us, t_store_us, t_total_us;
    uint64_t t_connect_us, t_first_us; /* UINT64_MAX: left out */
};

/* The line was just written by record_access_write with the same memo. */
void record_usual_learn(const struct record_usual *usual);

/* What a frame was made of, in a few words that are quickly compared. */
static inline __attribute__((always_inline)) struct record_frame_made
record_frame_made(const struct record_usual *u)
{
    const struct quota_charge *charge = u->charge;
    return (struct record_frame_made){
        .names = {u->listener.ptr, u->route.ptr, u->identity.ptr, charge->quota},
        .generation = u->generation,
        .start_s = charge->readings[0].start_s,
        .cost = u->cost,
        .what = u->tries | (uint32_t)u->reused << 8 | (uint32_t)charge->is_charged << 9 |
                (uint32_t)u->decision->is_near << 10 | (uint32_t)u->decision->verdict << 16,
        .server_len = u->server.len,
    };
}

static inline __attribute__((always_inline)) struct record_frame *
record_frame_at(const struct record_usual *u)
{
    uintptr_t place = ((uintptr_t)u->route.ptr >> 4) + ((uintptr_t)u->server.ptr >> 5) + u->reused;
    return &u->memo->frames[place % RECORD_FRAMES];
}

static inline __attribute__((always_inline)) bool
record_frame_is(const struct record_frame *frame, const struct record_frame_made *of,
                struct span server)
{
    const struct record_frame_made *kept = &frame->of;
    uint64_t differ = ((uintptr_t)kept->names[0] ^ (uintptr_t)of->names[0]) |
                      ((uintptr_t)kept->names[1] ^ (uintptr_t)of->names[1]) |
                      ((uintptr_t)kept->names[2] ^ (uintptr_t)of->names[2]) |
                      ((uintptr_t)kept->names[3] ^ (uintptr_t)of->names[3]) |
                      (kept->server_len ^ of->server_len) | (kept->generation ^ of->generation) |
                      (kept->start_s ^ of->start_s) | (kept->cost ^ of->cost) |
                      (kept->what ^ of->what);
    if (differ != 0)
        return false;
    if (server.len - 8 <= 8) /* most are, and a call costs more */
        return ((load_u64(frame->server) ^ load_u64(server.ptr)) |
                (load_u64(frame->server + server.len - 8) ^
                 load_u64(server.ptr + server.len - 8))) == 0;
    return server.len == 0 || memcmp(frame->server, server.ptr, server.len) == 0;
}

static inline __attribute__((always_inline)) struct record_tail_made
record_tail_made(const struct record_usual *u)
{
    const struct quota_decision *decision = u->decision;
    return (struct record_tail_made){
        .limit = u->charge->readings[0].limit,
        .reset_s = decision->reset_s,
        .retry_after_s = decision->verdict == QUOTA_REFUSE ? decision->retry_after_s : 0,
        .status = u->status,
        .source = u->charge->source,
        .end = u->end.ptr,
    };
}

static inline __attribute__((always_inline)) struct record_tail *
record_tail_at(const struct record_usual *u)
{
    return &u->memo->tails[(u->charge->readings[0].limit ^ u->decision->reset_s) % RECORD_TAILS];
}

static inline __attribute__((always_inline)) bool record_tail_is(const struct record_tail *tail,
                                                                 const struct record_tail_made *of)
{
    const struct record_tail_made *kept = &tail->of;
    return ((kept->limit ^ of->limit) | (kept->reset_s ^ of->reset_s) |
            (kept->retry_after_s ^ of->retry_after_s) | (unsigned)(kept->status ^ of->status) |
            (unsigned)(kept->source ^ of->source) | ((uintptr_t)kept->end ^ (uintptr_t)of->end)) ==
               0 &&
           tail->limit_len != 0;
}

/* fmt_json_value of a text of which RECORD_USUAL_BEHIND bytes more may be read. */
static inline __attribute__((always_inline)) char *
record_put_value(struct fmt_json *json, char *out, struct span text, size_t max)
{
#ifdef __SSE2__
    if (text.len <= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)text.ptr);
        uint64_t special = (unsigned)_mm_movemask_epi8(fmt_json_special16(bytes));
        if (special << (64 - text.len) == 0) {
            _mm_storeu_si128((__m128i *)(void *)out, bytes);
            out[text.len] = '"';
            return out + text.len + 1;
        }
    } else if (text.len <= 32) {
        __m128i low = _mm_loadu_si128((const __m128i *)(const void *)text.ptr);
        __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(text.ptr + 16));
        uint64_t special = (unsigned)_mm_movemask_epi8(fmt_json_special16(low)) |
                           (unsigned)_mm_movemask_epi8(fmt_json_special16(high)) << 16;
        if (special << (64 - text.len) == 0) {
            _mm_storeu_si128((__m128i *)(void *)out, low);
            _mm_storeu_si128((__m128i *)(void *)(out + 16), high);
            out[text.len] = '"';
            return out + text.len + 1;
        }
    } else if (text.len <= 48) { /* the last sixteen overlap those before */
        __m128i low = _mm_loadu_si128((const __m128i *)(const void *)text.ptr);
        __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(text.ptr + 16));
        __m128i last = _mm_loadu_si128((const __m128i *)(const void *)(text.ptr + text.len - 16));
        __m128i special =
            _mm_or_si128(_mm_or_si128(fmt_json_special16(low), fmt_json_special16(high)),
                         fmt_json_special16(last));
        if (_mm_movemask_epi8(special) == 0) {
            _mm_storeu_si128((__m128i *)(void *)out, low);
            _mm_storeu_si128((__m128i *)(void *)(out + 16), high);
            _mm_storeu_si128((__m128i *)(void *)(out + text.len - 16), last);
            out[text.len] = '"';
            return out + text.len + 1;
        }
    }
#endif
    return fmt_json_value_long(json, out, text, max);
}

/* Sixteen bytes, of which so many count. */
static inline __attribute__((always_inline)) char *record_put16(char *out, struct span text)
{
    if (text.len > 16)
        return fmt_span(out, text);
    memcpy(out, text.ptr, 16);
    return out + text.len;
}

/* Ninety-six bytes are copied whatever counts of them: that needs neither a loop nor a call. */
static inline __attribute__((always_inline)) char *record_put_piece(char *out, const char *text,
                                                                    size_t len)
{
    fmt_copy96(out, text);
    for (size_t at = 96; at < len; at += 32)
        fmt_copy32(out + at, text + at);
    return out + len;
}

/* Numbers below a million without a call. */
static inline __attribute__((always_inline)) char *record_put_number(char *out, uint64_t value)
{
    if (value < 1000)
        return fmt_u64_short(out, (unsigned)value);
    return value < 1000000 ? fmt_u64_middle(out, (unsigned)value) : fmt_u64_long(out, value);
}

#define RECORD_PUT_TIME(out, name, us) record_put_number(FMT_LIT(out, ",\"" name "\":"), us)

#ifdef __SSE2__
/* The names of a query of up to 32 bytes; bits tell where a '&' or its end, and where one of them or a '=' stands. */
static inline __attribute__((always_inline)) char *record_put_names(char *out, struct span query,
                                                                    uint64_t ands, uint64_t stops)
{
    char *begin = out, *first = out = FMT_LIT(out, ",\"query\":[");
    for (size_t at = 0; at < query.len;) {
        size_t len = (size_t)__builtin_ctzll(stops >> at);
        if (len != 0) {
            *out++ = '"';
            memcpy(out, query.ptr + at, 16);
            if (len > 16)
                memcpy(out + 16, query.ptr + at + 16, 16);
            memcpy(out + len, "\",", 2);
            out += len + 2;
        }
        at += len;
        at += (size_t)__builtin_ctzll(ands >> at) + 1;
    }
    return out == first ? begin : close_list(out, first, ']');
}
#endif

/* Twenty-two characters of base64url. */
static inline __attribute__((always_inline)) char *record_put_hashed(char *out, const char *text)
{
    memcpy(out, text, 16);
    memcpy(out + RECORD_HASHED_LEN - 8, text + RECORD_HASHED_LEN - 8, 8);
    return out + RECORD_HASHED_LEN;
}

/* put_query of a text of which RECORD_USUAL_BEHIND bytes more may be read: one look at 32 bytes finds all its names, which
 * mostly are plain. */
static inline __attribute__((always_inline)) char *record_put_query(struct fmt_json *json,
                                                                    char *out, struct span query)
{
#ifdef __SSE2__
    if (query.len <= 32) {
        __m128i low = _mm_loadu_si128((const __m128i *)(const void *)query.ptr);
        __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(query.ptr + 16));
        const __m128i amp = _mm_set1_epi8('&'), equals = _mm_set1_epi8('=');
        __m128i low_and = _mm_cmpeq_epi8(low, amp), high_and = _mm_cmpeq_epi8(high, amp);
        __m128i low_stop = _mm_or_si128(low_and, _mm_cmpeq_epi8(low, equals));
        __m128i high_stop = _mm_or_si128(high_and, _mm_cmpeq_epi8(high, equals));
        uint64_t special = (unsigned)_mm_movemask_epi8(fmt_json_special16(low)) |
                           (unsigned)_mm_movemask_epi8(fmt_json_special16(high)) << 16;
        if (special << (64 - query.len) == 0) {
            const uint64_t end = UINT64_C(1) << query.len;
            uint64_t ands = (unsigned)_mm_movemask_epi8(low_and) |
                            (unsigned)_mm_movemask_epi8(high_and) << 16 | end;
            uint64_t stops = (unsigned)_mm_movemask_epi8(low_stop) |
                             (unsigned)_mm_movemask_epi8(high_stop) << 16 | end;
            return record_put_names(out, query, ands, stops);
        }
    }
#endif
    return put_query(json, out, query);
}

/* From behind the peer's address up to the host. */
struct record_intro {
    _Alignas(64) char text[48];
    unsigned len;
};
extern const struct record_intro record_intros[2][HTTP_METHOD_CONNECT + 1];

static inline __attribute__((always_inline)) char *
record_usual_request(char *out, struct fmt_json *json, const struct record_usual *u)
{
    out = record_memo_begin(u->memo, out, u->wall_us, u->generation);
    memcpy(out, u->id->hex, RECORD_ID_HEX);
    out = FMT_LIT(out + RECORD_ID_HEX, "\",\"client_ip\":\"");
    out = record_put16(out, u->client.len != 0 ? u->client : u->peer);
    out = FMT_LIT(out, "\",\"peer_ip\":\"");
    out = record_put16(out, u->peer);
    const struct record_intro *intro = &record_intros[u->minor][u->method_id];
    fmt_copy32(out, intro->text);
    fmt_copy16(out + 32, intro->text + 32);
    out = record_put_value(json, out + intro->len, u->host, HOST_MAX_BYTES);
    out = FMT_LIT(out, ",\"path\":\"");
    out = record_put_value(json, out, u->path, PATH_MAX_BYTES);
    if (u->query.len != 0)
        out = record_put_query(json, out, u->query);
    out = FMT_LIT(out, ",\"bytes_in\":");
    return record_put_number(out, u->bytes_in);
}

/* At `out` is room for RECORD_LINE_MAX. */
static inline __attribute__((always_inline)) char *record_usual_write(char *out,
                                                                      const struct record_usual *u)
{
    const struct record_frame_made made = record_frame_made(u);
    const struct record_tail_made tail_made = record_tail_made(u);
    const struct record_frame *frame = record_frame_at(u);
    const struct record_tail *tail = record_tail_at(u);
    if (!record_frame_is(frame, &made, u->server) || !record_tail_is(tail, &tail_made))
        return NULL;
    struct fmt_json json = {.end = out + RECORD_LINE_MAX / 2};
    out = record_usual_request(out, &json, u);
    out = record_put_piece(out, frame->routing, frame->routing_len);
    if (u->is_hashed)
        out = record_put_hashed(out, u->subject.ptr);
    else
        out = fmt_json_value(&json, out, u->subject, NAME_MAX_BYTES) - 1;
    out = record_put_piece(out, frame->window, frame->window_len);
    out = record_put_number(out, u->charge->readings[0].used);
    out = record_put_piece(out, tail->limit, tail->limit_len);
    out = record_put_number(out, u->bytes_out);
    fmt_copy32(out, tail->end);
    out += tail->end_len;
    out = RECORD_PUT_TIME(out, "t_header", u->t_header_us);
    out = RECORD_PUT_TIME(out, "t_store", u->t_store_us);
    if (u->t_connect_us != UINT64_MAX)
        out = RECORD_PUT_TIME(out, "t_connect", u->t_connect_us);
    if (u->t_first_us != UINT64_MAX)
        out = RECORD_PUT_TIME(out, "t_first", u->t_first_us);
    out = RECORD_PUT_TIME(out, "t_total", u->t_total_us);
    if (json.cut || json.bytes)
        return NULL;
    return FMT_LIT(out, "}\n");
}

#endif
