/* SPDX-License-Identifier: Apache-2.0 */
/* plan_check_balance.c - servers that share what comes.  Takes: a linked plan.  Gives: warnings for weights, backups,
 * queues and hashes that hardly were meant.  Never: changes the plan. */
#include "plan/plan_draft.h"
#include "upstream/upstream_pick.h"

static const struct config_node *member_or_self(const struct config_node *node, const char *key)
{
    const struct config_node *member = config_find(node, key);
    return member != NULL ? member : node;
}

static void check_servers(struct plan_work *work, const struct upstream_conf *conf,
                          const struct config_node *node)
{
    unsigned primaries = 0, backups = 0, taking = 0, bounded = 0;
    for (unsigned i = 0; i < conf->server_count; i++) {
        const struct upstream_server_conf *server = &conf->servers[i];
        *(server->is_backup ? &backups : &primaries) += 1;
        taking += server->weight != 0 && !server->is_backup;
        bounded += server->max_connections != 0;
        if (server->weight == 0 && server->is_backup)
            backups--;
    }
    const struct config_node *servers = member_or_self(node, "servers");
    if (taking == 0 && backups == 0)
        config_warning(work->load->doc, servers,
                       "every server has the weight 0: requests of this upstream are answered "
                       "with 502");
    else if (primaries == 0)
        config_warning(work->load->doc, servers,
                       "every server is a backup: there is none that they stand in for");
    else if (taking == 0)
        config_warning(work->load->doc, servers,
                       "every server but backups has the weight 0: the backups take all requests");
    if (bounded == 0 && config_find(node, "queue") != NULL)
        config_warning(work->load->doc, config_find(node, "queue"),
                       "no server has \"max_connections\": nobody ever waits");
}

static bool any_client_certificate(const struct plan *plan)
{
    for (unsigned i = 0; i < plan->listener_count; i++) {
        if (plan->listeners[i].tls_draft.clients.verify != NET_TLS_VERIFY_OFF)
            return true;
    }
    return false;
}

/* Could a request of this route have the source? */
static bool route_has_source(const struct plan *plan, const struct plan_route *route,
                             const struct identity_source *source)
{
    switch (source->kind) {
    case IDENTITY_PATH:
        return plan_path_has(route->rule->path, source->name);
    case IDENTITY_TOKEN_PROJECT:
        return route->looks_up_project;
    case IDENTITY_CERTIFICATE:
        return any_client_certificate(plan);
    default:
        return true;
    }
}

static void check_hash(struct plan_work *work, unsigned index)
{
    const struct plan *plan = &work->draft->plan;
    const struct plan_route *route = &plan->routes[index];
    if (route->hash_identity < 0)
        return;
    const struct identity *identity = &plan->identities[route->hash_identity];
    for (unsigned i = 0; i < identity->from_count; i++) {
        if (route_has_source(plan, route, &identity->from[i]))
            return;
    }
    config_warning(work->load->doc, member_or_self(work->draft->routes.nodes[index], "upstream"),
                   "upstream %s hashes by %s, which requests of this route never have",
                   config_quote(plan->upstreams[route->upstream].name).text,
                   config_quote(identity->name).text);
}

void plan_check_balance(struct plan_work *work)
{
    const struct plan *plan = &work->draft->plan;
    for (unsigned i = 0; i < plan->upstream_count; i++)
        check_servers(work, &plan->upstreams[i], work->draft->upstreams.nodes[i]);
    for (unsigned i = 0; i < plan->route_count; i++)
        check_hash(work, i);
}
