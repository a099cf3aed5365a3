/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_standing.c - see upstream_standing.h. */
#include "upstream/upstream_standing.h"

#include <stdio.h>
#include <string.h>

#include "upstream/upstream_health_private.h"

const char *const UPSTREAM_STATE_WORDS[UPSTREAM_STATES] = {
    [UPSTREAM_STATE_UP] = "up",
    [UPSTREAM_STATE_EJECTED] = "ejected",
    [UPSTREAM_STATE_UNHEALTHY] = "unhealthy",
    [UPSTREAM_STATE_DRAINING] = "draining",
    [UPSTREAM_STATE_DOWN] = "down",
};

const char *const UPSTREAM_ORDER_WORDS[UPSTREAM_ORDER_COUNT] = {
    [UPSTREAM_ORDER_NONE] = "ready",
    [UPSTREAM_ORDER_DRAIN] = "drain",
    [UPSTREAM_ORDER_DOWN] = "down",
};

static struct upstream_health_server *server_in_force(struct upstream_health *health,
                                                      struct span upstream, struct span name)
{
    struct upstream_health_group *group = upstream_group_find(health, upstream);
    struct upstream_health_server *server =
        group == NULL ? NULL : upstream_group_server(group, name);
    return server != NULL && server->is_named ? server : NULL;
}

static enum upstream_state state_of(const struct upstream_health_server *server)
{
    switch (server->ordered.order) {
    case UPSTREAM_ORDER_DRAIN:
        return UPSTREAM_STATE_DRAINING;
    case UPSTREAM_ORDER_DOWN:
        return UPSTREAM_STATE_DOWN;
    default:
        break;
    }
    if (server->trial.is_down)
        return UPSTREAM_STATE_UNHEALTHY;
    return server->ejection.is_out ? UPSTREAM_STATE_EJECTED : UPSTREAM_STATE_UP;
}

static const char *reason_of(const struct upstream_health_server *server, enum upstream_state state)
{
    switch (state) {
    case UPSTREAM_STATE_EJECTED:
        return server->eject_reason;
    case UPSTREAM_STATE_UNHEALTHY:
        return server->check_reason;
    case UPSTREAM_STATE_DRAINING:
        return "an operator has ordered it to drain";
    case UPSTREAM_STATE_DOWN:
        return "an operator has ordered it down";
    default:
        return "";
    }
}

/* Under the lock. */
static void server_stand(struct upstream_health_server *server, struct upstream_standing *standing)
{
    struct upstream_vital *vital = &server->vital;
    const unsigned failure = atomic_load_explicit(&vital->last_failure, memory_order_relaxed);
    const unsigned words = atomic_load_explicit(&vital->state, memory_order_relaxed);
    *standing = (struct upstream_standing){.state = state_of(server)};
    snprintf(standing->reason, sizeof(standing->reason), "%s", reason_of(server, standing->state));
    standing->is_used = server->takes && (words & UPSTREAM_VITAL_OUT) == 0;
    if (server->ejection.is_out)
        standing->until_us = server->ejection.until_us;
    standing->ordered_at_us = server->ordered.at_us;
    standing->check = server->checked;
    if (failure != 0)
        standing->failure = UPSTREAM_FAILURE_SENTENCES[failure - 1];
    standing->failed_at_us = atomic_load_explicit(&vital->failed_at_us, memory_order_relaxed);
    standing->failed_run = atomic_load_explicit(&vital->failed_run, memory_order_relaxed);
}

bool upstream_standing_of(struct upstream_health *health, struct span upstream, struct span name,
                          struct upstream_standing *standing)
{
    pthread_mutex_lock(&health->lock);
    struct upstream_health_server *server = server_in_force(health, upstream, name);
    if (server != NULL)
        server_stand(server, standing);
    pthread_mutex_unlock(&health->lock);
    return server != NULL;
}

bool upstream_standing_of_group(struct upstream_health *health, struct span upstream,
                                struct upstream_group_standing *standing)
{
    pthread_mutex_lock(&health->lock);
    const struct upstream_health_group *group = upstream_group_find(health, upstream);
    if (group != NULL)
        *standing = (struct upstream_group_standing){upstream_group_usable(group), group->named,
                                                     group->is_panic, group->is_empty};
    pthread_mutex_unlock(&health->lock);
    return group != NULL;
}

/* ---- orders ---- */

/* Those that are not ordered away and have a weight; only_well: and are well. */
static unsigned group_left(const struct upstream_health_group *group, bool only_well)
{
    unsigned left = 0;
    LIST_EACH (node, &group->servers) {
        const struct upstream_health_server *server =
            LIST_OF(node, struct upstream_health_server, node);
        left += server->is_named && server->takes && server->ordered.order == UPSTREAM_ORDER_NONE &&
                (!only_well || upstream_health_server_is_well(server));
    }
    return left;
}

/* Would nobody be left if this one went?  Where none is well, all but the last may go: they are no worse than it. */
static bool server_is_last(const struct upstream_health_server *server)
{
    const struct upstream_health_group *group = server->vital.group;
    if (server->ordered.order != UPSTREAM_ORDER_NONE || !server->takes)
        return false;
    return group_left(group, false) == 1 ||
           (upstream_health_server_is_well(server) && group_left(group, true) == 1);
}

static enum upstream_order_result server_order(struct upstream_health *health,
                                               struct upstream_health_server *server,
                                               struct upstream_ordered ordered, bool is_forced)
{
    struct upstream_health_group *group = server->vital.group;
    if (ordered.order != UPSTREAM_ORDER_NONE && !is_forced && server_is_last(server))
        return UPSTREAM_ORDER_LAST;
    if (ordered.order == UPSTREAM_ORDER_NONE)
        ordered.at_us = 0;
    else if (ordered.order == server->ordered.order)
        ordered.at_us = server->ordered.at_us; /* it holds since then */
    if (health->orders != NULL &&
        !upstream_orders_set(health->orders,
                             upstream_orders_key(span_of(group->name), span_of(server->name)),
                             ordered))
        return UPSTREAM_ORDER_FULL;
    server->ordered = ordered;
    upstream_group_judge(group);
    return UPSTREAM_ORDERED;
}

enum upstream_order_result upstream_health_order(struct upstream_health *health,
                                                 struct span upstream, struct span name,
                                                 struct upstream_ordered ordered, bool is_forced)
{
    pthread_mutex_lock(&health->lock);
    struct upstream_health_server *server = server_in_force(health, upstream, name);
    const enum upstream_order_result result =
        server == NULL ? UPSTREAM_ORDER_UNKNOWN : server_order(health, server, ordered, is_forced);
    pthread_mutex_unlock(&health->lock);
    return result;
}
