/* SPDX-License-Identifier: Apache-2.0 */
/* reply_limits.c - takes: a decision.  Gives: the header lines that tell a client where it stands, and the
 * sentence of a refusal.  Never: decides, or shows a part of the trio. */
#include "reply/reply.h"

#include <assert.h>

#include "base/base_fmt.h"

static bool is_refusal(enum quota_verdict verdict)
{
    return verdict == QUOTA_REFUSE || verdict == QUOTA_DEGRADED_REFUSE ||
           verdict == QUOTA_UNAVAILABLE;
}

static const struct quota_limit *binding_limit(const struct quota_decision *decision,
                                               const struct quota_charge *charges)
{
    const struct quota *quota = charges[decision->charge].quota;
    assert(decision->window < quota->limit_count);
    return &quota->limits[decision->window];
}

char *reply_trio_fields(char *out, const struct reply_headers *headers, uint32_t dialects,
                        const struct quota_decision *decision, const struct quota_charge *charges,
                        struct fmt_memo *numbers)
{
    if (decision->has_binding && (dialects & REPLY_X_RATELIMIT) != 0) {
        uint32_t used = decision->remaining;
        if (headers->used_is_consumed) /* a bucket may hold more than its limit */
            used = decision->limit > used ? decision->limit - used : 0;
        out = FMT_LIT(out, "X-ratelimit: ");
        out = numbers != NULL ? fmt_u32_memo(numbers, out, decision->limit)
                              : fmt_u64(out, decision->limit);
        out = FMT_LIT(out, "\r\nX-ratelimit-used: ");
        out = fmt_u64(out, used);
        out = FMT_LIT(out, "\r\nX-ratelimit-window: ");
        out += quota_window_text(out, binding_limit(decision, charges), false);
        out = FMT_LIT(out, "\r\n");
    }
    /* None for a cost that no window will ever admit. */
    if (decision->retry_after_s != 0 && is_refusal(decision->verdict)) {
        out = FMT_LIT(out, "Retry-After: ");
        out = fmt_u64(out, decision->retry_after_s);
        out = FMT_LIT(out, "\r\n");
    }
    return out;
}

uint32_t reply_retry_after(const struct reply_headers *headers, uint32_t seconds, uint64_t random)
{
    uint64_t most_us = headers->jitter_us;
    if (headers->jitter_percent != 0) /* of 32 bits of seconds: no overflow */
        most_us = (uint64_t)seconds * headers->jitter_percent * 10000;
    if (most_us == 0)
        return seconds;
    /* Whole seconds: rounded up, so that a jitter of less than a second spreads as well. */
    uint64_t more_s = (random % (most_us + 1) + 999999) / 1000000;
    return more_s < UINT32_MAX - seconds ? seconds + (uint32_t)more_s : UINT32_MAX;
}

/* Not more than max bytes, and no torn character at the end. */
static struct span cut_text(struct span text, size_t max)
{
    size_t len = 0;
    if (text.len <= max)
        return text;
    while (len < text.len) {
        size_t next = span_utf8_len((struct span){text.ptr + len, text.len - len});
        next = next == 0 ? 1 : next;
        if (len + next > max)
            break;
        len += next;
    }
    return (struct span){text.ptr, len};
}

char *reply_throttle_message(char *out, const struct quota_decision *decision,
                             const struct quota_charge *charges)
{
    enum {
        FIXED_MAX = sizeof("The throttling threshold has been reached: policy "
                           " over ratelimit,limit:,time:") +
                    FMT_U64_MAX + QUOTA_WINDOW_TEXT_MAX,
    };
    if (!decision->has_binding && decision->in_flight == NULL)
        return FMT_LIT(out, "The throttling threshold has been reached.");
    struct span name = decision->in_flight != NULL ? decision->in_flight->name
                                                   : charges[decision->charge].quota->name;
    out = FMT_LIT(out, "The throttling threshold has been reached: policy ");
    out = fmt_span(out, cut_text(name, REPLY_MESSAGE_MAX - FIXED_MAX));
    out = FMT_LIT(out, " over ratelimit,limit:");
    out = fmt_u64(out, decision->limit);
    out = FMT_LIT(out, ",time:");
    if (decision->in_flight != NULL)
        return FMT_LIT(out, "in flight");
    return out + quota_window_text(out, binding_limit(decision, charges), true);
}
