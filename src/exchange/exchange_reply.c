/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_reply.c - what Sluice answers by itself, and the last step of every exchange.  Takes: an ending or a
 * configured response.  Gives: a whole response.  A small unread body is read away so that the connection
 * lives; a large one ends it. */
#include <string.h>

#include "base/base_fmt.h"
#include "exchange/exchange_private.h"
#include "http/http_write.h"

#define REPLY_DISCARD_MAX_BYTES 262144 /* beyond it a new connection is cheaper than reading on */

bool exchange_shows_limits(const struct exchange *x)
{
    return x->is_decided && x->ask.decision.has_binding && x->route->headers.dialects != 0;
}

bool exchange_asks_debug(const struct exchange *x)
{
    unsigned from = 0;
    const struct http_field *field =
        http_head_next_named(&x->head, HTTP_FIELD_OTHER, SPAN("x-apig-mode"), &from);
    return field != NULL && span_eq_nocase(http_field_value(&x->head, field), SPAN("debug"));
}

char *exchange_write_own_fields(struct exchange *x, char *out)
{
    out = exchange_put_id_line(x, out);
    if (x->is_decided)
        out =
            reply_limit_fields_kept(out, &x->route->headers, exchange_dialects(x), &x->ask.decision,
                                    x->ask.charges, x->ask.count, &x->env->lines.numbers);
    return out;
}

char *exchange_write_date(struct exchange_env *env, char *out)
{
    uint64_t now_s = env->loop->wall_us / 1000000;
    if (env->date_s != now_s) {
        fmt_http_date(env->date, now_s);
        env->date_s = now_s;
    }
    out = FMT_LIT(out, "Date: ");
    out = fmt_span(out, (struct span){env->date, FMT_DATE_MAX});
    return FMT_LIT(out, "\r\n");
}

/* Can what is left of the request's body be read away cheaply?  A client that waits for 100-continue may
 * never send it. */
static bool exchange_can_discard(const struct exchange *x)
{
    if (x->framing.expect_continue || x->must_close)
        return false;
    return x->framing.kind == HTTP_BODY_LENGTH &&
           x->framing.length_bytes - x->body_bytes <= REPLY_DISCARD_MAX_BYTES;
}

/* Seconds to wait, spread as the route's headers or the common ones say. */
static uint32_t exchange_jitter(struct exchange *x, uint32_t seconds)
{
    const struct reply_headers *headers =
        x->route != NULL ? &x->route->headers : &x->snapshot->plan->headers;
    if (headers->jitter_percent == 0 && headers->jitter_us == 0)
        return seconds;
    return reply_retry_after(headers, seconds, rng_u64(&x->env->loop->rng));
}

/* The fields of a whole response, at `out`. */
static struct span exchange_write_fields(struct exchange *x, char *out, uint16_t status,
                                         struct span content_type, struct span body)
{
    const struct plan_rewrite_rules *rules = exchange_own_rules(x);
    bool is_bodiless = status == 204 || status == 304;
    char *at = exchange_write_date(x->env, out);
    if (body.len != 0 && !is_bodiless && exchange_own_keeps(rules, SPAN("content-type"))) {
        at = FMT_LIT(at, "Content-Type: ");
        at = fmt_span(at, content_type);
        at = FMT_LIT(at, "\r\n");
    }
    at = exchange_write_own_fields(x, at);
    if (status == 503 && !(x->is_decided && x->ask.decision.retry_after_s != 0)) {
        at = FMT_LIT(at, "Retry-After: ");
        at = fmt_u64(at, x->retry_after_s != 0 ? x->retry_after_s : exchange_jitter(x, 1));
        at = FMT_LIT(at, "\r\n");
    }
    /* RFC 9110 section 15.5.6: OPTIONS is what Sluice itself answers */
    if (status == 405 && exchange_own_keeps(rules, SPAN("allow")))
        at = FMT_LIT(at, "Allow: OPTIONS\r\n");
    if (!is_bodiless) {
        at = FMT_LIT(at, "Content-Length: ");
        at = fmt_u64(at, body.len);
        at = FMT_LIT(at, "\r\n");
    }
    at = exchange_rewrite_own(x, at);
    return (struct span){out, (size_t)(at - out)};
}

enum step_result exchange_reply(struct exchange *x, uint16_t status, struct span content_type,
                                struct span body)
{
    const struct plan_rewrite_rules *rules = exchange_own_rules(x);
    char *out = x->ops->begin_head(x->client, status, http_status_reason(status),
                                   exchange_own_fields_max(x) + content_type.len + 256 +
                                       (rules == NULL ? 0 : rules->max_bytes));
    if (out == NULL)
        return exchange_fail(x, END_INTERNAL);
    bool is_head = x->has_head && x->head.method_id == HTTP_METHOD_HEAD;
    bool is_bodiless = status == 204 || status == 304;
    if (!exchange_has_read_all(x)) {
        x->is_discarding = exchange_can_discard(x);
        x->must_close = !x->is_discarding;
    }
    const struct exchange_response response = {
        .fields = exchange_write_fields(x, out, status, content_type, body),
        .kind = is_bodiless || is_head ? HTTP_BODY_NONE : HTTP_BODY_LENGTH,
        .must_close = x->must_close,
    };
    x->status = status;
    x->response_begun = true;
    x->ops->send_head(x->client, &response);
    if (response.kind == HTTP_BODY_LENGTH && body.len != 0)
        x->ops->send_data(x->client, body);
    x->ops->send_end(x->client, SPAN_NONE);
    x->response_done = true;
    if (x->is_after_refusal && x->end == END_LIMITED)
        exchange_early_learn(x, response.fields, body);
    x->ops->flush(x->client);
    x->step = EXCHANGE_STEP_FINISH;
    return STEP_AGAIN;
}

/* Does Accept ask for another form of the dialect's bodies? */
static bool exchange_prefers_xml(const struct exchange *x, const struct reply_body_dialect *dialect)
{
    return dialect->has_xml && x->has_head &&
           reply_prefers_xml(&x->head, dialect->own.content_type);
}

static enum step_result exchange_reply_error(struct exchange *x, enum reply_error_id id)
{
    const struct reply_body_dialect *dialect =
        x->route != NULL ? x->route->errors : x->snapshot->plan->errors;
    struct quota_decision *decision = &x->ask.decision;
    char room[REPLY_BODY_MAX];
    struct span type, body;
    struct reply_error error = {.id = id, .request_id = x->id.hex};
    if (x->is_decided && decision->retry_after_s != 0) {
        /* Once, so that header, body and log say the same. */
        decision->retry_after_s = exchange_jitter(x, decision->retry_after_s);
        error.retry_after_s = decision->retry_after_s;
    } else if (reply_error_status(id) == 503) {
        error.retry_after_s = x->retry_after_s = exchange_jitter(x, 1);
    }
    bool prefers_xml = exchange_prefers_xml(x, dialect);
    if (id == REPLY_ERROR_THROTTLED) {
        error.decision = decision;
        error.charges = x->ask.charges;
        error.charge_count = x->ask.count;
        body = reply_refusal_body(&x->env->refusal, x->snapshot->plan->generation, room, dialect,
                                  prefers_xml, &error, &type);
    } else {
        char *end = reply_error_body(room, dialect, prefers_xml, &error, &type);
        body = (struct span){room, (size_t)(end - room)};
    }
    return exchange_reply(x, reply_error_status(id), type, body);
}

enum step_result exchange_fail(struct exchange *x, enum exchange_end end)
{
    const struct exchange_ending *ending = exchange_ending(end);
    x->end = end;
    if (x->is_deciding) {
        lease_cancel(x->env->lease, &x->ask);
        x->is_deciding = false;
    }
    exchange_cancel_lookups(x);
    exchange_leave_upstream(x);
    loop_task_cancel(&x->task);
    if (x->response_begun || ending->error < 0) {
        x->after = EXCHANGE_ABORT;
        return STEP_END;
    }
    if (!x->has_head || x->fault.id != HTTP_FAULT_NONE)
        x->must_close = true;
    return exchange_reply_error(x, (enum reply_error_id)ending->error);
}

/* ---- FINISH ---- */

/* False while there is more to come. */
static bool exchange_discard(struct exchange *x)
{
    struct span data;
    for (;;) {
        switch (x->ops->read_body(x->client, &data, &x->fault, &x->arena)) {
        case EXCHANGE_BODY_DATA:
            break;
        case EXCHANGE_BODY_WAIT:
            return false;
        case EXCHANGE_BODY_DONE:
            return true;
        default:
            x->must_close = true;
            return true;
        }
    }
}

enum step_result exchange_step_finish(struct exchange *x)
{
    if (x->is_discarding && !exchange_discard(x))
        return STEP_WAIT;
    x->is_discarding = false;
    if (x->ops->is_blocked(x->client))
        return STEP_WAIT;
    x->after = x->must_close ? EXCHANGE_CLOSE : EXCHANGE_KEEP;
    return STEP_END;
}
