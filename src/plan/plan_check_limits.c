/* SPDX-License-Identifier: Apache-2.0 */
/* plan_check_limits.c - limits that say nothing, and quotas that a client need not meet.  Takes: a plan without errors.
 * Gives: warnings.  Never: judges how high a limit should be. */
#include "plan/plan_draft.h"
#include "quota/quota_conf.h"

/* At most how much the shorter window lets through in one of the longer ones.  Both are counted from the same
 * moment, so windows that fit lie inside; else one more may reach in from either side. */
static uint64_t most_within(const struct quota_limit *shorter, const struct quota_limit *longer)
{
    uint64_t windows = longer->period_s / shorter->period_s;
    if (longer->period_s % shorter->period_s != 0)
        windows += 2;
    return windows * shorter->limit;
}

static const struct config_node *child_at(const struct config_node *node, unsigned index)
{
    const struct config_node *child = node->first;
    while (child != NULL && child->index != index)
        child = child->next;
    return child;
}

/* The two windows of one quota; `limits` holds both, in their order. */
static void check_two(struct plan_work *work, const struct quota *quota, unsigned one,
                      unsigned other, const struct config_node *limits)
{
    const struct quota_limit *shorter = &quota->limits[one], *longer = &quota->limits[other];
    char short_text[QUOTA_WINDOW_TEXT_MAX], long_text[QUOTA_WINDOW_TEXT_MAX];
    int short_len = (int)quota_window_text(short_text, shorter, false);
    int long_len = (int)quota_window_text(long_text, longer, false);
    const struct config_node *at_short = child_at(limits, one), *at_long = child_at(limits, other);
    if (shorter->limit == 0 || longer->limit == 0 || at_short == NULL || at_long == NULL)
        return; /* nothing passes, as it is written */
    uint64_t most = most_within(shorter, longer);
    if (longer->limit <= shorter->limit)
        config_warning(work->load->doc, at_short,
                       "%u per %.*s can never bind: %u per %.*s is reached first", shorter->limit,
                       short_len, short_text, longer->limit, long_len, long_text);
    else if (most < longer->limit)
        config_warning(work->load->doc, at_long,
                       "%u per %.*s can never bind: %u per %.*s let at most %llu through",
                       longer->limit, long_len, long_text, shorter->limit, short_len, short_text,
                       (unsigned long long)most);
}

static void check_windows(struct plan_work *work, const struct quota *quota,
                          const struct config_node *limits)
{
    if (quota->algorithm == QUOTA_BUCKET)
        return; /* a full bucket lets more through than its limit says */
    for (unsigned i = 0; i < quota->limit_count; i++) {
        for (unsigned k = 0; k < quota->limit_count; k++) {
            if (quota->limits[i].period_s < quota->limits[k].period_s)
                check_two(work, quota, i, k, limits);
        }
    }
}

/* An identity without which the quota does not count; NULL: it always counts. */
static const struct identity *find_skip(const struct plan *plan, const struct quota *quota)
{
    for (unsigned i = 0; i < quota->key_count; i++) {
        const struct identity *identity = &plan->identities[quota->key[i]];
        bool is_always = false;
        for (unsigned k = 0; k < identity->from_count; k++) {
            enum identity_kind kind = identity->from[k].kind;
            is_always = is_always || kind == IDENTITY_IP || kind == IDENTITY_ROUTE ||
                        kind == IDENTITY_METHOD || kind == IDENTITY_PATH;
        }
        if (identity->missing == IDENTITY_MISSING_SKIP && !is_always)
            return identity;
    }
    return NULL;
}

/* Leaving a header out must not be a way past all quotas. */
static void check_bypass(struct plan_work *work, unsigned index)
{
    const struct plan *plan = &work->draft->plan;
    const struct plan_route *route = &plan->routes[index];
    const struct config_node *quotas = config_find(work->draft->routes.nodes[index], "quotas");
    const struct identity *skip = NULL;
    for (unsigned i = 0; i < route->quota_count; i++) {
        skip = find_skip(plan, route->quotas[i]);
        if (skip == NULL)
            return;
    }
    if (skip != NULL && quotas != NULL)
        config_warning(work->load->doc, quotas,
                       "a request without identity %s is counted by no quota of this route "
                       "(its \"missing\" is \"skip\")",
                       config_quote(skip->name).text);
}

static void check_buffer(struct plan_work *work, unsigned index)
{
    const struct config_node *size =
        config_find(work->draft->routes.nodes[index], "buffer_request");
    if (work->draft->plan.routes[index].buffer_bytes > work->draft->plan.limits.body_budget_bytes)
        config_warning(work->load->doc, size,
                       "more than \"limits.body_memory\": a body that long is answered 503");
}

void plan_check_limits(struct plan_work *work)
{
    const struct plan *plan = &work->draft->plan;
    const struct quota_tier_draft *tiers = work->draft->tiers.items;
    for (unsigned i = 0; i < work->draft->tiers.count; i++) {
        if (!tiers[i].is_unlimited)
            check_windows(work, &tiers[i].limits, work->draft->tiers.nodes[i]);
    }
    for (unsigned i = 0; i < plan->quota_count; i++) {
        const struct config_node *limits = config_find(work->draft->quotas.nodes[i], "limits");
        if (limits != NULL && plan->quotas[i].tiers == NULL)
            check_windows(work, &plan->quotas[i], limits);
    }
    for (unsigned i = 0; plan->buckets != NULL && i < work->draft->identities.count; i++) {
        const struct config_node *node = work->draft->identities.nodes[i];
        if (plan->buckets[i] != NULL)
            check_windows(work, plan->buckets[i], config_find(node, "unverified"));
    }
    for (unsigned i = 0; i < plan->route_count; i++) {
        check_bypass(work, i);
        check_buffer(work, i);
    }
}
