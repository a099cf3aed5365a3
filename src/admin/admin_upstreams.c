/* SPDX-License-Identifier: Apache-2.0 */
/* admin_upstreams.c - see admin_upstreams.h.  Takes: what the process knows of its servers, what workers have of them, names in a
 * path.  Gives: JSON; an order carried out, and an event line that says by whom.  A name only ever is compared with
 * those of the configuration. */
#include "admin/admin_upstreams.h"

#include <stdlib.h>
#include <string.h>

#include "admin/admin_audit.h"
#include "admin/admin_json.h"
#include "admin/admin_query.h"
#include "base/base_clock.h"
#include "base/base_fmt.h"
#include "base/base_log.h"
#include "config/config_json.h"
#include "config/config_near.h"
#include "exchange/exchange_env.h"
#include "upstream/upstream_seen.h"
#include "upstream/upstream_standing.h"
#include "worker/worker.h"

#define DETAIL_MAX 1024
#define NAME_SHOWN 200 /* bytes of a name in a sentence */

static json_t *sum(const struct admin *admin, metrics_slot slot)
{
    return admin_json_sum(admin->env.metrics, slot);
}

static json_t *ago(uint64_t at_us, uint64_t now_us)
{
    return admin_json_number(now_us > at_us ? (now_us - at_us) / 1000000 : 0);
}

/* ---- what is told ---- */

void admin_upstreams_put_state(json_t **json, const struct upstream_standing *standing)
{
    config_json_set(json, "state", json_string(UPSTREAM_STATE_WORDS[standing->state]));
    if (standing->reason[0] != '\0')
        config_json_set(json, "reason", json_string(standing->reason));
}

/* With what its connections and its name add to its state. */
static void put_state(json_t **json, const struct upstream_standing *standing,
                      const struct upstream_seen *seen, unsigned in_progress)
{
    admin_upstreams_put_state(json, standing);
    if (standing->state == UPSTREAM_STATE_DRAINING && in_progress == 0)
        config_json_set(json, "state", json_string("drained"));
    if (standing->state == UPSTREAM_STATE_UP && seen->address_count == 0) {
        config_json_set(json, "state", json_string("unresolved"));
        config_json_set(json, "reason", json_string("its name has led to no address yet"));
    }
}

/* Of a state with an end: how long until then, rounded up.  Of one that an order holds: since when. */
static void put_times(json_t **json, const struct upstream_standing *standing, uint64_t now_us)
{
    char at[FMT_RFC3339_MAX];
    if (standing->state == UPSTREAM_STATE_EJECTED) {
        const uint64_t left_us = standing->until_us > now_us ? standing->until_us - now_us : 0;
        config_json_set(json, "tried_again_in_s", admin_json_number((left_us + 999999) / 1000000));
    }
    if (standing->ordered_at_us == 0)
        return;
    const size_t len = (size_t)(fmt_rfc3339_ms(at, standing->ordered_at_us) - at);
    config_json_set(json, "ordered_at", json_stringn(at, len));
    config_json_set(json, "ordered_for_s", ago(standing->ordered_at_us, clock_wall_us()));
}

static json_t *check_json(const struct upstream_checked *check, uint64_t now_us)
{
    if (check->at_us == 0)
        return json_null();
    json_t *json = json_pack("{s:b}", "good", check->is_good ? 1 : 0);
    config_json_set(&json, "status",
                    check->status == 0 ? json_null() : admin_json_number(check->status));
    config_json_set(&json, "reason",
                    check->reason == NULL || check->is_good ? json_null()
                                                            : json_string(check->reason));
    config_json_set(&json, "ago_s", ago(check->at_us, now_us));
    return json;
}

static json_t *failure_json(const struct upstream_standing *standing, uint64_t now_us)
{
    if (standing->failure == NULL)
        return json_null();
    json_t *json = json_pack("{s:s}", "reason", standing->failure);
    config_json_set(&json, "ago_s", ago(standing->failed_at_us, now_us));
    return json;
}

static json_t *addresses_json(const struct upstream_seen *seen)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < seen->address_count; i++) {
        char out[NET_ADDRESS_TEXT_MAX];
        const size_t len = net_address_format(out, &seen->addresses[i]);
        config_json_append(&list, json_stringn(out, len));
    }
    return list;
}

static json_t *server_json(const struct admin *admin, const struct upstream_server_conf *conf,
                           const struct upstream_seen *seen)
{
    struct upstream_standing standing = {0};
    const uint64_t now_us = clock_mono_us();
    const unsigned in_progress = seen->open > seen->idle ? seen->open - seen->idle : 0;
    json_t *json = json_object();
    (void)upstream_standing_of(admin->env.health, seen->upstream, seen->server, &standing);
    config_json_set(&json, "server", admin_json_text(conf->address_text));
    put_state(&json, &standing, seen, in_progress);
    put_times(&json, &standing, now_us);
    config_json_set(&json, "used", json_boolean(standing.is_used && seen->address_count != 0));
    config_json_set(&json, "addresses", addresses_json(seen));
    config_json_set(&json, "weight", admin_json_number(conf->weight));
    config_json_set(&json, "backup", json_boolean(conf->is_backup));
    config_json_set(&json, "in_progress", admin_json_number(in_progress));
    config_json_set(&json, "idle", admin_json_number(seen->idle));
    config_json_set(&json, "max_connections",
                    conf->max_connections == 0 ? json_null()
                                               : admin_json_number(conf->max_connections));
    config_json_set(&json, "ok", conf->is_folded ? json_null() : sum(admin, conf->slot_ok));
    config_json_set(&json, "failed", conf->is_folded ? json_null() : sum(admin, conf->slot_failed));
    config_json_set(&json, "failures_in_a_row", admin_json_number(standing.failed_run));
    config_json_set(&json, "last_error", failure_json(&standing, now_us));
    config_json_set(&json, "check", check_json(&standing.check, now_us));
    return json;
}

static json_t *upstream_json(const struct admin *admin, const struct upstream_conf *conf,
                             const struct upstream_seen *seen)
{
    struct upstream_group_standing standing = {0};
    json_t *servers = json_array();
    (void)upstream_standing_of_group(admin->env.health, conf->name, &standing);
    for (unsigned i = 0; i < conf->server_count; i++)
        config_json_append(&servers, server_json(admin, &conf->servers[i], &seen[i]));
    json_t *json = json_object();
    config_json_set(&json, "upstream", admin_json_text(conf->name));
    config_json_set(&json, "usable", admin_json_number(standing.usable));
    config_json_set(&json, "panic", json_boolean(standing.is_panic));
    config_json_set(&json, "empty", json_boolean(standing.is_empty));
    config_json_set(&json, "servers", servers);
    return json;
}

/* ---- what workers have ---- */

struct upstreams_look {
    struct upstream_seen *seen; /* of all servers that are asked for, in order */
    unsigned count;
};

/* On the worker's thread. */
static void upstreams_see(const struct exchange_env *exchanges, void *arg)
{
    const struct upstreams_look *look = arg;
    for (unsigned i = 0; i < look->count; i++)
        upstream_set_see(exchanges->upstreams, &look->seen[i]);
}

static void upstreams_obey(const struct exchange_env *exchanges, void *arg)
{
    (void)arg;
    upstream_set_obey(exchanges->upstreams);
}

/* Rows of these upstreams; malloc'ed, NULL: no memory. */
static struct upstream_seen *upstreams_look(const struct admin_facts *facts,
                                            const struct upstream_conf *upstreams, unsigned count)
{
    struct upstreams_look look = {0};
    for (unsigned i = 0; i < count; i++)
        look.count += upstreams[i].server_count;
    look.seen = calloc(look.count + 1, sizeof(*look.seen));
    if (look.seen == NULL)
        return NULL;
    struct upstream_seen *seen = look.seen;
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < upstreams[i].server_count; k++, seen++) {
            seen->upstream = upstreams[i].name;
            seen->server = upstreams[i].servers[k].address_text;
        }
    }
    bool is_whole = true;
    for (unsigned i = 0; i < facts->workers && is_whole; i++)
        is_whole = worker_look(facts->worker_list[i], upstreams_see, &look) == ERR_OK;
    if (is_whole)
        return look.seen;
    free(look.seen);
    return NULL;
}

/* ---- names ---- */

static const struct upstream_conf *find_upstream(const struct plan *plan, struct span name)
{
    for (unsigned i = 0; i < plan->upstream_count; i++)
        if (span_eq(plan->upstreams[i].name, name))
            return &plan->upstreams[i];
    return NULL;
}

static const struct upstream_server_conf *find_server(const struct upstream_conf *upstream,
                                                      struct span name)
{
    for (unsigned i = 0; i < upstream->server_count; i++)
        if (span_eq(upstream->servers[i].address_text, name))
            return &upstream->servers[i];
    return NULL;
}

static int shown(struct span name)
{
    return (int)(name.len < NAME_SHOWN ? name.len : NAME_SHOWN);
}

/* 404 with a suggestion.  What was asked for is not repeated: it may be anything. */
static void send_unknown(struct admin_conn *conn, const char *what, const struct config_near *near)
{
    char detail[DETAIL_MAX];
    if (near->best.ptr == NULL)
        snprintf(detail, sizeof(detail), "there is no such %s", what);
    else
        snprintf(detail, sizeof(detail), "there is no such %s (did you mean \"%.*s\"?)", what,
                 shown(near->best), near->best.ptr);
    admin_send_problem(conn, 404, detail);
}

static void send_unknown_upstream(struct admin_conn *conn, const struct plan *plan,
                                  struct span name)
{
    struct config_near near = config_near_to(name);
    for (unsigned i = 0; i < plan->upstream_count; i++)
        config_near_try(&near, plan->upstreams[i].name, false);
    send_unknown(conn, "upstream", &near);
}

static void send_unknown_server(struct admin_conn *conn, const struct upstream_conf *upstream,
                                struct span name)
{
    struct config_near near = config_near_to(name);
    for (unsigned i = 0; i < upstream->server_count; i++)
        config_near_try(&near, upstream->servers[i].address_text, false);
    send_unknown(conn, "server in this upstream", &near);
}

/* ---- looking ---- */

void admin_upstreams_answer(struct admin_conn *conn, struct span query)
{
    struct admin *admin = conn->admin;
    struct admin_facts facts = {0};
    char name[ADMIN_QUERY_VALUE_MAX];
    size_t len;
    admin->env.hooks.facts(admin->env.hooks.arg, &facts);
    const struct plan *plan = facts.plan;
    const struct upstream_conf *upstreams = plan->upstreams;
    unsigned count = plan->upstream_count;
    if (!admin_query_find(query, "upstream", name, &len)) {
        admin_send_problem(conn, 400, "\"upstream\" must name an upstream, once");
        return;
    }
    if (len != 0) {
        upstreams = find_upstream(plan, (struct span){name, len});
        count = 1;
        if (upstreams == NULL) {
            send_unknown_upstream(conn, plan, (struct span){name, len});
            return;
        }
    }
    struct upstream_seen *rows = upstreams_look(&facts, upstreams, count), *seen = rows;
    if (rows == NULL) {
        admin_send_problem(conn, 500, "out of memory");
        return;
    }
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++) {
        config_json_append(&list, upstream_json(admin, &upstreams[i], seen));
        seen += upstreams[i].server_count;
    }
    free(rows);
    admin_send_json(conn, 200, json_pack("{s:o}", "upstreams", list));
}

/* ---- orders ---- */

/* What a path and a query ask for. */
struct order {
    char upstream[ADMIN_QUERY_VALUE_MAX], server[ADMIN_QUERY_VALUE_MAX];
    size_t upstream_len, server_len;
    enum upstream_order order;
    bool is_forced;
};

static bool read_verb(struct span word, enum upstream_order *order)
{
    for (unsigned i = 0; i < UPSTREAM_ORDER_COUNT; i++) {
        if (span_eq(word, span_of(UPSTREAM_ORDER_WORDS[i]))) {
            *order = (enum upstream_order)i;
            return true;
        }
    }
    return false;
}

/* NULL, or what is wrong. */
static const char *read_order(struct span path, struct span query, struct order *order)
{
    static const char grammar[] =
        "the path is /v1/upstreams/UPSTREAM/SERVER:ORDER, names with percent-escapes, and ORDER is "
        "drain, ready or down";
    char force[ADMIN_QUERY_VALUE_MAX];
    size_t force_len;
    const size_t prefix = sizeof(ADMIN_UPSTREAMS_PATH) - 1;
    const struct span names = {path.ptr + prefix, path.len - prefix};
    const size_t slash = span_find(names, '/');
    const char *colon = memrchr(names.ptr, ':', names.len);
    if (slash == names.len || colon == NULL || colon < names.ptr + slash)
        return grammar;
    const struct span upstream = {names.ptr, slash};
    const struct span server = {names.ptr + slash + 1, (size_t)(colon - names.ptr) - slash - 1};
    const struct span verb = {colon + 1, (size_t)(names.ptr + names.len - colon) - 1};
    if (upstream.len == 0 || server.len == 0 || span_find(server, '/') != server.len ||
        !read_verb(verb, &order->order) ||
        !admin_query_decode(upstream, order->upstream, &order->upstream_len) ||
        !admin_query_decode(server, order->server, &order->server_len))
        return grammar;
    if (!admin_query_find(query, "force", force, &force_len) ||
        (force_len != 0 && strcmp(force, "1") != 0))
        return "\"force\" must be 1, once";
    order->is_forced = force_len != 0;
    return NULL;
}

static void close_kept(const struct admin_facts *facts)
{
    for (unsigned i = 0; i < facts->workers; i++)
        if (worker_look(facts->worker_list[i], upstreams_obey, NULL) != ERR_OK)
            log_warn("out of memory: kept connections to a server that is ordered down end with "
                     "their time");
}

/* Both logs; the standings are those before and behind it, the same where it was refused. */
static void order_tell(const struct admin_conn *conn, const struct order *order,
                       const struct upstream_standing *before,
                       const struct upstream_standing *after, bool is_refused)
{
    char verb[32], target[2 * ADMIN_QUERY_VALUE_MAX];
    json_t *json = json_object();
    snprintf(verb, sizeof(verb), "upstreams:%s", UPSTREAM_ORDER_WORDS[order->order]);
    snprintf(target, sizeof(target), "%s/%s", order->upstream, order->server);
    config_json_set(&json, "state", json_string(UPSTREAM_STATE_WORDS[after->state]));
    if (order->is_forced)
        config_json_set(&json, "forced", json_true());
    if (is_refused)
        config_json_set(&json, "refused", json_true());
    admin_audit_change(conn, verb, target,
                       json_pack("{s:s}", "state", UPSTREAM_STATE_WORDS[before->state]), json);
}

static void order_refuse(struct admin_conn *conn, const struct upstream_conf *upstream,
                         const struct upstream_server_conf *server,
                         enum upstream_order_result result)
{
    char detail[DETAIL_MAX];
    const int upstream_len = shown(upstream->name), server_len = shown(server->address_text);
    if (result == UPSTREAM_ORDER_LAST)
        snprintf(detail, sizeof(detail),
                 "%.*s is the last usable server of upstream %.*s: without it requests have "
                 "nowhere to go.  Bring another one back first, or insist with --force "
                 "(?force=1)",
                 server_len, server->address_text.ptr, upstream_len, upstream->name.ptr);
    else if (result == UPSTREAM_ORDER_FULL)
        snprintf(detail, sizeof(detail),
                 "%d servers are ordered away, and no more can be: set one ready first",
                 UPSTREAM_ORDERS_MAX);
    else
        snprintf(detail, sizeof(detail), "the server is not in force yet: try again");
    log_info("refused: %s", detail);
    admin_send_problem(conn, 409, detail);
}

static json_t *order_json(const struct admin *admin, const struct order *order,
                          const struct upstream_conf *upstream,
                          const struct upstream_server_conf *server,
                          const struct upstream_seen *seen, const struct upstream_standing *before)
{
    struct upstream_group_standing group = {0};
    (void)upstream_standing_of_group(admin->env.health, upstream->name, &group);
    json_t *json = json_object();
    config_json_set(&json, "done", json_string(UPSTREAM_ORDER_WORDS[order->order]));
    config_json_set(&json, "upstream", admin_json_text(upstream->name));
    config_json_set(&json, "was", json_string(UPSTREAM_STATE_WORDS[before->state]));
    config_json_set(&json, "usable", admin_json_number(group.usable));
    config_json_set(&json, "servers", admin_json_number(group.servers));
    config_json_set(&json, "now", server_json(admin, server, seen));
    return json;
}

static void order_carry_out(struct admin_conn *conn, const struct order *order,
                            const struct admin_facts *facts, const struct upstream_conf *upstream,
                            const struct upstream_server_conf *server)
{
    struct upstream_health *health = conn->admin->env.health;
    struct upstream_standing before = {0}, after = {0};
    const struct upstream_ordered ordered = {order->order, clock_wall_us()};
    (void)upstream_standing_of(health, upstream->name, server->address_text, &before);
    const enum upstream_order_result result = upstream_health_order(
        health, upstream->name, server->address_text, ordered, order->is_forced);
    (void)upstream_standing_of(health, upstream->name, server->address_text, &after);
    order_tell(conn, order, &before, &after, result != UPSTREAM_ORDERED);
    if (result != UPSTREAM_ORDERED) {
        order_refuse(conn, upstream, server, result);
        return;
    }
    if (order->order == UPSTREAM_ORDER_DOWN)
        close_kept(facts);
    struct upstream_seen *rows = upstreams_look(facts, upstream, 1);
    if (rows == NULL) {
        admin_send_problem(conn, 500, "the order is carried out, but there is no memory to tell");
        return;
    }
    admin_send_json(conn, 200,
                    order_json(conn->admin, order, upstream, server,
                               &rows[server - upstream->servers], &before));
    free(rows);
}

void admin_upstreams_order(struct admin_conn *conn, struct span query)
{
    struct admin *admin = conn->admin;
    struct admin_facts facts = {0};
    struct order order = {0};
    const char *fault = read_order(conn->path, query, &order);
    if (fault != NULL) {
        admin_send_problem(conn, 400, fault);
        return;
    }
    admin->env.hooks.facts(admin->env.hooks.arg, &facts);
    const struct span upstream_name = {order.upstream, order.upstream_len};
    const struct span server_name = {order.server, order.server_len};
    const struct upstream_conf *upstream = find_upstream(facts.plan, upstream_name);
    const struct upstream_server_conf *server =
        upstream == NULL ? NULL : find_server(upstream, server_name);
    if (upstream == NULL)
        send_unknown_upstream(conn, facts.plan, upstream_name);
    else if (server == NULL)
        send_unknown_server(conn, upstream, server_name);
    else
        order_carry_out(conn, &order, &facts, upstream, server);
}
