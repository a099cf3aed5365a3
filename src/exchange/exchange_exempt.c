/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_exempt.c - requests that a quota does not count.  Takes: the quota's list and the kept head.  Gives:
 * counted or exempt.  Never: believes a header that a client can make up, but for a preflight's. */
#include "exchange/exchange_private.h"

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

enum exchange_exemption exchange_exempt_request(const struct exchange *x, const struct quota *quota)
{
    const struct quota_exempt *exempt = &quota->exempt;
    if (exempt->has_preflight && is_preflight(&x->head))
        return EXCHANGE_EXEMPT;
    for (unsigned i = 0; i < exempt->net_count; i++) {
        if (ip_net_has(&exempt->nets[i], &x->client_ip))
            return EXCHANGE_EXEMPT;
    }
    return EXCHANGE_COUNTED;
}

/* What logs show of the subject; empty for one that several share. */
static bool subject_text(struct exchange *x, struct exchange_subject *subject, struct span *text)
{
    *text = SPAN_NONE;
    if (subject->value.is_shared)
        return true;
    if (identity_is_clear(subject->value.kind)) {
        *text = subject->value.value;
        return true;
    }
    if (!exchange_subject_mac(x, subject))
        return false;
    fmt_base64url(subject->text, subject->mac, IDENTITY_KEY_BYTES);
    *text = (struct span){subject->text, IDENTITY_TEXT_LEN};
    return true;
}

enum exchange_exemption exchange_exempt_subject(struct exchange *x, const struct quota *quota,
                                                struct exchange_subject *const *parts)
{
    const struct quota_exempt *exempt = &quota->exempt;
    for (unsigned i = 0; exempt->subject_count != 0 && i < quota->key_count; i++) {
        struct span text;
        if (!subject_text(x, parts[i], &text))
            return EXCHANGE_EXEMPT_UNKNOWN;
        for (unsigned j = 0; j < exempt->subject_count; j++) {
            if (text.len != 0 && span_eq(exempt->subjects[j], text))
                return EXCHANGE_EXEMPT;
        }
    }
    return EXCHANGE_COUNTED;
}
