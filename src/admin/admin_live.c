/* SPDX-License-Identifier: Apache-2.0 */
/* admin_live.c - all that changes, in one answer: for a page that asks each second.  Takes: counters, and what each worker knows,
 * looked at on its thread.  Gives: JSON.  Counters are since the start: whoever asks twice knows rates and, of the buckets,
 * percentiles.  Never shows a secret: subjects are as logs show them. */
#include "admin/admin_live.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin_json.h"
#include "admin/admin_private.h"
#include "admin/admin_process.h"
#include "base/base_clock.h"
#include "config/config_json.h"
#include "exchange/exchange_env.h"
#include "identity/identity_source.h"
#include "metrics/metrics_table.h"
#include "worker/worker.h"

#define LIVE_TOP     8 /* subjects of a quota, in each order */
#define LIVE_REFUSED 20
#define LIVE_ERRORS  5

/* What the workers said.  Owner: admin_live_answer. */
struct live {
    const struct admin *admin;
    const struct admin_facts *facts;
    struct record_refused_row *rows;
    size_t row_count;
    uint64_t kept, skipped; /* refusals, ever */
    uint64_t asked_us;      /* monotonic: when the worker that answers was asked */
    json_t *loops;
    metrics_slot slot_end[ENDS];
    metrics_slot slot_duration, slot_first, slot_store;
};

static json_t *sum(const struct live *live, metrics_slot slot)
{
    return admin_json_sum(live->admin->env.metrics, slot);
}

/* ---- who was refused ---- */

static int newest_first(const void *a, const void *b)
{
    const struct record_refused_row *x = a, *y = b;
    if (x->wall_us != y->wall_us)
        return x->wall_us < y->wall_us ? 1 : -1;
    return x->number == y->number ? 0 : x->number < y->number ? 1 : -1;
}

static bool is_same(const struct record_refused_row *a, const struct record_refused_row *b)
{
    return a->period_s == b->period_s && memcmp(a->key, b->key, sizeof(a->key)) == 0 &&
           memcmp(a->quota_id, b->quota_id, sizeof(a->quota_id)) == 0;
}

static json_t *refused_json(const struct record_refused_row *row)
{
    const struct span kind = identity_source_spelling((enum identity_kind)row->kind);
    const struct span window = {row->window, row->window_len};
    json_t *json = json_object();
    config_json_set(&json, "at", admin_json_instant(row->wall_us));
    config_json_set(&json, "subject",
                    admin_json_text((struct span){row->subject, row->subject_len}));
    if (row->is_cut)
        config_json_set(&json, "cut", json_true());
    config_json_set(&json, "kind", admin_json_text(kind));
    config_json_set(&json, "quota", admin_json_text((struct span){row->quota, row->quota_len}));
    config_json_set(&json, "window",
                    row->period_s == 0 ? json_string("in_flight") : admin_json_text(window));
    config_json_set(&json, "used", admin_json_number(row->used));
    config_json_set(&json, "limit", admin_json_number(row->limit));
    config_json_set(&json, "route", admin_json_text((struct span){row->route, row->route_len}));
    config_json_set(&json, "retry_after_s", admin_json_number(row->retry_after_s));
    config_json_set(&json, "degraded", json_boolean(row->is_degraded));
    return json;
}

json_t *admin_live_refused(struct record_refused_row *rows, size_t count, size_t limit)
{
    json_t *list = json_array();
    size_t told = 0;
    qsort(rows, count, sizeof(*rows), newest_first);
    for (size_t i = 0; i < count && told < limit; i++) {
        size_t earlier = 0;
        while (earlier < told && !is_same(&rows[earlier], &rows[i]))
            earlier++;
        if (earlier < told)
            continue;
        config_json_append(&list, refused_json(&rows[i]));
        rows[told++] = rows[i]; /* those that are told stand in front */
    }
    return list;
}

/* ---- what the workers know ---- */

/* On the worker's thread. */
static void live_look(const struct exchange_env *exchanges, void *arg)
{
    struct live *live = arg;
    const struct record_refused *refused = exchanges->refused;
    const uint64_t now_us = clock_mono_us();
    config_json_append(&live->loops,
                       admin_json_number(now_us > live->asked_us ? now_us - live->asked_us : 0));
    for (unsigned i = 0; i < RECORD_REFUSED; i++) {
        if (refused->rows[i].wall_us != 0)
            live->rows[live->row_count++] = refused->rows[i];
    }
    live->kept += refused->count;
    live->skipped += refused->skipped;
    memcpy(live->slot_end, exchanges->slot_end, sizeof(live->slot_end));
    live->slot_duration = exchanges->slot_duration;
    live->slot_first = exchanges->slot_first;
    live->slot_store = exchanges->slot_store;
}

/* False: no memory. */
static bool live_ask(struct live *live)
{
    const struct admin_facts *facts = live->facts;
    live->loops = json_array();
    live->rows = calloc((size_t)facts->workers * RECORD_REFUSED + 1, sizeof(*live->rows));
    for (unsigned i = 0; live->rows != NULL && i < facts->workers; i++) {
        live->asked_us = clock_mono_us();
        if (worker_look(facts->worker_list[i], live_look, live) != ERR_OK)
            return false;
    }
    return live->rows != NULL && live->loops != NULL;
}

/* ---- parts ---- */

static json_t *live_requests(const struct live *live)
{
    json_t *ends = json_object();
    uint64_t all = 0;
    for (unsigned i = 0; i < ENDS; i++) {
        const uint64_t ended =
            live->slot_end[i] == METRICS_SLOT_LOST
                ? 0
                : metrics_registry_sum(live->admin->env.metrics, live->slot_end[i]);
        all += ended;
        if (ended != 0)
            config_json_set(&ends, exchange_ending((enum exchange_end)i)->name.ptr,
                            admin_json_number(ended));
    }
    json_t *json = json_object();
    config_json_set(&json, "ended", admin_json_number(all));
    config_json_set(&json, "open", sum(live, METRICS_EXCHANGES_OPEN));
    config_json_set(&json, "limited", sum(live, live->slot_end[END_LIMITED]));
    config_json_set(&json, "near", sum(live, METRICS_DECISION_NEAR));
    config_json_set(&json, "ends", ends);
    return json;
}

/* Of those that have their numbers together one row. */
static json_t *live_routes(const struct live *live)
{
    static const char *const classes[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};
    const struct plan *plan = live->facts->plan;
    json_t *list = json_array();
    bool has_other = false;
    for (unsigned i = 0; i < plan->route_count; i++) {
        const struct plan_route *route = &plan->routes[i];
        if (route->is_folded && has_other)
            continue;
        has_other |= route->is_folded;
        json_t *json = json_object();
        config_json_set(&json, "route",
                        admin_json_text(route->is_folded ? METRICS_OTHER : route->rule->name));
        config_json_set(&json, "requests", sum(live, route->slot_requests));
        for (unsigned k = 1; k <= 5; k++)
            config_json_set(&json, classes[k], sum(live, route->slot_class[k]));
        config_json_append(&list, json);
    }
    return list;
}

static json_t *live_quota(const struct live *live, const struct quota *quota)
{
    json_t *json = json_object();
    config_json_set(&json, "quota",
                    admin_json_text(quota->is_folded ? METRICS_OTHER : quota->name));
    config_json_set(&json, "shadow",
                    json_boolean(!quota->is_folded && quota->mode == QUOTA_SHADOW));
    config_json_set(&json, "admitted", sum(live, quota->slot_allow));
    config_json_set(&json, "refused", sum(live, quota->slot_refuse));
    config_json_set(&json, "degraded", sum(live, quota->slot_degraded));
    return json;
}

/* Those of the file, then the buckets of identities; of those that have their numbers together one row. */
static json_t *live_quotas(const struct live *live)
{
    const struct plan *plan = live->facts->plan;
    json_t *list = json_array();
    bool has_other = false;
    for (unsigned i = 0; i < plan->quota_count + plan->identity_count; i++) {
        const struct quota *quota = i < plan->quota_count   ? &plan->quotas[i]
                                    : plan->buckets == NULL ? NULL
                                                            : plan->buckets[i - plan->quota_count];
        if (quota == NULL || (quota->is_folded && has_other))
            continue;
        has_other |= quota->is_folded;
        config_json_append(&list, live_quota(live, quota));
    }
    return list;
}

/* Counts of the buckets, each alone; the last is of what is above all bounds. */
static json_t *live_histogram(const struct live *live, metrics_slot slot)
{
    json_t *counts = json_array();
    for (unsigned i = 0; i <= METRICS_BUCKETS; i++)
        config_json_append(&counts,
                           slot == METRICS_SLOT_LOST ? admin_json_number(0) : sum(live, slot + i));
    json_t *json = json_object();
    config_json_set(&json, "counts", counts);
    config_json_set(&json, "sum_us",
                    slot == METRICS_SLOT_LOST ? admin_json_number(0)
                                              : sum(live, slot + METRICS_SUM));
    return json;
}

static json_t *live_latency(const struct live *live)
{
    json_t *bounds = json_array();
    for (unsigned i = 0; i < METRICS_BUCKETS; i++)
        config_json_append(&bounds, admin_json_number(metrics_bucket_us[i]));
    json_t *json = json_object();
    config_json_set(&json, "bounds_us", bounds);
    config_json_set(&json, "total", live_histogram(live, live->slot_duration));
    config_json_set(&json, "server", live_histogram(live, live->slot_first));
    config_json_set(&json, "decision", live_histogram(live, live->slot_store));
    return json;
}

static json_t *live_process(void)
{
    struct admin_process process;
    admin_process_read(&process);
    json_t *json = json_object();
    config_json_set(&json, "rss_bytes", admin_json_number(process.rss_bytes));
    config_json_set(&json, "cpu_us", admin_json_number(process.cpu_us));
    config_json_set(&json, "fds", admin_json_number(process.fds));
    config_json_set(&json, "fds_max", admin_json_number(process.fds_max));
    return json;
}

static json_t *live_log(const struct loop_log_status *log)
{
    json_t *json = json_object();
    config_json_set(&json, "seq", admin_json_number(log->seq));
    config_json_set(&json, "lines", admin_json_number(log->lines));
    config_json_set(&json, "dropped", admin_json_number(log->dropped));
    config_json_set(&json, "write_errors", admin_json_number(log->write_errors));
    return json;
}

static json_t *live_refused(const struct live *live)
{
    json_t *json = json_object();
    config_json_set(&json, "kept", admin_json_number(live->kept));
    config_json_set(&json, "passed_over", admin_json_number(live->skipped));
    config_json_set(&json, "rows", admin_live_refused(live->rows, live->row_count, LIVE_REFUSED));
    return json;
}

/* ---- the whole ---- */

static json_t *live_json(const struct live *live)
{
    static const struct admin_top_query top = {.has_both = true, .limit = LIVE_TOP};
    const struct admin_facts *facts = live->facts;
    const uint64_t now_us = clock_wall_us(), began_us = facts->started_at_us;
    struct loop_log_status log;
    json_t *json = json_object();
    loop_log_get_status(live->admin->env.log, &log);
    const struct {
        const char *key;
        json_t *value;
    } members[] = {
        {"at", admin_json_instant(now_us)},
        {"mono_us", admin_json_number(clock_mono_us())},
        {"version", json_string(SLUICE_VERSION)},
        {"boot", json_string(log.boot)},
        {"generation", admin_json_number(facts->plan->generation)},
        {"state", json_string(facts->is_draining ? "draining" : "serving")},
        {"stale", json_boolean(facts->is_stale)},
        {"reload_refused", json_boolean(facts->reload == ADMIN_RELOAD_REFUSED)},
        {"uptime_s", admin_json_number(now_us > began_us ? (now_us - began_us) / 1000000 : 0)},
        {"restarts", admin_json_number(facts->restarts)},
        {"pid", admin_json_number((uint64_t)getppid())}, /* the one that takes signals */
        {"requests", live_requests(live)},
        {"latency", live_latency(live)},
        {"routes", live_routes(live)},
        {"quotas", live_quotas(live)},
        {"top", admin_top_quotas(facts, &top)},
        {"refused", live_refused(live)},
        {"malformed", admin_errors_json(facts, LIVE_ERRORS)},
        {"connections", admin_status_connections(live->admin, facts)},
        {"upstreams", admin_status_upstreams(live->admin, facts->plan)},
        {"store", admin_status_store(live->admin, facts->plan)},
        {"log", live_log(&log)},
        {"process", live_process()},
        {"loop_lag_us", json_incref(live->loops)},
    };
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        config_json_set(&json, members[i].key, members[i].value);
    return json;
}

void admin_live_answer(struct admin_conn *conn, struct span query)
{
    const struct admin *admin = conn->admin;
    struct admin_facts facts = {0};
    struct live live = {.admin = admin, .facts = &facts};
    (void)query;
    admin->env.hooks.facts(admin->env.hooks.arg, &facts);
    json_t *json = live_ask(&live) ? live_json(&live) : NULL;
    if (json == NULL)
        admin_send_problem(conn, 503, "out of memory");
    else
        admin_send_json(conn, 200, json);
    json_decref(live.loops);
    free(live.rows);
}
