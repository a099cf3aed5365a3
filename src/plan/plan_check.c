/* SPDX-License-Identifier: Apache-2.0 */
/* plan_check.c - what no single directive can see.  Takes: a linked plan.  Gives: errors for what cannot
 * work and warnings for what hardly was meant.  Never: changes the plan. */
#include "plan/plan_draft.h"
#include "quota/quota_conf.h"

#define COMPARISONS_MAX                                                                            \
    2000000u /* of routes, in search of hidden ones: keeps a check below a second */

/* Can a client make up this identity's value?  (All kinds but ip, jwt, certificate, token_project and route; with a bucket, those
 * that no server rejects.) */
static bool identity_is_forgeable(const struct plan *plan, unsigned index)
{
    const struct identity *identity = &plan->identities[index];
    bool has_bucket = plan->buckets != NULL && plan->buckets[index] != NULL;
    for (unsigned i = 0; i < identity->from_count; i++) {
        enum identity_kind kind = identity->from[i].kind;
        if (kind != IDENTITY_IP && kind != IDENTITY_JWT && kind != IDENTITY_CERTIFICATE &&
            kind != IDENTITY_TOKEN_PROJECT && kind != IDENTITY_ROUTE &&
            !(has_bucket && identity_is_claim(kind)))
            return true;
    }
    return false;
}

static bool quota_is_forgeable(const struct plan *plan, const struct quota *quota)
{
    for (unsigned i = 0; i < quota->key_count; i++) {
        if (identity_is_forgeable(plan, quota->key[i]))
            return true;
    }
    return false;
}

/* Bounded by addresses: nothing in the key is made up, and an address is in it. */
static bool quota_is_by_address(const struct plan *plan, const struct quota *quota)
{
    bool has_ip = false;
    for (unsigned i = 0; i < quota->key_count; i++) {
        const struct identity *identity = &plan->identities[quota->key[i]];
        for (unsigned j = 0; j < identity->from_count; j++)
            has_ip = has_ip || identity->from[j].kind == IDENTITY_IP;
    }
    return has_ip && !quota_is_forgeable(plan, quota);
}

static const struct config_node *member_or_self(const struct config_node *node, const char *key)
{
    const struct config_node *member = config_find(node, key);
    return member != NULL ? member : node;
}

/* The listener before `end` with this address, -1 when there is none. */
static int find_address(const struct plan *plan, const struct net_address *address, unsigned end)
{
    for (unsigned i = 0; i < end && address->len != 0; i++) {
        if (net_address_eq(address, &plan->listeners[i].address))
            return (int)i;
    }
    return -1;
}

/* One address cannot be listened on twice, whoever wants it. */
static void check_addresses(struct plan_work *work)
{
    const struct plan *plan = &work->draft->plan;
    const struct config_node *admin = config_find(work->load->doc->root, "admin");
    const struct {
        const char *key;
        struct span text;
    } others[] = {{"address", plan->admin_address}, {"metrics", plan->metrics_address}};

    for (unsigned i = 0; i < plan->listener_count; i++) {
        if (find_address(plan, &plan->listeners[i].address, i) >= 0)
            config_error(work->load->doc,
                         member_or_self(work->draft->listeners.nodes[i], "address"),
                         "two listeners have this address");
    }
    for (unsigned k = 0; k < 2; k++) {
        struct net_address address;
        if (others[k].text.len == 0 || net_address_parse(&address, others[k].text, NULL) != NULL)
            continue;
        if (find_address(plan, &address, plan->listener_count) >= 0 ||
            (k == 1 && span_eq(others[0].text, others[1].text)))
            config_error(work->load->doc, member_or_self(admin, others[k].key),
                         "something else listens on this address");
    }
}

/* A header that nobody may send is no header. */
static void check_proxy_headers(struct plan_work *work)
{
    const struct plan *plan = &work->draft->plan;
    for (unsigned i = 0; i < plan->listener_count; i++) {
        if (plan->listeners[i].takes_proxy && plan->trust.net_count == 0 &&
            !plan->trust.trusts_unix)
            config_error(
                work->load->doc, member_or_self(work->draft->listeners.nodes[i], "proxy_protocol"),
                "a PROXY header is only taken from \"trusted_proxies\", and there are none");
    }
}

static void check_hidden_routes(struct plan_work *work)
{
    const struct plan *plan = &work->draft->plan;
    unsigned comparisons = 0;
    for (unsigned i = 0; i < plan->route_count; i++) {
        const struct route_rule *later = plan->routes[i].rule;
        for (unsigned j = 0; j < i; j++) {
            const struct route_rule *earlier = plan->routes[j].rule;
            if (++comparisons > COMPARISONS_MAX)
                return;
            if (!route_rule_covers(earlier, later))
                continue;
            config_warning(
                work->load->doc, work->draft->routes.nodes[i],
                "route %s can never match: /routes/%u %.60s is earlier and matches the same",
                config_quote(later->name).text, j, config_quote(earlier->name).text);
            break;
        }
    }
}

/* Mark what a route uses. */
static void check_unused(struct plan_work *work)
{
    const struct plan *plan = &work->draft->plan;
    size_t room = plan->quota_count + plan->upstream_count + plan->identity_count;
    bool *used = arena_take_zeroed(&work->load->doc->arena, room + 1);
    if (used == NULL) {
        config_out_of_memory(work->load->doc);
        return;
    }
    bool *upstreams = used + plan->quota_count, *identities = upstreams + plan->upstream_count;
    for (unsigned i = 0; i < plan->route_count; i++) {
        for (unsigned j = 0; j < plan->routes[i].quota_count; j++)
            used[plan->routes[i].quotas[j] - plan->quotas] = true;
        if (plan->routes[i].upstream >= 0)
            upstreams[plan->routes[i].upstream] = true;
    }
    for (unsigned i = 0; i < plan->quota_count; i++) {
        for (unsigned j = 0; j < plan->quotas[i].key_count; j++)
            identities[plan->quotas[i].key[j]] = true;
        if (!used[i])
            config_warning(work->load->doc, work->draft->quotas.nodes[i],
                           "no route uses this quota");
    }
    for (unsigned i = 0; i < plan->upstream_count; i++) {
        if (plan->upstreams[i].hash_identity >= 0)
            identities[plan->upstreams[i].hash_identity] = true;
        if (!upstreams[i])
            config_warning(work->load->doc, work->draft->upstreams.nodes[i],
                           "no route uses this upstream");
    }
    for (unsigned i = 0; i < work->draft->identities.count; i++) {
        if (!identities[i])
            config_warning(work->load->doc, work->draft->identities.nodes[i],
                           "no quota counts by this identity");
    }
}

static void check_unused_dialects(struct plan_work *work)
{
    const struct plan *plan = &work->draft->plan;
    const struct config_items *own = &work->draft->errors.dialects;
    for (unsigned i = 0; i < own->count; i++) {
        const struct reply_body_dialect *dialect = &plan->dialects[REPLY_DIALECTS + i];
        bool is_used = plan->errors == dialect;
        for (unsigned j = 0; j < plan->route_count && !is_used; j++)
            is_used = plan->routes[j].errors == dialect;
        if (!is_used)
            config_warning(work->load->doc, own->nodes[i], "no route uses this dialect");
    }
}

static bool quota_has_tier(const struct quota_draft *quota, const struct config_node *node,
                           struct span tier)
{
    const struct config_node *members = config_find(node, "members");
    if (!quota->is_by_tier)
        return false;
    if (span_eq(quota->default_tier, tier))
        return true;
    if (members != NULL && members->kind == CONFIG_KIND_STRING)
        return true; /* it may be anybody's at any time */
    CONFIG_EACH(list, members)
    {
        if (span_eq(list->key, tier) && list->child_count != 0)
            return true;
    }
    return false;
}

static void check_unused_tiers(struct plan_work *work)
{
    const struct quota_tier_draft *tiers = work->draft->tiers.items;
    const struct quota_draft *quotas = work->draft->quotas.items;
    for (unsigned i = 0; i < work->draft->tiers.count; i++) {
        unsigned k = 0, count = work->draft->quotas.count;
        while (k < count &&
               !quota_has_tier(&quotas[k], work->draft->quotas.nodes[k], tiers[i].name))
            k++;
        if (k == count)
            config_warning(work->load->doc, work->draft->tiers.nodes[i],
                           "nobody is in this tier: it is no quota's default and has no members");
    }
}

/* A credential in the quota's key that has no bucket. */
static bool quota_could_have_bucket(const struct plan *plan, const struct quota *quota)
{
    for (unsigned i = 0; i < quota->key_count; i++) {
        const struct identity *identity = &plan->identities[quota->key[i]];
        bool has_bucket = plan->buckets != NULL && plan->buckets[quota->key[i]] != NULL;
        for (unsigned k = 0; !has_bucket && k < identity->from_count; k++) {
            if (identity_is_claim(identity->from[k].kind))
                return true;
        }
    }
    return false;
}

/* A client that makes up its identity gets a fresh quota each time, unless its address is counted too. */
static void check_forgeable(struct plan_work *work)
{
    const struct plan *plan = &work->draft->plan;
    for (unsigned i = 0; i < plan->route_count; i++) {
        const struct plan_route *route = &plan->routes[i];
        const struct quota *forgeable = NULL;
        bool is_bounded = false;
        for (unsigned j = 0; j < route->quota_count; j++) {
            if (route->quotas[j]->mode == QUOTA_SHADOW)
                continue; /* bounds nobody, and there is nothing to escape */
            bool has_windows =
                route->quotas[j]->limit_count != 0 || route->quotas[j]->tiers != NULL;
            is_bounded = is_bounded || (has_windows && quota_is_by_address(plan, route->quotas[j]));
            if (forgeable == NULL && quota_is_forgeable(plan, route->quotas[j]))
                forgeable = route->quotas[j];
        }
        if (forgeable == NULL || is_bounded)
            continue;
        config_warning(
            work->load->doc, member_or_self(work->draft->routes.nodes[i], "quotas"),
            "a client can make up what quota %s counts by and so escape it; add a quota by "
            "address (\"ip\") to this route%s",
            config_quote(forgeable->name).text,
            quota_could_have_bucket(plan, forgeable) ? ", or \"unverified\" limits to the identity"
                                                     : "");
    }
}

/* Clients show certificates only where a listener asks for them. */
static void check_certificates(struct plan_work *work)
{
    const struct plan *plan = &work->draft->plan;
    for (unsigned i = 0; i < plan->listener_count; i++) {
        if (plan->listeners[i].tls_draft.clients.verify != NET_TLS_VERIFY_OFF)
            return;
    }
    for (unsigned i = 0; i < plan->quota_count; i++) {
        for (unsigned j = 0; j < plan->quotas[i].key_count; j++) {
            if (!identity_has_kind(&plan->identities[plan->quotas[i].key[j]], IDENTITY_CERTIFICATE))
                continue;
            config_warning(work->load->doc, work->draft->quotas.nodes[i],
                           "no listener asks for \"client_certificates\": \"certificate\" is "
                           "always missing");
            break;
        }
    }
}

/* Without a secret, whoever knows the prefix can tell which subject a hash stands for. */
static void check_secret(struct plan_work *work)
{
    const struct plan *plan = &work->draft->plan;
    const struct config_node *root = work->load->doc->root;
    bool is_hashed = false;
    if (config_find(root, "subject_secret") != NULL)
        return;
    for (unsigned i = 0; i < plan->identity_count; i++) {
        for (unsigned j = 0; j < plan->identities[i].from_count; j++)
            is_hashed = is_hashed || !identity_is_clear(plan->identities[i].from[j].kind);
    }
    if (plan->quota_count != 0 && (is_hashed || !plan->store_is_memory))
        config_warning(
            work->load->doc, member_or_self(root, "quotas"),
            "no \"subject_secret\": subjects are hashed with a key that anybody can derive "
            "from the store's prefix");
}

static bool has_token_project(const struct plan *plan)
{
    bool has = false;
    for (unsigned i = 0; i < plan->quota_count; i++) {
        for (unsigned j = 0; j < plan->quotas[i].key_count; j++)
            has = has || identity_has_kind(&plan->identities[plan->quotas[i].key[j]],
                                           IDENTITY_TOKEN_PROJECT);
    }
    return has;
}

/* Who learns and who counts by it belong together; with Redis another proxy may learn. */
static void check_learning(struct plan_work *work)
{
    const struct plan *plan = &work->draft->plan;
    bool has_kind = has_token_project(plan), is_learned = false;
    for (unsigned i = 0; i < plan->route_count; i++) {
        is_learned = is_learned || plan->routes[i].learns_tokens;
        if (plan->routes[i].learns_tokens && !has_kind)
            config_warning(work->load->doc, member_or_self(work->draft->routes.nodes[i], "learns"),
                           "no quota counts by \"token_project\": what is learned here is of no "
                           "use to this proxy");
    }
    if (has_kind && !is_learned && plan->store_is_memory)
        config_warning(work->load->doc, member_or_self(work->load->doc->root, "quotas"),
                       "no route learns tokens (\"learns\": \"token_project\"): "
                       "\"token_project\" is always missing");
}

void plan_check(struct plan_work *work)
{
    check_addresses(work);
    check_proxy_headers(work);
    plan_check_admin(work);
    if (work->load->doc->report->errors != 0)
        return; /* half a plan would be judged wrongly */
    check_unused(work);
    check_unused_dialects(work);
    check_unused_tiers(work);
    check_secret(work);
    check_hidden_routes(work);
    check_forgeable(work);
    check_learning(work);
    check_certificates(work);
    plan_check_limits(work);
    plan_check_balance(work);
}
