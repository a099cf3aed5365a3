/* SPDX-License-Identifier: Apache-2.0 */
/* admin_status.c - the state of the process as JSON.  Takes: facts, counters and the plan in force.
 * Gives: text, whole or not at all.  Never shows a secret or a subject. */
#include <jansson.h>
#include <unistd.h>

#include "admin/admin_json.h"
#include "admin/admin_upstreams.h"
#include "base/base_clock.h"
#include "config/config_json.h"
#include "store/store_redis_directives.h"
#include "upstream/upstream_standing.h"

static json_t *sum(const struct admin *admin, metrics_slot slot)
{
    return admin_json_sum(admin->env.metrics, slot);
}

static json_t *status_config(const struct admin_facts *facts)
{
    static const char *const results[] = {
        [ADMIN_RELOAD_NONE] = "none",
        [ADMIN_RELOAD_APPLIED] = "applied",
        [ADMIN_RELOAD_REFUSED] = "refused",
    };
    char hash[17];
    snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)facts->config_hash);
    json_t *json = json_pack(
        "{s:I, s:s, s:s, s:b, s:{s:s, s:s}}", "generation", (json_int_t)facts->plan->generation,
        "file", facts->config_path, "hash", hash, "stale", facts->is_stale, "last_reload", "result",
        results[facts->reload], "text", facts->reload_text == NULL ? "" : facts->reload_text);
    if (json == NULL || facts->reload == ADMIN_RELOAD_NONE ||
        json_object_set_new(json_object_get(json, "last_reload"), "at",
                            admin_json_instant(facts->reload_at_us)) == 0)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *status_listen(const struct plan *plan)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < plan->listener_count; i++) {
        const struct plan_listener *listener = &plan->listeners[i];
        config_json_append(&list, json_pack("{s:o, s:o}", "name", admin_json_text(listener->name),
                                            "address", admin_json_text(listener->address_text)));
    }
    return list;
}

static json_t *status_servers(const struct plan *plan)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < plan->redis.server_count; i++)
        config_json_append(&list, admin_json_text(plan->redis.servers[i].text));
    return list;
}

json_t *admin_status_store(const struct admin *admin, const struct plan *plan)
{
    struct lease_status lease = {0};
    json_t *json = json_object();
    if (admin->env.lease != NULL)
        lease_get_status(admin->env.lease, &lease);
    config_json_set(&json, "type", json_string(plan->store_is_memory ? "memory" : "redis"));
    if (!plan->store_is_memory) {
        config_json_set(&json, "topology",
                        json_string(STORE_REDIS_TOPOLOGIES[plan->redis.topology]));
        config_json_set(&json, "address", admin_json_text(plan->redis.servers[0].text));
        config_json_set(&json, "servers", status_servers(plan));
        config_json_set(&json, "state",
                        json_string(lease.workers_up == lease.workers ? "up"
                                    : lease.workers_up == 0           ? "away"
                                                                      : "degraded"));
        config_json_set(&json, "workers_up", admin_json_number(lease.workers_up));
        config_json_set(&json, "fleet", admin_json_number(lease.fleet));
        config_json_set(&json, "leases", admin_json_number(lease.leases));
        config_json_set(&json, "leased", admin_json_number(lease.leased));
        config_json_set(&json, "nodes", sum(admin, METRICS_STORE_NODES));
        config_json_set(&json, "nodes_up", sum(admin, METRICS_STORE_NODES_UP));
        config_json_set(&json, "failovers", sum(admin, METRICS_STORE_FAILOVERS));
        config_json_set(&json, "timeouts", sum(admin, METRICS_STORE_TIMEOUTS));
        config_json_set(&json, "errors", sum(admin, METRICS_STORE_ERRORS));
    } else {
        config_json_set(&json, "state", json_string("up"));
        config_json_set(&json, "state_file", admin_json_text(plan->store_state_file));
    }
    config_json_set(&json, "subjects", admin_json_number(lease.subjects));
    config_json_set(&json, "subjects_max", admin_json_number(lease.subjects_max));
    config_json_set(&json, "overflowed", sum(admin, METRICS_STORE_OVERFLOW));
    return json;
}

static json_t *status_decisions(const struct admin *admin)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "allow",
                     sum(admin, METRICS_DECISION_ALLOW), "refuse",
                     sum(admin, METRICS_DECISION_REFUSE), "exempt",
                     sum(admin, METRICS_DECISION_EXEMPT), "degraded_allow",
                     sum(admin, METRICS_DECISION_DEGRADED_ALLOW), "degraded_refuse",
                     sum(admin, METRICS_DECISION_DEGRADED_REFUSE), "none",
                     sum(admin, METRICS_DECISION_NONE), "near", sum(admin, METRICS_DECISION_NEAR));
}

static json_t *status_routes(const struct admin *admin, const struct plan *plan)
{
    static const char *const classes[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};
    json_t *list = json_array();
    for (unsigned i = 0; i < plan->route_count; i++) {
        const struct plan_route *route = &plan->routes[i];
        json_t *json = json_pack("{s:o}", "route", admin_json_text(route->rule->name));
        if (!route->is_folded) /* else the numbers are of many routes */
            config_json_set(&json, "requests", sum(admin, route->slot_requests));
        for (unsigned k = 1; k <= 5 && !route->is_folded; k++)
            config_json_set(&json, classes[k], sum(admin, route->slot_class[k]));
        config_json_append(&list, json);
    }
    return list;
}

/* While its upstream is in panic a server that is not up is used nevertheless, unless it is ordered away. */
static json_t *status_server(const struct admin *admin, const struct upstream_conf *upstream,
                             const struct upstream_server_conf *server)
{
    struct upstream_standing standing;
    json_t *json = json_pack("{s:o}", "server", admin_json_text(server->address_text));
    if (!server->is_folded) { /* else the numbers are of many servers */
        config_json_set(&json, "ok", sum(admin, server->slot_ok));
        config_json_set(&json, "failed", sum(admin, server->slot_failed));
        config_json_set(&json, "open", sum(admin, server->slot_open));
    }
    if (upstream_standing_of(admin->env.health, upstream->name, server->address_text, &standing))
        admin_upstreams_put_state(&json, &standing);
    return json;
}

json_t *admin_status_upstreams(const struct admin *admin, const struct plan *plan)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < plan->upstream_count; i++) {
        const struct upstream_conf *upstream = &plan->upstreams[i];
        json_t *servers = json_array();
        for (unsigned k = 0; k < upstream->server_count; k++)
            config_json_append(&servers, status_server(admin, upstream, &upstream->servers[k]));
        json_t *json = json_pack("{s:o, s:o}", "upstream", admin_json_text(upstream->name),
                                 "servers", servers);
        struct upstream_group_standing standing;
        if (upstream_standing_of_group(admin->env.health, upstream->name, &standing))
            config_json_set(&json, "panic", json_boolean(standing.is_panic));
        config_json_append(&list, json);
    }
    return list;
}

static json_t *status_log(const struct admin *admin, const struct plan *plan)
{
    struct loop_log_status log;
    loop_log_get_status(admin->env.log, &log);
    return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "access",
                     admin_json_text(plan->log.access), "error", admin_json_text(plan->log.error),
                     "boot", log.boot, "seq", admin_json_number(log.seq), "lines",
                     admin_json_number(log.lines), "dropped", admin_json_number(log.dropped),
                     "write_errors", admin_json_number(log.write_errors));
}

json_t *admin_status_connections(const struct admin *admin, const struct admin_facts *facts)
{
    uint64_t refused =
        metrics_registry_sum(admin->env.metrics, METRICS_CONNECTIONS_REFUSED_LIMIT) +
        metrics_registry_sum(admin->env.metrics, METRICS_CONNECTIONS_REFUSED_ADDRESS);
    return json_pack("{s:o, s:o, s:o, s:o}", "open", admin_json_number(facts->connections_open),
                     "max", admin_json_number(facts->plan->limits.connections_max), "accepted",
                     sum(admin, METRICS_CONNECTIONS_ACCEPTED), "refused",
                     admin_json_number(refused));
}

char *admin_status_json(struct admin *admin)
{
    struct admin_facts facts = {0};
    admin->env.hooks.facts(admin->env.hooks.arg, &facts);
    uint64_t now_us = clock_wall_us();
    uint64_t up_us = now_us > facts.started_at_us ? now_us - facts.started_at_us : 0;
    uint64_t service_us =
        now_us > facts.service_started_at_us ? now_us - facts.service_started_at_us : 0;
    json_t *json = json_object();
    const struct {
        const char *key;
        json_t *value;
    } members[] = {
        {"version", json_string(SLUICE_VERSION)},
        {"state", json_string(facts.is_draining ? "draining" : "serving")},
        {"pid", admin_json_number((uint64_t)getppid())}, /* the one that takes signals */
        {"serving_pid", admin_json_number((uint64_t)getpid())},
        {"started", admin_json_instant(facts.started_at_us)},
        {"uptime_s", admin_json_number(up_us / 1000000)},
        {"service_uptime_s", admin_json_number(service_us / 1000000)},
        {"restarts", admin_json_number(facts.restarts)},
        {"workers", admin_json_number(facts.workers)},
        {"config", status_config(&facts)},
        {"listen", status_listen(facts.plan)},
        {"connections", admin_status_connections(admin, &facts)},
        {"exchanges_open", sum(admin, METRICS_EXCHANGES_OPEN)},
        {"decisions", status_decisions(admin)},
        {"store", admin_status_store(admin, facts.plan)},
        {"routes", status_routes(admin, facts.plan)},
        {"upstreams", admin_status_upstreams(admin, facts.plan)},
        {"log", status_log(admin, facts.plan)},
    };
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        config_json_set(&json, members[i].key, members[i].value);
    char *out = config_json_text(json, JSON_COMPACT);
    json_decref(json);
    return out;
}
