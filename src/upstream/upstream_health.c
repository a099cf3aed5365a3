/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_health.c - takes: outcomes from any thread.  Gives: who is left alone, and what has changed.  The rules
 * stand in upstream_rules.h; here are only the lock, the words that workers read, and the sentences. */
#include "upstream/upstream_health.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "upstream/upstream_health_private.h"

const char *const UPSTREAM_FAILURE_SENTENCES[UPSTREAM_FAILURES] = {
    [UPSTREAM_FAILURE_CONNECT] = "it cannot be connected to",
    [UPSTREAM_FAILURE_RESET] = "connections end without an answer",
    [UPSTREAM_FAILURE_TIMEOUT] = "it does not answer in time",
    [UPSTREAM_FAILURE_RESPONSE] = "what it says is no HTTP",
    [UPSTREAM_FAILURE_STATUS] = "it answers with errors",
};

static struct upstream_health_server *server_of(struct upstream_vital *vital)
{
    return LIST_OF(vital, struct upstream_health_server, vital);
}

struct upstream_health *upstream_health_new(struct upstream_orders *orders)
{
    struct upstream_health *health = calloc(1, sizeof(*health));
    if (health == NULL)
        return NULL;
    pthread_mutex_init(&health->lock, NULL);
    health->orders = orders;
    list_init(&health->groups);
    return health;
}

/* ---- groups and servers; all under the lock ---- */

static void group_free(struct upstream_health_group *group)
{
    list_remove(&group->node);
    free(group->name);
    free(group);
}

/* Leaves a group that may be empty. */
static void server_drop(struct upstream_health_server *server)
{
    if (--server->refs != 0)
        return;
    list_remove(&server->node);
    free(server->name);
    free(server);
}

static void server_unref(struct upstream_health_server *server)
{
    struct upstream_health_group *group = server->vital.group;
    server_drop(server);
    if (list_is_empty(&group->servers))
        group_free(group);
}

struct upstream_health_group *upstream_group_find(struct upstream_health *health, struct span name)
{
    LIST_EACH (node, &health->groups) {
        struct upstream_health_group *group = LIST_OF(node, struct upstream_health_group, node);
        if (span_eq(span_of(group->name), name))
            return group;
    }
    return NULL;
}

struct upstream_health_server *upstream_group_server(struct upstream_health_group *group,
                                                     struct span name)
{
    LIST_EACH (node, &group->servers) {
        struct upstream_health_server *server = LIST_OF(node, struct upstream_health_server, node);
        if (span_eq(span_of(server->name), name))
            return server;
    }
    return NULL;
}

static struct upstream_health_group *group_new(struct upstream_health *health,
                                               const struct upstream_conf *conf)
{
    struct upstream_health_group *group = calloc(1, sizeof(*group));
    if (group == NULL)
        return NULL;
    group->name = strndup(conf->name.ptr, conf->name.len);
    if (group->name == NULL) {
        free(group);
        return NULL;
    }
    group->health = health;
    group->conf = conf->health;
    list_init(&group->servers);
    list_push_back(&health->groups, &group->node);
    return group;
}

static struct upstream_health_server *server_ref(struct upstream_health *health,
                                                 const struct upstream_conf *conf, struct span name)
{
    struct upstream_health_group *group = upstream_group_find(health, conf->name);
    struct upstream_health_server *server =
        group == NULL ? NULL : upstream_group_server(group, name);
    if (server != NULL) {
        server->refs++;
        return server;
    }
    server = calloc(1, sizeof(*server));
    if (server == NULL || (server->name = strndup(name.ptr, name.len)) == NULL)
        goto fail;
    if (group == NULL)
        group = group_new(health, conf);
    if (group == NULL)
        goto fail;
    server->refs = 1;
    server->vital.group = group;
    list_push_back(&group->servers, &server->node);
    return server;
fail:
    if (server != NULL)
        free(server->name);
    free(server);
    return NULL;
}

static bool server_is_away(const struct upstream_health_server *server)
{
    return server->ordered.order != UPSTREAM_ORDER_NONE;
}

unsigned upstream_group_usable(const struct upstream_health_group *group)
{
    unsigned usable = 0;
    LIST_EACH (node, &group->servers) {
        const struct upstream_health_server *server =
            LIST_OF(node, struct upstream_health_server, node);
        usable +=
            server->is_named && !server_is_away(server) && upstream_health_server_is_well(server);
    }
    return usable;
}

unsigned upstream_group_counted(const struct upstream_health_group *group)
{
    unsigned counted = 0;
    LIST_EACH (node, &group->servers) {
        const struct upstream_health_server *server =
            LIST_OF(node, struct upstream_health_server, node);
        counted += server->is_named && !server_is_away(server);
    }
    return counted;
}

static unsigned group_ejected(const struct upstream_health_group *group)
{
    unsigned ejected = 0;
    LIST_EACH (node, &group->servers) {
        const struct upstream_health_server *server =
            LIST_OF(node, struct upstream_health_server, node);
        ejected += server->is_named && !server_is_away(server) && server->ejection.is_out;
    }
    return ejected;
}

/* Nobody is left of those who would take requests.  If none ever took any, the configuration wants it so. */
static bool group_is_empty(const struct upstream_health_group *group)
{
    unsigned takers = 0, left = 0;
    LIST_EACH (node, &group->servers) {
        const struct upstream_health_server *server =
            LIST_OF(node, struct upstream_health_server, node);
        takers += server->is_named && server->takes;
        left += server->is_named && server->takes && !server_is_away(server);
    }
    return takers != 0 && left == 0;
}

/* An order is stronger than a panic. */
static unsigned server_state(const struct upstream_health_server *server, bool is_panic)
{
    if (server->ordered.order == UPSTREAM_ORDER_DOWN)
        return UPSTREAM_VITAL_OUT | UPSTREAM_VITAL_ILL | UPSTREAM_VITAL_AWAY | UPSTREAM_VITAL_DOWN;
    if (server_is_away(server))
        return UPSTREAM_VITAL_OUT | UPSTREAM_VITAL_ILL | UPSTREAM_VITAL_AWAY;
    if (upstream_health_server_is_well(server))
        return 0;
    return is_panic ? UPSTREAM_VITAL_ILL : UPSTREAM_VITAL_OUT | UPSTREAM_VITAL_ILL;
}

void upstream_group_judge(struct upstream_health_group *group)
{
    struct upstream_health *health = group->health;
    if (!health->is_stirred && health->on_stir != NULL)
        health->is_stirred = health->on_stir(health->arg);
    group->is_panic = upstream_is_panic(upstream_group_usable(group), upstream_group_counted(group),
                                        group->conf.panic_percent);
    group->is_empty = group_is_empty(group);
    LIST_EACH (node, &group->servers) {
        struct upstream_health_server *server = LIST_OF(node, struct upstream_health_server, node);
        atomic_store_explicit(&server->vital.state, server_state(server, group->is_panic),
                              memory_order_relaxed);
    }
}

void upstream_health_free(struct upstream_health *health)
{
    if (health == NULL)
        return;
    LIST_EACH_SAFE (group_node, &health->groups) {
        struct upstream_health_group *group =
            LIST_OF(group_node, struct upstream_health_group, node);
        LIST_EACH_SAFE (node, &group->servers) {
            struct upstream_health_server *server =
                LIST_OF(node, struct upstream_health_server, node);
            free(server->name);
            free(server);
        }
        group_free(group);
    }
    pthread_mutex_destroy(&health->lock);
    free(health);
}

/* ---- workers ---- */

struct upstream_vital *upstream_vital_ref(struct upstream_health *health,
                                          const struct upstream_conf *conf,
                                          const struct upstream_server_conf *server)
{
    pthread_mutex_lock(&health->lock);
    struct upstream_health_server *found = server_ref(health, conf, server->address_text);
    pthread_mutex_unlock(&health->lock);
    return found == NULL ? NULL : &found->vital;
}

void upstream_vital_unref(struct upstream_vital *vital)
{
    if (vital == NULL)
        return;
    struct upstream_health *health = vital->group->health;
    pthread_mutex_lock(&health->lock);
    server_unref(server_of(vital));
    pthread_mutex_unlock(&health->lock);
}

/* Under the lock. */
static enum upstream_outcome server_eject(struct upstream_health_server *server,
                                          const struct upstream_health_conf *conf,
                                          enum upstream_failure how, uint64_t now_us)
{
    struct upstream_health_group *group = server->vital.group;
    const unsigned max = upstream_ejection_max(upstream_group_counted(group), conf->eject_percent);
    if (!server->is_named || max == 0 || server_is_away(server))
        return UPSTREAM_OUTCOME_NOTED;
    if (group_ejected(group) >= max)
        return UPSTREAM_OUTCOME_CAPPED;
    upstream_ejection_begin(&server->ejection, conf, now_us);
    server->was_ejected = true;
    snprintf(server->eject_reason, sizeof(server->eject_reason), "%u failures in a row: %s",
             (unsigned)conf->failures, UPSTREAM_FAILURE_SENTENCES[how]);
    upstream_group_judge(group);
    return UPSTREAM_OUTCOME_EJECTED;
}

enum upstream_outcome upstream_vital_failed(struct upstream_vital *vital,
                                            const struct upstream_health_conf *conf,
                                            enum upstream_failure how, uint64_t now_us)
{
    struct upstream_health_server *server = server_of(vital);
    enum upstream_outcome outcome = UPSTREAM_OUTCOME_NOTED;
    upstream_vital_remember(vital, how, now_us);
    const unsigned run = atomic_fetch_add_explicit(&vital->failed_run, 1, memory_order_relaxed) + 1;
    if (conf->failures == 0 || run < conf->failures)
        return outcome;
    pthread_mutex_lock(&vital->group->health->lock);
    if (!server->ejection.is_out)
        outcome = server_eject(server, conf, how, now_us);
    /* Back again, it has to answer first: the next failure before that ejects it at once. */
    atomic_store_explicit(&vital->failed_run, server->ejection.is_out ? conf->failures - 1 : 0,
                          memory_order_relaxed);
    pthread_mutex_unlock(&vital->group->health->lock);
    return outcome;
}

enum upstream_outcome upstream_vital_answered(struct upstream_vital *vital,
                                              const struct upstream_health_conf *conf,
                                              unsigned status, uint64_t now_us)
{
    if (statuses_has(&conf->eject_on, status))
        return upstream_vital_failed(vital, conf, UPSTREAM_FAILURE_STATUS, now_us);
    /* Mostly it is 0 already: then the line stays shared between the workers' cores. */
    if (atomic_load_explicit(&vital->failed_run, memory_order_relaxed) != 0)
        atomic_store_explicit(&vital->failed_run, 0, memory_order_relaxed);
    return UPSTREAM_OUTCOME_NOTED;
}

bool upstream_vital_may_retry(struct upstream_vital *vital, const struct upstream_retry_conf *conf,
                              uint64_t requests, uint64_t since_us, uint64_t now_us)
{
    struct upstream_health_group *group = vital->group;
    pthread_mutex_lock(&group->health->lock);
    upstream_budget_fill(&group->budget, conf, requests, since_us, now_us);
    bool may = upstream_budget_take(&group->budget);
    pthread_mutex_unlock(&group->health->lock);
    return may;
}

void upstream_vital_retried(struct upstream_vital *vital, bool is_answered)
{
    struct upstream_health_group *group = vital->group;
    pthread_mutex_lock(&group->health->lock);
    upstream_budget_end(&group->budget, is_answered);
    pthread_mutex_unlock(&group->health->lock);
}

/* ---- the main thread ---- */

static enum err group_name(struct upstream_health *health, const struct upstream_conf *conf)
{
    for (unsigned i = 0; i < conf->server_count; i++) {
        struct upstream_health_server *server =
            server_ref(health, conf, conf->servers[i].address_text);
        if (server == NULL)
            return ERR_NOMEM;
        struct upstream_health_group *group = server->vital.group;
        server->is_named = true; /* with the reference */
        server->takes = conf->servers[i].weight != 0;
        server->slot_usable = conf->servers[i].slot_usable;
        server->slot_ordered = conf->servers[i].slot_ordered;
        if (health->orders != NULL)
            server->ordered = upstream_orders_find(
                health->orders, upstream_orders_key(span_of(group->name), span_of(server->name)));
        if (conf->check.path.len == 0) {
            server->trial = (struct upstream_trial){0};
            server->checked = (struct upstream_checked){0};
        }
        group->conf = conf->health;
        group->slot_servers = conf->slot_servers;
        group->slot_usable = conf->slot_usable;
        group->named = i + 1;
    }
    return ERR_OK;
}

static void group_forget(struct upstream_health_group *group)
{
    group->named = 0;
    LIST_EACH (node, &group->servers) {
        struct upstream_health_server *server = LIST_OF(node, struct upstream_health_server, node);
        server->was_named = server->is_named;
        server->is_named = false;
    }
}

/* What only the plan before has named is known no longer: it may come back another time. */
static void group_settle(struct upstream_health_group *group)
{
    LIST_EACH_SAFE (node, &group->servers) {
        struct upstream_health_server *server = LIST_OF(node, struct upstream_health_server, node);
        if (!server->is_named) {
            server->trial = (struct upstream_trial){0};
            server->ejection = (struct upstream_ejection){0};
            server->ordered = (struct upstream_ordered){.order = UPSTREAM_ORDER_NONE};
            server->checked = (struct upstream_checked){0};
            server->is_told_down = false;
        }
        if (server->was_named)
            server_drop(server);
    }
    if (list_is_empty(&group->servers))
        group_free(group);
    else
        upstream_group_judge(group);
}

static bool is_key_in_force(void *arg, struct hash128 key)
{
    const struct upstream_health *health = arg;
    LIST_EACH (group_node, &health->groups) {
        const struct upstream_health_group *group =
            LIST_OF(group_node, struct upstream_health_group, node);
        LIST_EACH (node, &group->servers) {
            const struct upstream_health_server *server =
                LIST_OF(node, struct upstream_health_server, node);
            const struct hash128 own =
                upstream_orders_key(span_of(group->name), span_of(server->name));
            if (server->is_named && own.lo == key.lo && own.hi == key.hi)
                return true;
        }
    }
    return false;
}

enum err upstream_health_serve(struct upstream_health *health,
                               const struct upstream_conf *upstreams, unsigned count)
{
    enum err err = ERR_OK;
    pthread_mutex_lock(&health->lock);
    LIST_EACH (node, &health->groups)
        group_forget(LIST_OF(node, struct upstream_health_group, node));
    for (unsigned i = 0; err == ERR_OK && i < count; i++)
        err = group_name(health, &upstreams[i]);
    LIST_EACH_SAFE (node, &health->groups)
        group_settle(LIST_OF(node, struct upstream_health_group, node));
    /* An order ends with its server: one of that name that comes another day is another one. */
    if (health->orders != NULL && err == ERR_OK)
        upstream_orders_keep(health->orders, is_key_in_force, health);
    pthread_mutex_unlock(&health->lock);
    return err;
}

void upstream_vital_checked(struct upstream_vital *vital, const struct upstream_check_conf *conf,
                            bool is_good, const char *reason, unsigned status, uint64_t now_us)
{
    struct upstream_health_server *server = server_of(vital);
    struct upstream_health_group *group = vital->group;
    pthread_mutex_lock(&group->health->lock);
    server->checked = (struct upstream_checked){is_good, status, reason, now_us};
    if (upstream_trial_note(&server->trial, is_good, conf->rise, conf->fall)) {
        if (!is_good && status != 0)
            snprintf(server->check_reason, UPSTREAM_REASON_BYTES, "check: status %u", status);
        else if (!is_good)
            snprintf(server->check_reason, UPSTREAM_REASON_BYTES, "check: %s", reason);
        /* Whoever was away and is back need not sit out the rest. */
        if (is_good && server->ejection.is_out)
            upstream_ejection_end(&server->ejection, now_us);
        upstream_group_judge(group);
    }
    pthread_mutex_unlock(&group->health->lock);
}

/* ---- what has changed ---- */

struct health_telling {
    void (*tell)(void *arg, const struct upstream_change *change);
    void *arg;
};

static void tell(const struct health_telling *telling, const struct upstream_health_group *group,
                 const struct upstream_health_server *server, struct upstream_change *change)
{
    change->upstream = span_of(group->name);
    change->server = server == NULL ? SPAN_NONE : span_of(server->name);
    change->usable = upstream_group_usable(group);
    change->servers = group->named;
    telling->tell(telling->arg, change);
}

static void server_tell(struct upstream_health_server *server, uint64_t now_us,
                        const struct health_telling *telling)
{
    struct upstream_change change = {.kind = UPSTREAM_CHANGE_UP};
    const bool is_down = !upstream_health_server_is_well(server);
    if (is_down == server->is_told_down)
        return;
    server->is_told_down = is_down;
    const char *reason = server->was_ejected ? "its time of ejection is over" : "checks are good";
    if (is_down) {
        change.kind = UPSTREAM_CHANGE_DOWN;
        reason = server->trial.is_down ? server->check_reason : server->eject_reason;
        if (server->ejection.is_out && server->ejection.until_us > now_us)
            change.for_us = server->ejection.until_us - now_us;
    }
    server->was_ejected = is_down && !server->trial.is_down;
    memcpy(change.reason, reason, strlen(reason) + 1);
    tell(telling, server->vital.group, server, &change);
}

static void group_tell_empty(struct upstream_health_group *group,
                             const struct health_telling *telling)
{
    struct upstream_change change = {.kind = group->is_empty ? UPSTREAM_CHANGE_EMPTY
                                                             : UPSTREAM_CHANGE_FILLED};
    if (group->is_empty == group->is_told_empty)
        return;
    group->is_told_empty = group->is_empty;
    snprintf(change.reason, sizeof(change.reason), "%s",
             group->is_empty ? "all its servers are ordered away" : "a server is ready again");
    tell(telling, group, NULL, &change);
}

static void group_tell(struct upstream_health_group *group, const struct health_telling *telling)
{
    struct upstream_change change = {.kind = group->is_panic ? UPSTREAM_CHANGE_PANIC
                                                             : UPSTREAM_CHANGE_CALM};
    group_tell_empty(group, telling);
    if (group->is_panic == group->is_told_panic)
        return;
    group->is_told_panic = group->is_panic;
    snprintf(change.reason, sizeof(change.reason), "%u of %u servers are usable",
             upstream_group_usable(group), upstream_group_counted(group));
    tell(telling, group, NULL, &change);
}

static void group_tick(struct upstream_health_group *group, uint64_t now_us,
                       struct metrics_block *metrics, const struct health_telling *telling)
{
    LIST_EACH (node, &group->servers) {
        struct upstream_health_server *server = LIST_OF(node, struct upstream_health_server, node);
        if (server->ejection.is_out && server->ejection.until_us <= now_us) {
            upstream_ejection_end(&server->ejection, now_us);
            upstream_group_judge(group);
        }
        if (!server->is_named)
            continue;
        server_tell(server, now_us, telling);
        metrics_set(metrics, server->slot_usable,
                    upstream_health_server_is_well(server) && !server_is_away(server));
        metrics_set(metrics, server->slot_ordered, server_is_away(server));
    }
    if (group->named != 0) {
        metrics_set(metrics, group->slot_servers, upstream_group_counted(group));
        metrics_set(metrics, group->slot_usable, upstream_group_usable(group));
    }
    group_tell(group, telling);
}

void upstream_health_on_stir(struct upstream_health *health, bool (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&health->lock);
    health->on_stir = fn;
    health->arg = arg;
    health->is_stirred = false;
    pthread_mutex_unlock(&health->lock);
}

/* When the next ejection is over. */
static uint64_t group_next_us(const struct upstream_health_group *group, uint64_t next_us)
{
    LIST_EACH (node, &group->servers) {
        const struct upstream_health_server *server =
            LIST_OF(node, struct upstream_health_server, node);
        if (server->ejection.is_out && server->ejection.until_us < next_us)
            next_us = server->ejection.until_us;
    }
    return next_us;
}

uint64_t upstream_health_tick(struct upstream_health *health, uint64_t now_us,
                              struct metrics_block *metrics,
                              void (*fn)(void *arg, const struct upstream_change *change),
                              void *arg)
{
    const struct health_telling telling = {fn, arg};
    uint64_t next_us = UINT64_MAX;
    unsigned panics = 0;
    pthread_mutex_lock(&health->lock);
    health->is_stirred = true; /* by what happens here nobody need be called */
    LIST_EACH (node, &health->groups) {
        struct upstream_health_group *group = LIST_OF(node, struct upstream_health_group, node);
        group_tick(group, now_us, metrics, &telling);
        next_us = group_next_us(group, next_us);
        panics += group->is_panic;
    }
    health->is_stirred = false;
    metrics_set(metrics, METRICS_UPSTREAM_PANICS, panics);
    pthread_mutex_unlock(&health->lock);
    return next_us == UINT64_MAX ? 0 : next_us;
}
