/* SPDX-License-Identifier: Apache-2.0 */
/* admin_explain.c - see admin_explain.h.  The order of questions is that of an exchange. */
#include "admin/admin_explain.h"

#include <stdlib.h>

#include "base/base_arena.h"
#include "base/base_clock.h"
#include "exchange/exchange_exempt.h"
#include "http/http_hops.h"

#define ARENA_BYTES_MAX (1 << 20)

static bool fail(struct admin_explanation *explanation, enum exchange_end end)
{
    explanation->end = end;
    return true;
}

static bool fail_fault(struct admin_explanation *explanation)
{
    return fail(explanation, exchange_end_of_fault(explanation->fault.id));
}

static void find_client(struct admin_explanation *explanation, const struct ip *peer)
{
    explanation->client_ip =
        identity_client_ip(&explanation->plan->trust, &explanation->request->head, peer, false);
}

/* The route, or an ending. */
static bool find_route(struct admin_explanation *explanation)
{
    const struct admin_explain_request *request = explanation->request;
    const struct plan *plan = explanation->plan;
    struct http_hops hops;
    const struct http_field *alias = identity_find_alias(&plan->identity_headers, &request->head);
    explanation->path_room = malloc(request->target.path.len + 1);
    if (explanation->path_room == NULL)
        return false;
    if (alias != NULL) {
        explanation->fault = (struct http_fault){HTTP_FAULT_BAD_FIELD_NAME, alias->name_off};
        return fail_fault(explanation);
    }
    const struct http_field *taker = identity_find_taken(&plan->identity_headers, &request->head);
    if (taker != NULL) {
        explanation->fault = (struct http_fault){HTTP_FAULT_BAD_CONNECTION, taker->name_off};
        return fail_fault(explanation);
    }
    if (http_hops_read(&request->head, &hops, &explanation->fault) != HTTP_PARSE_OK ||
        http_path_judge(request->target.path, explanation->path_room, &explanation->path,
                        &explanation->fault) != HTTP_PARSE_OK)
        return fail_fault(explanation);

    const struct route_query query = {
        .listener = explanation->listener->name,
        .host = request->target.host,
        .path = explanation->path.judged,
        .method = http_head_span(&request->head, request->head.method),
    };
    bool is_found = route_table_find(plan->route_table, &query, &explanation->match);
    const struct plan_route *route = is_found ? &plan->routes[explanation->match.index] : NULL;
    uint32_t allowed = is_found ? route->rule->allow_path : 0;
    if (http_path_allow(&explanation->path, allowed, &explanation->fault) != HTTP_PARSE_OK)
        return fail_fault(explanation);
    explanation->route = route;
    if (!is_found)
        return fail(explanation, END_NO_ROUTE);
    if (!plan_address_may(&route->addresses, &explanation->client_ip))
        return fail(explanation, END_ADDRESS_DENIED);
    if (request->framing.kind == HTTP_BODY_LENGTH &&
        request->framing.length_bytes > plan->limits.body_max_bytes)
        return fail(explanation, END_TOO_LARGE);
    return true;
}

/* The subject of one identity; NULL: out of memory. */
static struct admin_explain_subject *find_subject(struct admin_explanation *explanation,
                                                  uint16_t index)
{
    const struct plan *plan = explanation->plan;
    const struct identity *identity = &plan->identities[index];
    for (unsigned i = 0; i < explanation->subject_count; i++) {
        if (explanation->subjects[i].identity == identity)
            return &explanation->subjects[i];
    }
    const struct identity_input input = {
        .head = &explanation->request->head,
        .target = &explanation->request->target,
        .route = explanation->route->rule->name,
        .client_ip = explanation->client_ip,
        .path_names = explanation->match.names,
        .path_name_count = explanation->match.name_count,
        .arena = &explanation->arena,
        .now_s = clock_wall_us() / 1000000,
        .project = explanation->facts == NULL ? SPAN_NONE : explanation->facts->project,
    };
    struct admin_explain_subject *subject = &explanation->subjects[explanation->subject_count++];
    subject->identity = identity;
    subject->result = identity_extract(identity, &input, &subject->value);
    if (subject->result == IDENTITY_EXHAUSTED ||
        (subject->result == IDENTITY_FOUND &&
         identity_mac(plan->secret, &subject->value, 1, subject->mac) != ERR_OK))
        return NULL;
    return subject;
}

/* The key over all parts, and the tier that the first member among them has. */
static bool find_key(struct admin_explanation *explanation, struct admin_explain_quota *row,
                     struct admin_explain_subject *const *parts, unsigned count)
{
    const struct quota *quota = row->quota;
    struct identity_value values[IDENTITY_VALUES_MAX];
    uint8_t mac[IDENTITY_KEY_BYTES];
    for (unsigned i = 0; i < count; i++) {
        values[i] = parts[i]->value;
        if (parts[i]->value.value.ptr == parts[i]->value.text)
            values[i].value.ptr = values[i].text;
        if (quota->tiers != NULL && row->tier == NULL)
            row->tier = quota_tiers_find(quota->tiers, parts[i]->mac);
    }
    if (identity_mac(explanation->plan->secret, values, count, mac) != ERR_OK)
        return false;
    identity_quota_key(mac, quota->id, row->key);
    row->has_key = row->is_counted = true;
    if (quota->tiers != NULL)
        admin_explain_set_tier(
            row, row->tier != NULL ? row->tier : &quota->tiers->tiers[quota->tiers->otherwise]);
    return true;
}

void admin_explain_set_tier(struct admin_explain_quota *row, const struct quota_tier *tier)
{
    row->tier = tier;
    row->is_counted = tier->quota != NULL;
    row->quota = tier->quota != NULL ? tier->quota : row->base;
}

/* Has a server accepted the subject from this address? */
static void find_claim(const struct admin_explanation *explanation,
                       struct admin_explain_subject *subject)
{
    const struct admin_explain_facts *facts = explanation->facts;
    const struct identity *identity = subject->identity;
    subject->is_claimed = true;
    if (facts == NULL)
        return;
    struct ip address =
        ip_mask(&explanation->client_ip, identity->ipv4_prefix, identity->ipv6_prefix);
    struct hash128 pair = exchange_verified_caller(facts->verified, subject->mac, &address,
                                                   explanation->route->upstream_id);
    subject->is_verified =
        exchange_verified_has(facts->verified, pair, (uint32_t)(facts->mono_us / 1000000));
}

/* The buckets that a request of this quota has to pass, each once; none for a quota in shadow. */
static bool find_buckets(struct admin_explanation *explanation, const struct quota *quota,
                         struct admin_explain_quota *counted,
                         struct admin_explain_subject *const *parts)
{
    const struct plan *plan = explanation->plan;
    for (unsigned i = 0; explanation->route->has_buckets && i < quota->key_count; i++) {
        const struct quota *bucket = plan->buckets[quota->key[i]];
        struct identity_value value = {.kind = IDENTITY_IP};
        uint8_t mac[IDENTITY_KEY_BYTES];
        unsigned k = 0;
        if (bucket == NULL || parts[i]->value.is_shared || !identity_is_claim(parts[i]->value.kind))
            continue;
        if (!parts[i]->is_claimed)
            find_claim(explanation, parts[i]);
        counted->has_claims = true;
        counted->is_guarded = counted->is_guarded || !parts[i]->is_verified;
        if (quota->mode == QUOTA_SHADOW)
            continue;
        parts[i]->has_gate = true;
        while (k < explanation->quota_count && explanation->quotas[k].quota != bucket)
            k++;
        if (k < explanation->quota_count)
            continue;
        identity_value_set_ip(&value, parts[i]->identity, &explanation->client_ip);
        if (identity_mac(plan->secret, &value, 1, mac) != ERR_OK)
            return false;
        struct admin_explain_quota *row = &explanation->quotas[explanation->quota_count++];
        *row = (struct admin_explain_quota){.quota = bucket,
                                            .base = bucket,
                                            .has_key = true,
                                            .is_counted = !parts[i]->is_verified,
                                            .is_passed = parts[i]->is_verified,
                                            .is_bucket = true};
        identity_quota_key(mac, bucket->id, row->key);
    }
    return true;
}

static bool find_quota(struct admin_explanation *explanation, const struct quota *quota)
{
    struct admin_explain_subject *parts[QUOTA_KEY_MAX];
    const unsigned count = quota->key_count;
    struct admin_explain_quota *row = &explanation->quotas[explanation->quota_count++];
    *row = (struct admin_explain_quota){
        .quota = quota, .base = quota, .is_live = quota->tiers != NULL && quota->tiers->is_live};
    row->is_exempt = exchange_exempt_by_request(&quota->exempt, &explanation->request->head,
                                                &explanation->client_ip);
    if (row->is_exempt)
        return true;
    for (unsigned i = 0; i < count; i++) {
        parts[i] = find_subject(explanation, quota->key[i]);
        if (parts[i] == NULL)
            return false;
        row->parts[i] = (uint8_t)(parts[i] - explanation->subjects);
        if (parts[i]->result == IDENTITY_SKIPPED)
            return true;
        if (parts[i]->result == IDENTITY_REFUSED)
            return fail(explanation, END_IDENTITY_REQUIRED);
        if (parts[i]->result != IDENTITY_FOUND)
            return fail(explanation, END_BAD_REQUEST);
    }
    if (!find_buckets(explanation, quota, row, parts))
        return false;
    for (unsigned i = 0; i < count; i++) {
        row->is_exempt =
            row->is_exempt || exchange_exempt_by_subject(&quota->exempt, parts[i]->mac);
    }
    return row->is_exempt || find_key(explanation, row, parts, count);
}

bool admin_explain(struct admin_explanation *explanation, const struct plan *plan,
                   const struct plan_listener *listener,
                   const struct admin_explain_request *request, const struct ip *peer,
                   const struct admin_explain_facts *facts)
{
    *explanation = (struct admin_explanation){.plan = plan,
                                              .request = request,
                                              .listener = listener,
                                              .facts = facts,
                                              .peer_ip = *peer,
                                              .client_ip = *peer,
                                              .end = END_OK,
                                              .fault = request->fault};
    arena_init(&explanation->arena, NULL, 0, ARENA_BYTES_MAX);
    if (request->fault.id != HTTP_FAULT_NONE)
        return fail_fault(explanation);
    find_client(explanation, peer);
    if (!find_route(explanation))
        return false;
    for (unsigned i = 0; explanation->end == END_OK && i < explanation->route->quota_count; i++) {
        if (!find_quota(explanation, explanation->route->quotas[i]))
            return false;
    }
    return true;
}

void admin_explain_fini(struct admin_explanation *explanation)
{
    arena_fini(&explanation->arena);
    free(explanation->path_room);
}
