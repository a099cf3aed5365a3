/* SPDX-License-Identifier: Apache-2.0 */
/* plan_link_unverified.c - the buckets of identities that clients can make up.  Takes: "unverified" as written.  Gives: for
 * each such identity a quota of its own, counted by the client's address, and which routes have to ask one. */
#include "identity/identity_conf.h"
#include "plan/plan_draft.h"

_Static_assert(IDENTITY_LIMITS_MAX == QUOTA_WINDOWS_MAX, "a bucket is a quota");

/* Where the limit stands. */
static const struct config_node *find_limit(const struct config_node *node, struct span window)
{
    CONFIG_EACH(child, node)
    {
        if (span_eq(child->key, window))
            return child;
    }
    return node;
}

static void add_limits(struct plan_work *work, struct quota *bucket,
                       const struct identity_draft *draft, const struct config_node *node)
{
    for (unsigned i = 0; i < draft->unverified_count; i++) {
        const struct identity_limit_draft *from = &draft->unverified[i];
        struct quota_limit *limit = &bucket->limits[bucket->limit_count];
        const char *sentence = quota_limit_parse(limit, from->window);
        for (unsigned k = 0; sentence == NULL && k < bucket->limit_count; k++) {
            if (bucket->limits[k].period_s == limit->period_s)
                sentence = "another window of this bucket is just as long";
        }
        if (sentence != NULL) {
            config_key_error(work->load->doc, find_limit(node, from->window), "%s: %s",
                             config_quote(from->window).text, sentence);
            continue;
        }
        limit->limit = from->limit;
        bucket->limit_count++;
    }
}

static metrics_slot slot_of(const struct plan_work *work, struct span name, const char *decision)
{
    return plan_slot(work, METRICS_FAMILY_QUOTA_DECISIONS, name, span_of(decision));
}

static void link_bucket(struct plan_work *work, struct quota *bucket,
                        const struct identity_draft *draft, const struct config_node *node)
{
    const struct plan *plan = &work->draft->plan;
    bucket->name = arena_printf(work->load->arena, "%.*s.unverified", (int)draft->identity.name.len,
                                draft->identity.name.ptr);
    if (bucket->name.ptr == NULL) {
        config_out_of_memory(work->load->doc);
        return;
    }
    if (plan_name_find(&work->names.quotas, bucket->name) >= 0)
        config_error(work->load->doc, node, "a quota has the name %s, as this bucket would have",
                     config_quote(bucket->name).text);
    identity_quota_id(bucket->name, bucket->id);
    bucket->is_gate = true;
    bucket->on_failure =
        plan->store_is_memory ? (uint8_t)QUOTA_FAIL_LOCAL : (uint8_t)plan->redis.on_failure;
    add_limits(work, bucket, draft, node);
    bucket->slot_allow = slot_of(work, bucket->name, "allow");
    bucket->slot_refuse = slot_of(work, bucket->name, "refuse");
    bucket->slot_degraded = slot_of(work, bucket->name, "degraded");
    bucket->is_folded = plan_slot_is_folded(work, bucket->slot_allow);
}

static bool has_claim(const struct identity *identity)
{
    for (unsigned i = 0; i < identity->from_count; i++) {
        if (identity_is_claim(identity->from[i].kind))
            return true;
    }
    return false;
}

void plan_link_buckets(struct plan_work *work)
{
    struct plan *plan = &work->draft->plan;
    const struct identity_draft *drafts = work->draft->identities.items;
    unsigned count = work->draft->identities.count, wanted = 0;
    for (unsigned i = 0; i < count; i++)
        wanted += drafts[i].unverified_count != 0;
    if (wanted == 0)
        return;
    struct quota *quotas = arena_take_zeroed(&plan->arena, wanted * sizeof(*quotas));
    plan->buckets = arena_take_zeroed(&plan->arena, plan->identity_count * sizeof(*plan->buckets));
    if (quotas == NULL || plan->buckets == NULL) {
        config_out_of_memory(work->load->doc);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        const struct config_node *node =
            config_find(work->draft->identities.nodes[i], "unverified");
        if (drafts[i].unverified_count == 0)
            continue;
        if (!has_claim(&drafts[i].identity))
            config_warning(work->load->doc, node,
                           "no source of this identity is a credential that a server could reject: "
                           "there is nothing to verify");
        link_bucket(work, quotas, &drafts[i], node);
        plan->buckets[i] = quotas++;
    }
}

/* Does an earlier place of the route's keys name this identity?  Shadows ask no bucket. */
static bool is_counted_before(const struct plan_route *route, unsigned quota, unsigned part)
{
    for (unsigned i = 0; i <= quota; i++) {
        unsigned parts = i < quota ? route->quotas[i]->key_count : part;
        for (unsigned k = 0; route->quotas[i]->mode != QUOTA_SHADOW && k < parts; k++) {
            if (route->quotas[i]->key[k] == route->quotas[quota]->key[part])
                return true;
        }
    }
    return false;
}

void plan_link_route_buckets(struct plan_work *work, struct plan_route *route,
                             const struct config_node *node)
{
    const struct plan *plan = &work->draft->plan;
    unsigned charges = 0;
    for (unsigned i = 0; plan->buckets != NULL && i < route->quota_count; i++) {
        const struct quota *quota = route->quotas[i];
        charges += quota->mode != QUOTA_SHADOW;
        for (unsigned k = 0; k < quota->key_count; k++) {
            if (plan->buckets[quota->key[k]] == NULL)
                continue;
            route->has_buckets = true;
            charges += quota->mode != QUOTA_SHADOW && !is_counted_before(route, i, k);
        }
    }
    if (charges > QUOTA_MAX_PER_ROUTE)
        config_error(work->load->doc, node,
                     "at most %u quotas are asked for one request: with the \"unverified\" buckets "
                     "of their identities these are %u",
                     QUOTA_MAX_PER_ROUTE, charges);
    if (route->upstream >= 0)
        identity_quota_id(plan->upstreams[route->upstream].name, route->upstream_id);
}
