/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_private.h - what the files of this module tell each other; included nowhere else. */
#ifndef SLUICE_EXCHANGE_PRIVATE_H
#define SLUICE_EXCHANGE_PRIVATE_H

#include "exchange/exchange.h"
#include "record/record_usual.h"

_Static_assert(LEASE_SHADOW_ID == RECORD_ID_HEX, "a shadow's event names the request");
_Static_assert(REPLY_ID_BYTES == RECORD_ID_HEX, "a body carries the whole id");

enum step_result {
    STEP_NEXT,  /* on to the following step */
    STEP_AGAIN, /* x->step was set to the one to go on with */
    STEP_WAIT,  /* something will call exchange_run */
    STEP_END,   /* the exchange is over */
};

enum step_result exchange_step_route(struct exchange *x);
enum step_result exchange_step_lookup(struct exchange *x);
enum step_result exchange_step_identify(struct exchange *x);
enum step_result exchange_step_decide(struct exchange *x);
enum step_result exchange_step_respond(struct exchange *x);
enum step_result exchange_step_buffer(struct exchange *x);
enum step_result exchange_step_connect(struct exchange *x);
enum step_result exchange_step_send(struct exchange *x);
enum step_result exchange_step_relay(struct exchange *x);
enum step_result exchange_step_tunnel(struct exchange *x);
enum step_result exchange_step_finish(struct exchange *x);

/* End with this ending: our own answer when none has begun and the ending has one, a visible break of the
 * client's connection when one has. */
enum step_result exchange_fail(struct exchange *x, enum exchange_end end);

/* A whole response of our own; then on to FINISH. */
enum step_result exchange_reply(struct exchange *x, uint16_t status, struct span content_type,
                                struct span body);

/* Header lines that every response of ours or of a server gets: request id and limits. */
char *exchange_write_own_fields(struct exchange *x, char *out);
/* "X-request-id: ...\r\n"; as long for all ids of a plan until the year 2286. */
char *exchange_write_id_line(struct exchange_env *env, const struct plan *plan,
                             const struct record_id *id, char *out);
/* The id that the client gave and that is not ours; empty: none that is worth a log field. */
struct span exchange_parent_id(const struct http_head *head);
/* The line "Date: ..." of this second. */
char *exchange_write_date(struct exchange_env *env, char *out);
#define EXCHANGE_OWN_FIELDS_MAX (RECORD_ID_MAX + 20 + FMT_DATE_MAX + 8) /* without limits */
static inline size_t exchange_own_fields_max(const struct exchange *x)
{
    uint32_t dialects = x->route != NULL ? x->route->headers.dialects : 0;
    return EXCHANGE_OWN_FIELDS_MAX + reply_limits_max(dialects);
}

/* The peer's address as the server and the log are told it. */
void exchange_make_peer_text(struct exchange *x);
static inline struct span exchange_peer_text(struct exchange *x)
{
    if (x->peer_text_len == 0)
        exchange_make_peer_text(x);
    return (struct span){x->peer_text, x->peer_text_len};
}

/* Bytes that may be read behind the end of an exchange's texts: those of its head, and its peer's address. */
#define EXCHANGE_BEHIND 32
_Static_assert(EXCHANGE_BEHIND == RECORD_USUAL_BEHIND, "the log line relies on it");
_Static_assert(EXCHANGE_PEER_TEXT >= IP_TEXT_MAX + EXCHANGE_BEHIND, "of any address");

_Static_assert(EXCHANGE_HEAD_MORE >= EXCHANGE_BEHIND, "what may be written behind it may be read");

/* Are sixteen bytes the same?  A memcmp is called where the compiler takes a way for rare. */
static inline bool exchange_same16(const void *a, const void *b)
{
    uint64_t x[2], y[2];
    memcpy(x, a, sizeof(x));
    memcpy(y, b, sizeof(y));
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

/* How an address is written, until another one is asked for. */
const struct exchange_peer *exchange_find_peer(struct exchange_env *env, const struct ip *ip);

/* The line "X-request-id: ..."; room is needed for all of x->id_line. */
static inline char *exchange_put_id_line(const struct exchange *x, char *out)
{
    memcpy(out, x->id_line, EXCHANGE_ID_LINE_USUAL);
    if (x->id_line_len > EXCHANGE_ID_LINE_USUAL)
        memcpy(out, x->id_line, sizeof(x->id_line));
    return out + x->id_line_len;
}

/* The dialects of headers that this request gets: those of its route, x-apig only when it asks for it. */
bool exchange_asks_debug(const struct exchange *x);
static inline uint32_t exchange_dialects(const struct exchange *x)
{
    uint32_t dialects = x->route->headers.dialects;
    if ((dialects & REPLY_X_APIG) != 0 && !exchange_asks_debug(x))
        dialects &= ~(uint32_t)REPLY_X_APIG;
    return dialects;
}

/* May the response carry the rate-limit fields of this exchange? */
bool exchange_shows_limits(const struct exchange *x);

/* Room for composing, until the next call: the worker's buffer, or the arena when that is too small.  NULL: no
 * memory. */
char *exchange_room(struct exchange *x, size_t bytes);

/* Give the server's connection back, or close it. */
void exchange_leave_upstream(struct exchange *x);

/* Every server is full: stand in line.  False: that is full too, or there is no memory (x->end says). */
bool exchange_wait_in_line(struct exchange *x);
/* It has what it waited for, or waits no longer. */
void exchange_wait_is_over(struct exchange *x, bool is_served);
struct upstream_waiter *exchange_waiter(const struct exchange *x);
/* By what the server is chosen, where its upstream hashes an identity; false: the request does not have it. */
bool exchange_hash_key(struct exchange *x, uint64_t *key);

/* The PROXY header of this version that names the client, in exchange_room. */
struct span exchange_name_client(struct exchange *x, enum net_proxy_version version);

enum exchange_buffering {
    EXCHANGE_BUFFER_READS,
    EXCHANGE_BUFFER_BEGIN, /* nothing more is read into it: it has the body's begin, the rest is still to come */
    EXCHANGE_BUFFER_WHOLE, /* it has all of the body; trailers are set */
};

/* A request's body, read before a server is asked.  Owner: the exchange, in its arena; the bytes are malloc'ed and counted in
 * env->body_bytes.  Freed by: exchange_drop_buffered.  Thread: the worker's. */
struct exchange_buffered {
    char *bytes;
    size_t len, size;
    size_t sent; /* of len */
    enum exchange_buffering state;
    struct span trailers;
    uint64_t began_us;
};

/* What read_body of the client would say of what was buffered, and beyond it.  Where x->buffered. */
enum exchange_body exchange_read_buffered(struct exchange *x, struct span *data);
/* It is sent once more, from its begin. */
void exchange_rewind_buffered(struct exchange *x);
void exchange_drop_buffered(struct exchange *x);
/* Has all of the request been read, so that its connection can go on whatever becomes of it? */
static inline bool exchange_has_read_all(const struct exchange *x)
{
    return x->request_done || (x->buffered != NULL && x->buffered->state == EXCHANGE_BUFFER_WHOLE);
}
/* The next part of the body, wherever it is. */
static inline enum exchange_body exchange_read_body(struct exchange *x, struct span *data)
{
    if (x->buffered != NULL)
        return exchange_read_buffered(x, data);
    return x->ops->read_body(x->client, data, &x->fault, &x->arena);
}

/* Send the request once more on a fresh connection. */
enum step_result exchange_retry(struct exchange *x);
bool exchange_is_replayable(const struct exchange *x);

/* Clients that may have gone unseen (exchange_look.c). */
void exchange_look_init(struct exchange_env *env);
void exchange_look_fini(struct exchange_env *env);

/* Where the route changes what it passes on (exchange_rewrite.c).  Of a request (x->route->rewrite is not NULL): the bytes that
 * this adds to its head, its fields, and whether a trailer has the name of a header that is set or removed. */
size_t exchange_rewrite_max(const struct plan_rewrite *rewrite);
char *exchange_rewrite_request(struct exchange *x, char *at, uint64_t drop);
bool exchange_rewrites_trailer(const struct exchange *x, struct span trailers);
/* Of a response (x->route->response_rules is not NULL): its fields and its trailers; an interim one only loses some. */
char *exchange_rewrite_response(struct exchange *x, char *at, const struct http_head *head,
                                uint64_t drop, bool is_interim);
struct span exchange_rewrite_trailers(struct exchange *x, struct span trailers);
/* Of what Sluice answers by itself: the rules for it, NULL for none, whether they leave its own line of that name there, and
 * their lines. */
const struct plan_rewrite_rules *exchange_own_rules(const struct exchange *x);
bool exchange_own_keeps(const struct plan_rewrite_rules *rules, struct span name);
char *exchange_rewrite_own(struct exchange *x, char *at);

/* What the request asks for beside HTTP, as far as its route lists it; false and x->fault when it asks in a way
 * that is malformed. */
bool exchange_offer_upgrade(struct exchange *x);
/* The trailers of a request: false and x->fault when one of them is named like a header that callers are told by. */
bool exchange_judge_trailers(struct exchange *x, struct span trailers);
/* The two header lines of an offer; within what send_head_bytes allows, since the client sent them too. */
char *exchange_write_offer(const struct exchange *x, char *out);
/* Is this 101 the answer to the offer?  NONE and the protocol, or the fault. */
enum http_fault_id exchange_judge_upgrade(struct exchange *x, const struct http_head *response,
                                          struct span *protocol);
/* The 101 has been handed to the client. */
void exchange_open_tunnel(struct exchange *x);

/* Does this quota not count this request? */
enum exchange_exemption {
    EXCHANGE_COUNTED,
    EXCHANGE_EXEMPT,
    EXCHANGE_EXEMPT_UNKNOWN, /* no memory to tell */
};
enum exchange_exemption exchange_exempt_request(const struct exchange *x,
                                                const struct quota *quota);
enum exchange_exemption exchange_exempt_subject(struct exchange *x, const struct quota *quota,
                                                struct exchange_subject *const *parts);

/* A slot of this quota belongs to what the request needs; false: no memory. */
bool exchange_add_slot(struct exchange *x, const struct quota *quota, const uint8_t key[16]);
/* Of an exchange with ask.hold: the metrics of the quotas that decided by slots. */
void exchange_count_slots(struct exchange *x);
/* What the log says of them; at most QUOTA_MAX_PER_ROUTE. */
unsigned exchange_list_slots(const struct exchange *x, const struct quota_slot **slots);
/* The exchange is over. */
void exchange_give_slots_back(struct exchange *x);

/* Try the quotas in shadow, once the request is admitted. */
void exchange_ask_shadows(struct exchange *x);
/* The response's own word about what the request cost, where the route listens to it. */
void exchange_note_cost(struct exchange *x, const struct http_head *head);
/* The final status is known, or that there will be none: correct what was charged, once. */
void exchange_settle_now(struct exchange *x);
static inline void exchange_settle(struct exchange *x)
{
    const bool may_differ =
        x->has_claims || x->has_cost || x->shadow_count != 0 || x->ask.count > 1 ||
        (x->ask.count == 1 && x->is_decided && quota_has_charge_on(x->ask.charges[0].quota));
    if (!x->is_settled && may_differ)
        exchange_settle_now(x);
    x->is_settled = true;
}
/* The exchange is over: the same for quotas in shadow. */
void exchange_leave_shadows(struct exchange *x);

/* Room for all identities of the route's quotas; false: no memory. */
bool exchange_make_subjects(struct exchange *x);
/* The identity of that number, extracted when it is first needed. */
struct exchange_subject *exchange_subject(struct exchange *x, uint16_t index);

/* Where something was looked up (x->lookups): the project that the request's token is of; empty: unknown. */
struct span exchange_project(const struct exchange *x);
/* The tier that the store names for the caller, in a quota with live members; NULL: none. */
const struct quota_tier *exchange_live_tier(struct exchange *x, const struct quota *quota);
/* Likewise: when the request began to wait for the store. */
uint64_t exchange_waits_since(const struct exchange *x);
/* Nobody waits for the answers any longer. */
void exchange_cancel_lookups(struct exchange *x);

/* Can the next part of this body pass through a pipe?  Then let it: *event or *body tell as upstream_conn_read and
 * read_body do, but DATA have been sent and counted.  False: read it. */
bool exchange_pass_response(struct exchange *x, enum upstream_event *event);
bool exchange_pass_request(struct exchange *x, enum exchange_body *body);

/* A response on a route that learns: its head, its data before they are passed on, its end. */
void exchange_learn_head(struct exchange *x, const struct upstream_reading *reading);
void exchange_learn_data(struct exchange *x, struct span data);
void exchange_learn_end(struct exchange *x);

/* What the log shows of a value that was found. */
struct span exchange_subject_text(const struct identity_value *value,
                                  const struct identity_mark *mark);

/* The keyed hash of one subject, made when it is first needed. */
bool exchange_subject_mark(struct exchange *x, struct exchange_subject *subject);

/* The tier of the caller in a quota that has tiers; NULL: no memory. */
const struct quota_tier *exchange_find_tier(struct exchange *x, const struct quota *quota,
                                            struct exchange_subject *const *parts);

/* The subjects of a quota's key are found: see which of them a client can make up, and ask the buckets of those that
 * nobody has accepted. */
struct exchange_claims {
    bool has_any, is_guarded; /* as in struct quota_charge */
};
enum exchange_end exchange_find_claims(struct exchange *x, const struct quota *quota,
                                       struct exchange_subject *const *parts,
                                       struct exchange_claims *claims);
/* May this quota in shadow be tried: has each of its claimed subjects been accepted, or passed its bucket? */
bool exchange_may_try(const struct exchange *x, const struct quota *quota);
/* A server has answered that it does not know who this is. */
bool exchange_is_rejected(const struct exchange *x);
/* The outcome is known: remember who was accepted, give back what their buckets took. */
void exchange_settle_claims(struct exchange *x);

/* Whom a quota counts the request for, as log lines and `sluice show` have it: the values of its key with commas between
 * them; *tag is the kind of the last. */
#define EXCHANGE_CALLER_BYTES 512 /* of several values; what is longer is cut */
struct span exchange_name_caller(struct exchange *x, const struct quota *quota,
                                 char room[EXCHANGE_CALLER_BYTES], uint8_t *tag);

/* A quota has refused it: keep who it was and by what. */
void exchange_keep_refused(struct exchange *x);
static inline void exchange_note_refused(struct exchange *x)
{
    if (record_refused_may(x->env->refused, x->env->loop->mono_us))
        exchange_keep_refused(x);
}

/* One more decision of this quota about this subject, which x names. */
void exchange_top_admit(struct exchange *x, struct metrics_top *top, const struct quota *quota,
                        const uint8_t *key, bool is_refused);
/* Which of its windows refused, or stand at 80 % and more behind the charge. */
static inline void exchange_count_windows(struct metrics_block *metrics,
                                          const struct quota_charge *charge, bool is_refused)
{
    const struct quota *quota = charge->quota;
    for (unsigned w = 0; w < quota->limit_count; w++) {
        const struct quota_reading *reading = &charge->readings[w];
        if (is_refused && reading->refused)
            metrics_add(metrics, quota->slot_window_refused[w], 1);
        else if (!is_refused && quota_reading_is_near(quota, reading))
            metrics_add(metrics, quota->slot_window_near[w], 1);
    }
}

static inline void exchange_top_note(struct exchange *x, const struct quota *quota,
                                     const uint8_t *key, bool is_refused)
{
    struct metrics_top *top = exchange_top_of(x->env->top, quota->slot_allow);
    if (top != NULL && !metrics_top_count(top, key, is_refused, x->env->loop->mono_us))
        exchange_top_admit(x, top, quota, key, is_refused);
}

/* Log line and counters of a finished exchange. */
void exchange_record(struct exchange *x);

#endif
