/* SPDX-License-Identifier: Apache-2.0 */
/* reply_fields.c - takes: a decision.  Gives: RateLimit and RateLimit-Policy, X-Apig-RateLimit-*, X-RateLimit-*.
 * Never: decides, or tells of a window that did not count. */
#include "reply/reply_fields.h"

#include "base/base_fmt.h"
#include "reply/reply_rows.h"

/* One list member each: a quoted policy, three parameters and a separator; a whole line of X-Apig. */
#define MEMBER_MAX (REPLY_POLICY_MAX + sizeof("\"\";q=;w=,") + 2 * (size_t)FMT_U64_MAX)
#define APIG_MAX                                                                                   \
    (REPLY_POLICY_MAX + sizeof("X-Apig-RateLimit-: remain:,limit:,time:\r\n") +                    \
     2 * (size_t)FMT_U64_MAX)
_Static_assert(2 * QUOTA_MAX_PER_ROUTE * QUOTA_WINDOWS_MAX * MEMBER_MAX +
                       QUOTA_MAX_PER_ROUTE * APIG_MAX + 256 <=
                   REPLY_LIMITS_OTHER_MAX,
               "all dialects together fit");

char *reply_policy_name(char *out, const struct quota_charge *charge, unsigned window)
{
    struct span name = charge->quota->name;
    if (name.len > REPLY_POLICY_NAME_MAX)
        name.len = REPLY_POLICY_NAME_MAX;
    out = fmt_span(out, name);
    *out++ = '/';
    return out + quota_window_text(out, &charge->quota->limits[window], false);
}

/* draft-ietf-httpapi-ratelimit-headers-11, "Quota Policy Item" and "Service Limit Item". */
static char *put_policy(char *out, const struct quota_decision *decision,
                        const struct quota_charge *charge, unsigned window)
{
    (void)decision;
    out = FMT_LIT(out, ";q=");
    out = fmt_u64(out, charge->readings[window].limit);
    out = FMT_LIT(out, ";w=");
    return fmt_u64(out, charge->quota->limits[window].period_s);
}

static char *put_limit(char *out, const struct quota_decision *decision,
                       const struct quota_charge *charge, unsigned window)
{
    struct quota_standing standing = quota_window_standing(charge, window);
    uint64_t now_s = decision->now_s;
    out = FMT_LIT(out, ";r=");
    out = fmt_u64(out, standing.remaining);
    out = FMT_LIT(out, ";t=");
    return fmt_u64(out, standing.end_s > now_s ? standing.end_s - now_s : 0);
}

/* A member for every window of every quota. */
static char *put_list(char *out, const struct quota_decision *decision,
                      const struct quota_charge *charges, unsigned count,
                      char *(*put)(char *, const struct quota_decision *,
                                   const struct quota_charge *, unsigned))
{
    const char *first = out;
    for (unsigned i = 0; i < count; i++) {
        const struct quota_charge *charge = &charges[i];
        bool is_mute = charge->is_skipped || charge->is_hidden;
        for (unsigned w = 0; w < charge->quota->limit_count && !is_mute; w++) {
            if (out != first)
                out = FMT_LIT(out, ", ");
            *out++ = '"'; /* quota names have no byte that a String would have to escape */
            out = reply_policy_name(out, charge, w);
            *out++ = '"';
            out = put(out, decision, charge, w);
        }
    }
    return FMT_LIT(out, "\r\n");
}

/* Of the windows of one quota, the one that refused or else the tightest. */
static unsigned tightest(const struct quota_charge *charge)
{
    unsigned best = 0;
    for (unsigned w = 1; w < charge->quota->limit_count; w++) {
        struct quota_standing a = quota_window_standing(charge, w);
        struct quota_standing b = quota_window_standing(charge, best);
        bool is_tighter = (uint64_t)a.remaining * (b.limit | !b.limit) <
                          (uint64_t)b.remaining * (a.limit | !a.limit);
        if (charge->readings[w].refused != charge->readings[best].refused)
            is_tighter = charge->readings[w].refused;
        if (is_tighter)
            best = w;
    }
    return best;
}

static char *put_apig(char *out, const struct quota_charge *charges, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct span name = charges[i].quota->name;
        if (charges[i].is_skipped || charges[i].is_hidden)
            continue;
        unsigned window = tightest(&charges[i]);
        struct quota_standing standing = quota_window_standing(&charges[i], window);
        out = FMT_LIT(out, "X-Apig-RateLimit-");
        name.len = name.len > REPLY_POLICY_NAME_MAX ? REPLY_POLICY_NAME_MAX : name.len;
        out = fmt_span(out, name);
        out = FMT_LIT(out, ": remain:");
        out = fmt_u64(out, standing.remaining);
        out = FMT_LIT(out, ",limit:");
        out = fmt_u64(out, standing.limit);
        out = FMT_LIT(out, ",time:");
        out += quota_window_text(out, &charges[i].quota->limits[window], true);
        out = FMT_LIT(out, "\r\n");
    }
    return out;
}

static char *put_github(char *out, const struct quota_decision *decision,
                        const struct quota_charge *charges)
{
    struct quota_standing standing =
        quota_window_standing(&charges[decision->charge], decision->window);
    out = FMT_LIT(out, "X-RateLimit-Limit: ");
    out = fmt_u64(out, decision->limit);
    out = FMT_LIT(out, "\r\nX-RateLimit-Remaining: ");
    out = fmt_u64(out, decision->remaining);
    out = FMT_LIT(out, "\r\nX-RateLimit-Reset: "); /* seconds of UTC */
    out = fmt_u64(out, standing.end_s);
    return FMT_LIT(out, "\r\n");
}

char *reply_other_fields(char *out, uint32_t dialects, const struct quota_decision *decision,
                         const struct quota_charge *charges, unsigned count)
{
    if ((dialects & REPLY_IETF) != 0) {
        out = FMT_LIT(out, "RateLimit-Policy: ");
        out = put_list(out, decision, charges, count, put_policy);
        out = FMT_LIT(out, "RateLimit: ");
        out = put_list(out, decision, charges, count, put_limit);
    }
    if ((dialects & REPLY_X_APIG) != 0)
        out = put_apig(out, charges, count);
    if ((dialects & REPLY_GITHUB) != 0)
        out = put_github(out, decision, charges);
    return out;
}

/* The fields of this id, if one of them is malformed: RFC 9651 section 4.2 reads them as one. */
static uint64_t malformed(const struct http_head *response, enum http_field_id id)
{
    unsigned from = 0;
    const struct http_field *field;
    while ((field = http_head_next(response, id, &from)) != NULL) {
        if (!reply_is_string_list(http_field_value(response, field)))
            return HTTP_FIELD_BIT(id);
    }
    return 0;
}

uint64_t reply_replaced_by_others(uint32_t dialects, const struct http_head *response)
{
    static const uint64_t github = HTTP_FIELD_BIT(HTTP_FIELD_X_RATELIMIT_LIMIT) |
                                   HTTP_FIELD_BIT(HTTP_FIELD_X_RATELIMIT_REMAINING) |
                                   HTTP_FIELD_BIT(HTTP_FIELD_X_RATELIMIT_RESET);
    uint64_t replaced = 0;
    if ((dialects & REPLY_GITHUB) != 0)
        replaced |= github;
    if ((dialects & REPLY_X_APIG) != 0)
        replaced |= HTTP_FIELD_BIT(HTTP_FIELD_X_APIG_RATELIMIT);
    if ((dialects & REPLY_IETF) != 0)
        replaced |= malformed(response, HTTP_FIELD_RATELIMIT) |
                    malformed(response, HTTP_FIELD_RATELIMIT_POLICY);
    return replaced;
}
