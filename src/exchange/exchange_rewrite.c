/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_rewrite.c - what the route changes of the messages that it passes on.  Takes: the kept head, who is calling, the
 * route's rules.  Gives: a request line and header lines.  Never: changes what was read; who is counted was read before. */
#include "exchange/exchange_private.h"

/* Who is calling, as far as it is needed. */
static void put_addresses(struct exchange *x, struct span *values)
{
    const struct span peer = exchange_peer_text(x); /* its look-up may take the client's place */
    values[PLAN_REWRITE_PEER_IP] = values[PLAN_REWRITE_CLIENT_IP] = peer;
    if (exchange_same16(&x->client_ip, &x->peer_ip))
        return;
    const struct exchange_peer *client = exchange_find_peer(x->env, &x->client_ip);
    values[PLAN_REWRITE_CLIENT_IP] = (struct span){client->text, client->len};
}

/* As the log shows it, but for who calls himself as the log would show somebody else; empty also for who was refused
 * before IDENTIFY. */
static struct span identity_text(struct exchange *x, uint16_t index)
{
    if (x->subjects == NULL)
        return SPAN_NONE;
    struct exchange_subject *subject = exchange_subject(x, index);
    const struct identity_value *value = &subject->value;
    if (subject->result != IDENTITY_FOUND || value->is_shared)
        return SPAN_NONE;
    bool is_hashed = !identity_is_clear(value->kind) ||
                     identity_is_like_another(&x->snapshot->plan->identities[index], value);
    if (!is_hashed)
        return value->value;
    if (!exchange_subject_mark(x, subject))
        return SPAN_NONE;
    return (struct span){subject->mark.text, IDENTITY_TEXT_LEN};
}

static char *put_lines(struct exchange *x, const struct plan_rewrite_rules *rules, char *at)
{
    const struct plan_route *route = x->route;
    struct span values[PLAN_REWRITE_VALUES] = {
        [PLAN_REWRITE_SCHEME] = x->listener->tls == NULL ? SPAN("http") : SPAN("https"),
        [PLAN_REWRITE_HOST] = x->target.host,
        [PLAN_REWRITE_METHOD] = http_head_span(&x->head, x->head.method),
        [PLAN_REWRITE_PATH] = x->judged,
        [PLAN_REWRITE_LISTENER] = x->listener->name,
        [PLAN_REWRITE_ROUTE] = route->rule->name,
        [PLAN_REWRITE_REQUEST_ID] = {x->id.hex, RECORD_ID_HEX},
        [PLAN_REWRITE_CERTIFICATE] = x->certificate,
        [PLAN_REWRITE_SERVER] = x->server,
    };
    if (route->upstream >= 0)
        values[PLAN_REWRITE_UPSTREAM] = x->snapshot->plan->upstreams[route->upstream].name;
    if (plan_rewrite_needs(rules, PLAN_REWRITE_CLIENT_IP) ||
        plan_rewrite_needs(rules, PLAN_REWRITE_PEER_IP))
        put_addresses(x, values);
    for (unsigned i = 0; i < rules->identity_count; i++)
        values[PLAN_REWRITE_VARIABLES + i] = identity_text(x, rules->identities[i]);
    return plan_rewrite_write(at, rules, values);
}

size_t exchange_rewrite_max(const struct plan_rewrite *rewrite)
{
    return rewrite->prefix.add.len + rewrite->headers.max_bytes;
}

char *exchange_rewrite_request(struct exchange *x, char *at, uint64_t drop)
{
    const struct plan_rewrite_rules *rules = &x->route->rewrite->headers;
    at = http_write_fields_but(at, &x->head, drop, rules->gone);
    return put_lines(x, rules, at);
}

bool exchange_rewrites_trailer(const struct exchange *x, struct span trailers)
{
    const struct http_names *gone = &x->route->rewrite->headers.gone;
    const struct identity_headers headers = {.names = gone->names, .count = gone->count};
    return identity_names_trailer(&headers, trailers);
}

char *exchange_rewrite_response(struct exchange *x, char *at, const struct http_head *head,
                                uint64_t drop, bool is_interim)
{
    const struct plan_rewrite_rules *rules = x->route->response_rules;
    at = http_write_fields_but(at, head, drop, rules->gone);
    return is_interim ? at : put_lines(x, rules, at);
}

struct span exchange_rewrite_trailers(struct exchange *x, struct span trailers)
{
    char *kept = arena_take(&x->arena, trailers.len);
    if (kept == NULL)
        return SPAN_NONE; /* better none than one that is not for the client */
    char *end = http_write_trailers_but(kept, trailers, x->route->response_rules->gone);
    return (struct span){kept, (size_t)(end - kept)};
}

const struct plan_rewrite_rules *exchange_own_rules(const struct exchange *x)
{
    const struct plan_rewrite_rules *rules = x->route == NULL ? NULL : x->route->response_rules;
    if (rules == NULL)
        return NULL;
    const bool is_configured = x->end == END_OK && x->route->respond != NULL;
    return is_configured || rules->is_always ? rules : NULL;
}

bool exchange_own_keeps(const struct plan_rewrite_rules *rules, struct span name)
{
    for (unsigned i = 0; rules != NULL && i < rules->gone.count; i++) {
        if (http_field_names_alike(rules->gone.names[i], name))
            return false;
    }
    return true;
}

char *exchange_rewrite_own(struct exchange *x, char *at)
{
    const struct plan_rewrite_rules *rules = exchange_own_rules(x);
    return rules == NULL ? at : put_lines(x, rules, at);
}
