/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_refusal.c - see exchange_refusal.h. */
#include "exchange/exchange_refusal.h"

#include "exchange/exchange_private.h"
#include "http/http_write.h"

static enum reply_error_id refusal_error(const struct exchange_refusal *refusal)
{
    return (enum reply_error_id)exchange_ending(refusal->end)->error;
}

struct span exchange_refusal_write(struct exchange_env *env, struct exchange_refusal *refusal)
{
    const struct plan *plan = env->snapshot->plan;
    uint16_t status = reply_error_status(refusal_error(refusal));
    char body[REPLY_BODY_MAX], *at = env->out;
    struct span type;
    record_id_make(&refusal->id, &env->loop->rng);
    struct reply_error error = {.id = refusal_error(refusal), .request_id = refusal->id.hex};
    uint32_t retry_after_s = reply_retry_after(&plan->headers, 1, rng_u64(&env->loop->rng));
    error.retry_after_s = retry_after_s;
    size_t body_len = (size_t)(reply_error_body(body, plan->errors, false, &error, &type) - body);
    at = FMT_LIT(at, "HTTP/1.1 ");
    at = fmt_u64(at, status);
    *at++ = ' ';
    at = fmt_span(at, http_status_reason(status));
    at = FMT_LIT(at, "\r\n");
    at = exchange_write_date(env, at);
    at = FMT_LIT(at, "Content-Type: ");
    at = fmt_span(at, type);
    at = FMT_LIT(at, "\r\nX-request-id: ");
    if (plan->request_id_short)
        at = fmt_span(at, (struct span){refusal->id.hex, RECORD_ID_HEX});
    else
        at = record_id_write(at, &refusal->id, env->loop->wall_us, plan->request_id_host);
    at = FMT_LIT(at, "\r\nRetry-After: ");
    at = fmt_u64(at, retry_after_s);
    at = FMT_LIT(at, "\r\nConnection: close\r\nContent-Length: ");
    at = fmt_u64(at, body_len);
    at = FMT_LIT(at, "\r\n\r\n");
    at = fmt_span(at, (struct span){body, body_len});
    return (struct span){env->out, (size_t)(at - env->out)};
}

void exchange_refusal_record(struct exchange_env *env, const struct exchange_refusal *refusal,
                             size_t sent_bytes)
{
    const struct plan *plan = env->snapshot->plan;
    metrics_add(env->loop->metrics, env->slot_end[refusal->end], 1);
    char *line =
        span_eq(plan->log.access, SPAN("off")) ? NULL : loop_log_begin(env->ring, RECORD_LINE_MAX);
    if (line == NULL)
        return;
    const struct record_access record = {
        .memo = &env->lines,
        .wall_us = env->loop->wall_us,
        .generation = plan->generation,
        .id = refusal->id,
        .client_ip = refusal->peer_ip,
        .peer_ip = refusal->peer_ip,
        .peer_is_unix = refusal->peer_is_unix,
        .bytes_out = sent_bytes,
        .listener = refusal->listener->name,
        .status = sent_bytes == 0 ? 0 : reply_error_status(refusal_error(refusal)),
        .end = exchange_ending(refusal->end)->name,
        .t_header_us = UINT64_MAX,
        .t_store_us = UINT64_MAX,
        .t_connect_us = UINT64_MAX,
        .t_first_us = UINT64_MAX,
        .t_total_us = 0,
    };
    loop_log_commit(env->ring, (size_t)(record_access_write(line, &record) - line));
}
