/* SPDX-License-Identifier: Apache-2.0 */
/* reply.h - what Sluice itself says: error bodies and rate-limit header lines.  Takes: a decision or an
 * error row.  Gives: bytes into the caller's buffer.  Pure. */
#ifndef SLUICE_REPLY_REPLY_H
#define SLUICE_REPLY_REPLY_H

#include "base/base_arena.h"
#include "base/base_fmt_memo.h"
#include "http/http_head.h"
#include "quota/quota.h"

/* Dialects of headers, as bits: several may be on at once. */
enum reply_dialect {
    REPLY_X_RATELIMIT = 1,
    REPLY_IETF = 2,
    REPLY_X_APIG = 4, /* only for requests that say "X-Apig-Mode: debug": the caller's to look at */
    REPLY_GITHUB = 8,
};

struct reply_headers {
    uint32_t dialects;     /* reply_dialect bits */
    bool used_is_consumed; /* X-ratelimit-used: false = remaining (the documented meaning) */
    uint32_t jitter_percent;
    uint64_t jitter_us; /* only one of the two is not 0 */
};

/* The header lines of `dialects` for the decision; last "X-ratelimit: 100\r\n..." all three or none, as with every
 * dialect (no binding window, or the dialect is off).  A refusal, QUOTA_UNAVAILABLE too, also gets
 * "Retry-After: N" when retry_after_s is not 0, whatever the dialects; the caller writes none then.  At most
 * reply_limits_max(dialects) bytes.  Returns the byte after. */
#define REPLY_LIMITS_MAX       256   /* of the trio and Retry-After */
#define REPLY_LIMITS_OTHER_MAX 12288 /* of all other dialects together */
char *reply_trio_fields(char *out, const struct reply_headers *headers, uint32_t dialects,
                        const struct quota_decision *decision, const struct quota_charge *charges,
                        struct fmt_memo *numbers);
char *reply_other_fields(char *out, uint32_t dialects, const struct quota_decision *decision,
                         const struct quota_charge *charges, unsigned count);
/* numbers: the caller's, for limits that come again and again; may be NULL. */
static inline char *reply_limit_fields_kept(char *out, const struct reply_headers *headers,
                                            uint32_t dialects,
                                            const struct quota_decision *decision,
                                            const struct quota_charge *charges, unsigned count,
                                            struct fmt_memo *numbers)
{
    if (dialects > REPLY_X_RATELIMIT && decision->has_binding)
        out = reply_other_fields(out, dialects, decision, charges, count);
    return reply_trio_fields(out, headers, dialects, decision, charges, numbers);
}
static inline char *reply_limit_fields(char *out, const struct reply_headers *headers,
                                       uint32_t dialects, const struct quota_decision *decision,
                                       const struct quota_charge *charges, unsigned count)
{
    return reply_limit_fields_kept(out, headers, dialects, decision, charges, count, NULL);
}
static inline size_t reply_limits_max(uint32_t dialects)
{
    bool has_others = (dialects & ~(uint32_t)REPLY_X_RATELIMIT) != 0;
    return REPLY_LIMITS_MAX + (has_others ? REPLY_LIMITS_OTHER_MAX : 0);
}

/* HTTP_FIELD_BITs of the server's own fields that these dialects replace.  Fields of X-Apig-RateLimit-* must have
 * been given their id (http_head_mark).  RateLimit and RateLimit-Policy are lists that both sides may add to:
 * they are kept, unless they are malformed and would spoil ours. */
uint64_t reply_replaced_by_others(uint32_t dialects, const struct http_head *response);
static inline uint64_t reply_replaced_fields(uint32_t dialects, const struct http_head *response)
{
    const uint64_t trio = HTTP_FIELD_BIT(HTTP_FIELD_X_RATELIMIT) |
                          HTTP_FIELD_BIT(HTTP_FIELD_X_RATELIMIT_USED) |
                          HTTP_FIELD_BIT(HTTP_FIELD_X_RATELIMIT_WINDOW);
    uint64_t replaced = (dialects & REPLY_X_RATELIMIT) != 0 ? trio : 0;
    return dialects <= REPLY_X_RATELIMIT ? replaced
                                         : replaced | reply_replaced_by_others(dialects, response);
}

/* Seconds to wait with the jitter added, evenly spread by the random number; never fewer than `seconds`. */
uint32_t reply_retry_after(const struct reply_headers *headers, uint32_t seconds, uint64_t random);

/* Our own errors: rows of reply_errors.def {id, status, number, message}. */
enum reply_error_id {
#define REPLY_ERROR(id, status, number, message) REPLY_ERROR_##id,
#include "reply/reply_errors.def"
#undef REPLY_ERROR
    REPLY_ERRORS
};
uint16_t reply_error_status(enum reply_error_id id);

#define REPLY_ID_BYTES 32

/* What is wrong, and with what. */
struct reply_error {
    enum reply_error_id id;
    struct span message;    /* empty: the row's */
    const char *request_id; /* REPLY_ID_BYTES of hex: copied as they are */
    uint32_t retry_after_s; /* as the header says it; 0: there is none */
    /* Of a refusal by quotas; else NULL and 0. */
    const struct quota_decision *decision;
    const struct quota_charge *charges;
    unsigned charge_count;
};

/* ---- dialects of bodies ---- */

enum reply_variable {
#define VARIABLE(id, name, form, max) REPLY_VARIABLE_##id,
#include "reply/reply_variables.def"
#undef VARIABLE
    REPLY_VARIABLES
};

enum reply_escape {
    REPLY_ESCAPE_NONE, /* plain text: control bytes become spaces */
    REPLY_ESCAPE_JSON,
    REPLY_ESCAPE_XML,
};

/* A literal run and the value behind it. */
struct reply_part {
    struct span before;
    uint8_t variable; /* enum reply_variable; REPLY_VARIABLES: nothing */
    bool is_whole;    /* a JSON number or list, without quotation marks */
};

/* Owner: the arena it was compiled into.  Thread: const once compiled. */
struct reply_template {
    const struct reply_part *parts;
    unsigned count;
    enum reply_escape escape;
    bool is_steady; /* of all refusals by one window: only the request's id differs */
    size_t max_bytes;
};

/* One way to write it, and the same when a quota refused. */
struct reply_body {
    struct span content_type; /* behind it a line "Vary: Accept" when the body depends on that */
    struct reply_template plain, throttled;
};

/* A dialect of error bodies.  Owner: the plan's arena.  Thread: const once compiled. */
struct reply_body_dialect {
    struct span name;
    struct span like; /* the built-in one that it is but for prefix and id; empty: a template */
    struct span prefix, type; /* of codes; the media type of `own`, bare */
    bool has_xml;             /* clients that prefer it get `xml` */
    struct reply_body own, xml;
};

enum reply_dialect_id {
#define DIALECT(id, name, prefix, type, without, body, throttled) REPLY_DIALECT_##id,
#include "reply/reply_dialects.def"
#undef DIALECT
    REPLY_DIALECTS
};
extern const char *const REPLY_DIALECT_NAMES[]; /* by id, ended by NULL */

/* As configured: like one of the dialects above, or a template of its own. */
struct reply_dialect_conf {
    struct span name;
    uint32_t like;             /* enum reply_dialect_id, unless there is a template */
    struct span prefix;        /* empty: that of `like`, else "APIG" */
    bool with_request_id;      /* of `like`, where it has one */
    struct span template_json; /* compact JSON; a string is a template of plain text */
    struct span content_type;  /* of the template; empty: JSON's or plain text's */
};

#define REPLY_TEMPLATE_MAX 4096 /* bytes */

/* NULL, or what is wrong with it.  with_xml: also for clients that prefer XML. */
const char *reply_dialect_compile(struct reply_body_dialect *dialect,
                                  const struct reply_dialect_conf *conf, bool with_xml,
                                  struct arena *arena);

/* At most REPLY_BODY_MAX bytes; a text that is too long is cut, the body is whole nevertheless.  `type` is the
 * value of Content-Type.  prefers_xml: as reply_prefers_xml tells. */
#define REPLY_BODY_MAX 8192
char *reply_error_body(char *out, const struct reply_body_dialect *dialect, bool prefers_xml,
                       const struct reply_error *error, struct span *type);

/* Where the request's id stands in a body. */
#define REPLY_IDS_MAX 4
struct reply_ids {
    unsigned count; /* above REPLY_IDS_MAX: there are more */
    uint16_t at[REPLY_IDS_MAX];
};

/* The refusal that was written last.  Owner: a worker.  All zeroes is an empty one. */
struct reply_memo {
    const struct reply_template *template; /* NULL: none */
    const struct quota *quota;
    uint32_t generation, limit, len;
    uint8_t window;
    struct reply_ids ids;
    char body[1024];
};

/* reply_error_body of a refusal by a quota, with reply_throttle_message: REPLY_ERROR_THROTTLED with a decision, its message
 * empty.  The templates and quotas of one generation stay where they are.  The body stands in the memo or in `room`
 * (REPLY_BODY_MAX bytes) until the next call. */
struct span reply_refusal_body(struct reply_memo *memo, uint32_t generation, char *room,
                               const struct reply_body_dialect *dialect, bool prefers_xml,
                               struct reply_error *error, struct span *type);

/* Does the client prefer application/xml to this media type (RFC 9110 section 12.5.1)?  A malformed Accept says
 * nothing. */
bool reply_prefers_xml(const struct http_head *request, struct span type);

/* "The throttling threshold has been reached: policy NAME over ratelimit,limit:N,time:K unit" for the
 * binding window of a refusal, "time:in flight" when all slots are taken; without either the sentence alone.  Not escaped.  At most
 * REPLY_MESSAGE_MAX bytes (a longer quota name is cut). */
#define REPLY_MESSAGE_MAX 320
char *reply_throttle_message(char *out, const struct quota_decision *decision,
                             const struct quota_charge *charges);

#endif
