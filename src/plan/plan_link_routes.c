/* SPDX-License-Identifier: Apache-2.0 */
/* plan_link_routes.c - routes: what they match, charge and do.  Takes: route drafts.  Gives: plan_route
 * rows beside the rules that the route table borrows. */
#include "plan/plan_draft.h"
#include "quota/quota_tier.h"

/* Names of one kind, for "did you mean": structs with a span at an offset. */
struct candidates {
    const void *structs;
    size_t stride, offset;
    unsigned count;
};

/* The index behind the name that the node spells; -1 and a fault when there is none. */
static int find_name(struct plan_work *work, const struct map *map, const struct config_node *node,
                     const char *noun, struct candidates all)
{
    struct config_doc *doc = work->load->doc;
    struct span name = node->kind == CONFIG_KIND_STRING ? config_text(work->load, node) : SPAN_NONE;
    if (name.len == 0)
        return -1; /* told already */
    int index = plan_name_find(map, name);
    if (index >= 0)
        return index;
    struct config_near near = config_near_to(name);
    for (unsigned i = 0; i < all.count && doc->report->errors < CONFIG_NEAR_MAX; i++) {
        const struct span *candidate =
            (const struct span *)(const void *)((const char *)all.structs + i * all.stride +
                                                all.offset);
        if (candidate->len != 0)
            config_near_try(&near, *candidate, false);
    }
    config_error(doc, node, "no %s has the name %s%s", noun, config_quote(name).text,
                 config_suggestion(&near).text);
    return -1;
}

bool plan_path_has(struct span path, struct span name)
{
    for (size_t i = 0; i + name.len + 1 < path.len; i++) {
        if (path.ptr[i] == '{' && path.ptr[i + name.len + 1] == '}' &&
            memcmp(path.ptr + i + 1, name.ptr, name.len) == 0)
            return true;
    }
    return false;
}

/* An identity that reads a {name} of the path needs a path that has it. */
static void check_path_names(struct plan_work *work, const struct quota *quota,
                             const struct route_rule *rule, const struct config_node *at)
{
    const struct plan *plan = &work->draft->plan;
    for (unsigned i = 0; i < quota->key_count; i++) {
        const struct identity *identity = &plan->identities[quota->key[i]];
        for (unsigned j = 0; j < identity->from_count; j++) {
            struct span name = identity->from[j].name;
            if (identity->from[j].kind != IDENTITY_PATH || plan_path_has(rule->path, name))
                continue;
            config_error(work->load->doc, at,
                         "quota %s counts by path:%.*s, but the path of this route has no {%.*s}",
                         config_quote(quota->name).text, (int)name.len, name.ptr, (int)name.len,
                         name.ptr);
        }
    }
}

/* tier: empty when the quota has none. */
static void check_limits(struct plan_work *work, const struct plan_route *route,
                         const struct quota *quota, struct span tier,
                         const struct config_node *cost)
{
    for (unsigned i = 0; i < quota->limit_count; i++) {
        uint32_t most = quota->burst != 0 ? quota->burst : quota->limits[i].limit;
        if (quota->limits[i].limit == 0 || route->cost.estimate <= most)
            continue;
        config_error(work->load->doc, cost,
                     "no request%s%s could pass: quota %s allows %u %s, the cost is %u",
                     tier.len == 0 ? "" : " of tier ", tier.len == 0 ? "" : config_quote(tier).text,
                     config_quote(quota->name).text, most,
                     quota->burst != 0 ? "at once" : "in its window", route->cost.estimate);
        return;
    }
}

static void check_cost(struct plan_work *work, const struct plan_route *route,
                       const struct quota *quota, const struct config_node *node)
{
    const struct config_node *cost = config_find(node, "cost");
    const struct quota_tiers *tiers = quota->tiers;
    if (cost == NULL)
        return;
    check_limits(work, route, quota, SPAN_NONE, cost);
    for (unsigned i = 0; tiers != NULL && i < tiers->count; i++) {
        if (tiers->tiers[i].quota != NULL)
            check_limits(work, route, tiers->tiers[i].quota, tiers->tiers[i].name, cost);
    }
}

/* What its requests need beside counts. */
static void link_lookups(const struct plan *plan, struct plan_route *route,
                         const struct quota *quota)
{
    bool has_project = false;
    for (unsigned i = 0; i < quota->key_count; i++)
        has_project = has_project ||
                      identity_has_kind(&plan->identities[quota->key[i]], IDENTITY_TOKEN_PROJECT);
    route->looks_up_project = route->looks_up_project || has_project;
    route->may_wait_project =
        route->may_wait_project || (has_project && quota->mode != QUOTA_SHADOW);
    route->looks_up_members =
        route->looks_up_members || (quota->tiers != NULL && quota->tiers->is_live);
}

static void link_route_quotas(struct plan_work *work, struct plan_route *route,
                              const struct config_node *node)
{
    const struct plan *plan = &work->draft->plan;
    const struct config_node *quotas = config_find(node, "quotas");
    struct candidates all = {plan->quotas, sizeof(*plan->quotas), offsetof(struct quota, name),
                             plan->quota_count};
    if (quotas == NULL || quotas->kind != CONFIG_KIND_ARRAY ||
        quotas->child_count > QUOTA_MAX_PER_ROUTE)
        return;
    CONFIG_EACH(child, quotas)
    {
        int index = find_name(work, &work->names.quotas, child, "quota", all);
        if (index < 0)
            continue;
        const struct quota *quota = &plan->quotas[index];
        bool is_twice = false;
        for (unsigned i = 0; i < route->quota_count; i++)
            is_twice = is_twice || route->quotas[i] == quota;
        if (is_twice) {
            config_error(work->load->doc, child, "listed twice");
            continue;
        }
        check_path_names(work, quota, route->rule, child);
        check_cost(work, route, quota, node);
        route->quotas[route->quota_count++] = quota;
        link_lookups(plan, route, quota);
    }
}

static void link_respond(struct plan_route *route, struct plan_route_draft *draft)
{
    static const struct span json = {"application/json; charset=UTF-8", 31};
    static const struct span text = {"text/plain; charset=UTF-8", 25};
    bool is_json = draft->respond_json.len != 0, is_text = draft->respond_text.ptr != NULL;
    draft->respond.body = is_json ? draft->respond_json : draft->respond_text;
    draft->respond.content_type = is_json ? json : is_text ? text : SPAN_NONE;
    route->respond = &draft->respond;
}

/* GitHub's clients read X-RateLimit-Used, the same name but for its case, as what was consumed. */
static void check_dialects(struct plan_work *work, const struct reply_headers *headers,
                           const struct config_node *node)
{
    const uint32_t both = REPLY_X_RATELIMIT | REPLY_GITHUB;
    const struct config_node *own = config_find(node, "headers");
    const struct config_node *all = config_find(work->load->doc->root, "headers");
    const struct config_node *at = config_find(own, "dialects");
    if ((headers->dialects & both) != both || headers->used_is_consumed)
        return;
    if (at == NULL && own == NULL && work->told_dialects)
        return; /* once, for all routes that say nothing themselves */
    work->told_dialects = work->told_dialects || own == NULL;
    if (at == NULL)
        at = own != NULL ? own : config_find(all, "dialects");
    config_warning(work->load->doc, at != NULL ? at : node,
                   "clients of \"github\" take X-ratelimit-used for what was consumed; set "
                   "\"used\": \"consumed\", or switch \"x-ratelimit\" off where they come in");
}

/* The route's own headers where it has some, the common ones elsewhere. */
static void link_headers(struct plan_work *work, struct plan_route *route,
                         const struct plan_route_draft *draft, const struct config_node *node)
{
    const struct config_node *headers = config_find(node, "headers");
    route->headers = work->draft->plan.headers;
    if (config_find(headers, "dialects") != NULL)
        route->headers.dialects = draft->headers.dialects;
    if (config_find(headers, "used") != NULL)
        route->headers.used_is_consumed = draft->headers.used_is_consumed;
    if (config_find(headers, "retry_after_jitter") != NULL) {
        route->headers.jitter_percent = draft->headers.jitter_percent;
        route->headers.jitter_us = draft->headers.jitter_us;
    }
    check_dialects(work, &route->headers, node);
}

const struct reply_body_dialect *plan_find_dialect(struct plan_work *work,
                                                   const struct config_node *node)
{
    const struct plan *plan = &work->draft->plan;
    struct candidates all = {plan->dialects, sizeof(*plan->dialects),
                             offsetof(struct reply_body_dialect, name), plan->dialect_count};
    int index = find_name(work, &work->names.dialects, node, "dialect of errors", all);
    return index < 0 ? NULL : &plan->dialects[index];
}

/* As much of a long name as leaves room for a number and splits no character. */
static int cut(struct span name)
{
    size_t len = ROUTE_NAME_MAX_BYTES - sizeof(" #4294967295");
    while (len > 0 && ((unsigned char)name.ptr[len] & 0xc0) == 0x80)
        len--;
    return (int)len;
}

/* "public POST example.com/v1/x": what a route without a name is called, "... #3" when another is. */
static struct span derive_name(struct plan_work *work, const struct route_rule *rule,
                               unsigned index)
{
    char methods[256];
    size_t len = 0;
    for (unsigned i = 0; i < rule->method_count && len + rule->methods[i].len + 2 < sizeof(methods);
         i++) {
        if (i > 0)
            methods[len++] = ',';
        memcpy(methods + len, rule->methods[i].ptr, rule->methods[i].len);
        len += rule->methods[i].len;
    }
    bool is_exact = rule->path.len != 0;
    struct span path = is_exact ? rule->path : rule->prefix.len != 0 ? rule->prefix : SPAN("/");
    struct span name = arena_printf(
        work->load->arena, "%.*s%s%.*s%s%.*s%.*s%s", (int)rule->listener.len,
        rule->listener.len == 0 ? "" : rule->listener.ptr, rule->listener.len == 0 ? "" : " ",
        (int)len, methods, len == 0 ? "" : " ", (int)rule->host.len,
        rule->host.len == 0 ? "" : rule->host.ptr, (int)path.len, path.ptr, is_exact ? "" : "*");
    bool is_long = name.len > ROUTE_NAME_MAX_BYTES;
    if (name.ptr != NULL && (is_long || map_find(&work->names.routes, name) != NULL))
        name = arena_printf(work->load->arena, "%.*s #%u", is_long ? cut(name) : (int)name.len,
                            name.ptr, index);
    if (name.ptr == NULL)
        config_out_of_memory(work->load->doc);
    return name;
}

static void link_slots(struct plan_work *work, struct plan_route *route)
{
    static const char *const classes[6] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};
    struct span name = route->rule->name;
    route->slot_requests = plan_slot(work, METRICS_FAMILY_ROUTE_REQUESTS, name, SPAN_NONE);
    route->slot_duration = plan_slot(work, METRICS_FAMILY_ROUTE_DURATION, name, SPAN_NONE);
    for (unsigned i = 1; i < 6; i++)
        route->slot_class[i] =
            plan_slot(work, METRICS_FAMILY_ROUTE_RESPONSES, name, span_of(classes[i]));
    route->is_folded = plan_slot_is_folded(work, route->slot_requests);
}

static void link_route(struct plan_work *work, unsigned index, struct route_rule *rule)
{
    struct plan *plan = &work->draft->plan;
    struct plan_route_draft *draft = (struct plan_route_draft *)work->draft->routes.items + index;
    struct plan_route *route = &plan->routes[index];
    const struct config_node *node = work->draft->routes.nodes[index];
    const struct config_node *name = config_find(node, "name");
    const struct config_node *listener = config_find(node, "listener");
    const struct config_node *upstream = config_find(node, "upstream");

    *rule = draft->rule;
    if (name == NULL)
        rule->name = derive_name(work, rule, index);
    plan_name_add(work, &work->names.routes, rule->name, index, name != NULL ? name : node,
                  "route");
    if (listener != NULL) {
        struct candidates all = {plan->listeners, sizeof(*plan->listeners),
                                 offsetof(struct plan_listener, name), plan->listener_count};
        find_name(work, &work->names.listeners, listener, "listener", all);
    }
    route->rule = rule;
    route->learns_tokens = draft->learns;
    route->cost = draft->cost;
    plan->has_cost_headers = plan->has_cost_headers || draft->cost.header.len != 0;
    route->upgrades = draft->upgrades;
    route->buffer_bytes = draft->buffer_bytes;
    if (plan_addresses_link(&route->addresses, &draft->addresses, work->load->arena) != ERR_OK)
        config_out_of_memory(work->load->doc);
    route->upstream = -1;
    if (upstream != NULL) {
        struct candidates all = {plan->upstreams, sizeof(*plan->upstreams),
                                 offsetof(struct upstream_conf, name), plan->upstream_count};
        route->upstream = find_name(work, &work->names.upstreams, upstream, "upstream", all);
    } else if (config_find(node, "respond") != NULL) {
        link_respond(route, draft);
    }
    route->hash_identity =
        route->upstream >= 0 ? plan->upstreams[route->upstream].hash_identity : -1;
    link_headers(work, route, draft, node);
    const struct config_node *errors = config_find(node, "errors");
    route->errors = errors != NULL ? plan_find_dialect(work, errors) : plan->errors;
    link_route_quotas(work, route, node);
    plan_link_route_buckets(work, route, node);
    plan_link_rewrite(work, route, &draft->rewrite, node);
    link_slots(work, route);
}

void plan_link_routes(struct plan_work *work)
{
    struct plan *plan = &work->draft->plan;
    unsigned count = work->draft->routes.count;
    struct route_rule *rules = arena_take_zeroed(&plan->arena, count * sizeof(*rules));
    plan->routes = arena_take_zeroed(&plan->arena, count * sizeof(*plan->routes));
    if (rules == NULL || plan->routes == NULL) {
        config_out_of_memory(work->load->doc);
        return;
    }
    plan->route_count = count;
    for (unsigned i = 0; i < count; i++)
        link_route(work, i, &rules[i]);
}
