/* SPDX-License-Identifier: Apache-2.0 */
/* reply.h - what Sluice itself says: error bodies and rate-limit header lines.  Takes: a decision or an
 * error row.  Gives: bytes into the caller's buffer.  Pure. */
#ifndef SLUICE_REPLY_REPLY_H
#define SLUICE_REPLY_REPLY_H

#include "base/base_span.h"
#include "quota/quota.h"

/* Dialects of headers, as bits: several may be on at once. */
enum reply_dialect {
    REPLY_X_RATELIMIT = 1,
};

struct reply_headers {
    uint32_t dialects;     /* reply_dialect bits */
    bool used_is_consumed; /* X-ratelimit-used: false = remaining (the documented meaning) */
};

/* Header lines "X-ratelimit: 100\r\n..." for the decision: all three or none (no binding window, or the
 * dialect is off).  A refusal, QUOTA_UNAVAILABLE too, also gets "Retry-After: N" when retry_after_s is
 * not 0, whatever the dialects; the caller writes none then.  At most REPLY_LIMITS_MAX bytes.  Returns
 * the byte after. */
#define REPLY_LIMITS_MAX 256
char *reply_limit_fields(char *out, const struct reply_headers *headers,
                         const struct quota_decision *decision, const struct quota_charge *charges);

/* Our own errors: rows of reply_errors.def {id, status, number, message}. */
enum reply_error_id {
#define REPLY_ERROR(id, status, number, message) REPLY_ERROR_##id,
#include "reply/reply_errors.def"
#undef REPLY_ERROR
    REPLY_ERRORS
};
uint16_t reply_error_status(enum reply_error_id id);

struct reply_error {
    enum reply_error_id id;
    struct span message;    /* empty: the row's */
    struct span request_id; /* 32 hex; empty: the member is left out */
};

/* A body dialect; `apig` is {"error_code":"APIG.0308","error_msg":"...","request_id":"..."}. */
struct reply_body_dialect {
    struct span prefix; /* "APIG" */
};
extern const struct reply_body_dialect REPLY_APIG;

/* Always whole JSON of at most REPLY_BODY_MAX bytes: a longer text is cut. */
#define REPLY_BODY_MAX 1024
char *reply_error_body(char *out, const struct reply_body_dialect *dialect,
                       const struct reply_error *error);

/* "The throttling threshold has been reached: policy NAME over ratelimit,limit:N,time:K unit" for the
 * binding window of a refusal; without one the sentence alone.  Not escaped.  At most
 * REPLY_MESSAGE_MAX bytes (a longer quota name is cut). */
#define REPLY_MESSAGE_MAX 320
char *reply_throttle_message(char *out, const struct quota_decision *decision,
                             const struct quota_charge *charges);

#endif
