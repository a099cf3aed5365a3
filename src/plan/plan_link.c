/* SPDX-License-Identifier: Apache-2.0 */
/* plan_link.c - from a draft to the arrays that workers read: listeners, upstreams, identities, quotas.
 * Takes: what the tables filled.  Gives: names resolved to indices.  Never: passes over a dangling
 * name. */
#include <stdint.h>

#include "identity/identity_conf.h"
#include "plan/plan_draft.h"
#include "upstream/upstream_directives.h"

void plan_name_add(struct plan_work *work, struct map *map, struct span name, unsigned index,
                   const struct config_node *at, const char *noun)
{
    enum err err = name.len == 0 ? ERR_OK /* its fault was told */
                                 : map_add(map, name, (void *)((uintptr_t)index + 1));
    if (err == ERR_EXISTS)
        config_error(work->load->doc, at, "another %s has the name %s", noun,
                     config_quote(name).text);
    else if (err != ERR_OK)
        config_out_of_memory(work->load->doc);
}

int plan_name_find(const struct map *map, struct span name)
{
    return (int)(uintptr_t)map_find(map, name) - 1;
}

metrics_slot plan_slot(const struct plan_work *work, enum metrics_family family, struct span value1,
                       struct span value2)
{
    if (work->registry == NULL)
        return METRICS_SLOT_LOST;
    return metrics_registry_slot(work->registry, family, value1, value2);
}

bool plan_slot_is_folded(const struct plan_work *work, metrics_slot slot)
{
    return work->registry != NULL && metrics_registry_is_folded(work->registry, slot);
}

static void link_listeners(struct plan_work *work)
{
    struct plan *plan = &work->draft->plan;
    plan->listeners = work->draft->listeners.items;
    plan->listener_count = work->draft->listeners.count;
    for (unsigned i = 0; i < plan->listener_count; i++) {
        struct plan_listener *listener = &plan->listeners[i];
        const struct config_node *node = work->draft->listeners.nodes[i];
        const struct config_node *name = config_find(node, "name");
        if (name == NULL)
            listener->name = listener->address_text;
        if (name == NULL && map_find(&work->names.listeners, listener->name) != NULL)
            continue; /* two of one address: plan_check tells */
        plan_name_add(work, &work->names.listeners, listener->name, i, name != NULL ? name : node,
                      "listener");
    }
}

static void link_servers(struct plan_work *work, struct upstream_conf *conf)
{
    conf->slot_servers = plan_slot(work, METRICS_FAMILY_UPSTREAM_SERVERS, conf->name, SPAN_NONE);
    conf->slot_usable = plan_slot(work, METRICS_FAMILY_UPSTREAM_USABLE, conf->name, SPAN_NONE);
    conf->slot_response = plan_slot(work, METRICS_FAMILY_UPSTREAM_RESPONSE, conf->name, SPAN_NONE);
    for (unsigned i = 0; i < conf->server_count && work->registry != NULL; i++) {
        struct upstream_server_conf *server = &conf->servers[i];
        struct span name = server->address_text;
        server->slot_ok = plan_slot(work, METRICS_FAMILY_SERVER_OK, conf->name, name);
        server->slot_failed = plan_slot(work, METRICS_FAMILY_SERVER_FAILED, conf->name, name);
        server->slot_open = plan_slot(work, METRICS_FAMILY_SERVER_OPEN, conf->name, name);
        server->slot_usable = plan_slot(work, METRICS_FAMILY_SERVER_USABLE, conf->name, name);
        server->slot_ordered = plan_slot(work, METRICS_FAMILY_SERVER_ORDERED, conf->name, name);
        server->is_folded = plan_slot_is_folded(work, server->slot_ok);
    }
}

static void link_upstreams(struct plan_work *work)
{
    struct plan *plan = &work->draft->plan;
    struct upstream_draft *drafts = work->draft->upstreams.items;
    unsigned count = work->draft->upstreams.count;
    plan->upstreams = arena_take_zeroed(&plan->arena, count * sizeof(*plan->upstreams));
    if (plan->upstreams == NULL) {
        config_out_of_memory(work->load->doc);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        int twice = upstream_draft_finish(&drafts[i]);
        if (twice >= 0)
            config_error(work->load->doc, drafts[i].servers.nodes[twice],
                         "this server is listed twice");
        plan->upstreams[i] = drafts[i].conf;
        link_servers(work, &plan->upstreams[i]);
        plan_name_add(work, &work->names.upstreams, drafts[i].conf.name, i,
                      work->draft->upstreams.nodes[i], "upstream");
    }
    plan->upstream_count = count;
}

void plan_link_hashes(struct plan_work *work)
{
    struct plan *plan = &work->draft->plan;
    for (unsigned i = 0; i < plan->upstream_count; i++) {
        const struct config_node *node = config_find(work->draft->upstreams.nodes[i], "hash_by");
        const bool is_text = node != NULL && node->kind == CONFIG_KIND_STRING;
        plan->upstreams[i].hash_identity = is_text ? plan_link_key(work, node) : -1;
    }
}

/* The keys of tokens. */
static void link_keys(struct plan_work *work, struct identity *identity,
                      const struct identity_draft *draft, const struct config_node *node)
{
    const struct identity_key_draft *keys = draft->keys.items;
    struct config_doc *doc = work->load->doc;
    bool has_jwt = false;
    for (unsigned i = 0; i < identity->from_count; i++)
        has_jwt = has_jwt || identity->from[i].kind == IDENTITY_JWT;
    if (has_jwt != (draft->keys.count != 0))
        config_error(doc, node,
                     has_jwt ? "\"keys\" are missing: what \"jwt:CLAIM\" is proven with"
                             : "\"keys\" only with a source \"jwt:CLAIM\"");
    if (!has_jwt)
        return;
    struct identity_jwt *jwt = identity_jwt_new(draft->leeway_us / 1000000);
    identity->jwt = jwt;
    if (jwt == NULL)
        config_out_of_memory(doc);
    for (unsigned i = 0; jwt != NULL && i < draft->keys.count; i++) {
        const char *sentence = keys[i].key.len == 0 ? NULL /* told already */
                                                    : identity_jwt_add(jwt, keys[i].algorithm,
                                                                       keys[i].key, &keys[i].terms);
        if (sentence != NULL)
            config_error(doc, draft->keys.nodes[i], "%s", sentence);
    }
}

/* Room for the identities of the file and one for every key, or hash of an upstream, that may name a source directly. */
static void link_identities(struct plan_work *work)
{
    struct plan *plan = &work->draft->plan;
    const struct config_items *named = &work->draft->identities;
    size_t room = named->count + (size_t)work->draft->quotas.count * QUOTA_KEY_MAX +
                  work->draft->upstreams.count;
    plan->identities = arena_take_zeroed(&plan->arena, room * sizeof(*plan->identities));
    if (plan->identities == NULL) {
        config_out_of_memory(work->load->doc);
        return;
    }
    const struct identity_draft *drafts = named->items;
    plan->identity_count = named->count;
    for (unsigned i = 0; i < named->count; i++) {
        plan->identities[i] = drafts[i].identity;
        link_keys(work, &plan->identities[i], &drafts[i], named->nodes[i]);
    }
    for (unsigned i = 0; i < named->count; i++)
        plan_name_add(work, &work->names.identities, plan->identities[i].name, i, named->nodes[i],
                      "identity");
}

static void add_header(struct identity_headers *headers, struct span *names, struct span name,
                       uint8_t field_id)
{
    if (field_id != HTTP_FIELD_OTHER)
        return;
    for (unsigned i = 0; i < headers->count; i++) {
        if (span_eq_nocase(names[i], name))
            return;
    }
    names[headers->count++] = name;
    headers->has_underscore = headers->has_underscore || span_find(name, '_') < name.len;
}

static void link_identity_headers(struct plan_work *work)
{
    struct plan *plan = &work->draft->plan;
    struct identity_headers *headers = &plan->identity_headers;
    size_t room = 1;
    for (unsigned i = 0; i < plan->identity_count; i++)
        room += plan->identities[i].from_count;
    struct span *names = arena_take_zeroed(&plan->arena, room * sizeof(*names));
    if (names == NULL) {
        config_out_of_memory(work->load->doc);
        return;
    }
    headers->names = names;
    for (unsigned i = 0; i < plan->identity_count; i++) {
        const struct identity *identity = &plan->identities[i];
        for (unsigned j = 0; j < identity->from_count; j++) {
            if (identity->from[j].kind == IDENTITY_HEADER)
                add_header(headers, names, identity->from[j].name, identity->from[j].field_id);
        }
    }
    if (plan->trust.hops == IDENTITY_HOPS_HEADER)
        add_header(headers, names, plan->trust.header_name, plan->trust.header_id);
}

void plan_link(struct plan_work *work)
{
    link_listeners(work);
    link_upstreams(work);
    link_identities(work);
    if (work->load->doc->report->errors == 0) /* half a plan has half the files */
        plan_link_tls(work);
    if (work->load->doc->report->is_out_of_memory)
        return;
    plan_link_tier_names(work);
    plan_link_quotas(work);
    plan_link_hashes(work);
    if (work->load->doc->report->is_out_of_memory)
        return;
    plan_link_tiers(work);
    plan_link_buckets(work);
    link_identity_headers(work);
    plan_link_errors(work);
    plan_link_routes(work);
}
