/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_exempt.c - requests that a quota does not count.  Takes: the quota's list and the kept head.  Gives:
 * counted or exempt.  Never: believes a header that a client can make up, but for a preflight's. */
#include "exchange/exchange_exempt.h"

#include "exchange/exchange_private.h"
#include "quota/quota_tier.h"

/* Fetch standard, "CORS-preflight fetch": OPTIONS with both fields.  Everything else with this method is an
 * ordinary request. */
static bool is_preflight(const struct http_head *head)
{
    unsigned from = 0, method_from = 0;
    if (head->method_id != HTTP_METHOD_OPTIONS ||
        http_head_next_named(head, HTTP_FIELD_OTHER, SPAN("origin"), &from) == NULL)
        return false;
    const struct http_field *method = http_head_next_named(
        head, HTTP_FIELD_OTHER, SPAN("access-control-request-method"), &method_from);
    return method != NULL && http_is_token(http_field_value(head, method));
}

bool exchange_exempt_by_request(const struct quota_exempt *exempt, const struct http_head *head,
                                const struct ip *client_ip)
{
    if (exempt->has_preflight && is_preflight(head))
        return true;
    return exempt->addresses.count != 0 && ip_ranges_find(&exempt->addresses, client_ip) != 0;
}

bool exchange_exempt_by_subject(const struct quota_exempt *exempt, const uint8_t subject[16])
{
    return exempt->subjects != NULL && quota_tiers_find(exempt->subjects, subject) != NULL;
}

enum exchange_exemption exchange_exempt_request(const struct exchange *x, const struct quota *quota)
{
    bool is_exempt = exchange_exempt_by_request(&quota->exempt, &x->head, &x->client_ip);
    return is_exempt ? EXCHANGE_EXEMPT : EXCHANGE_COUNTED;
}

enum exchange_exemption exchange_exempt_subject(struct exchange *x, const struct quota *quota,
                                                struct exchange_subject *const *parts)
{
    const struct quota_exempt *exempt = &quota->exempt;
    for (unsigned i = 0; exempt->subjects != NULL && i < quota->key_count; i++) {
        if (!exchange_subject_mark(x, parts[i]))
            return EXCHANGE_EXEMPT_UNKNOWN;
        if (exchange_exempt_by_subject(exempt, parts[i]->mark.mac))
            return EXCHANGE_EXEMPT;
    }
    return EXCHANGE_COUNTED;
}
