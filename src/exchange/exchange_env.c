/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_env.c - making and dropping what the exchanges of a worker share. */
#include "exchange/exchange_env.h"

#include <stdlib.h>

#include "exchange/exchange_private.h"

#define ENV_IDENTITY_CACHE 16384

struct exchange_snapshot *exchange_snapshot_new(struct plan *plan, struct upstream_set *set)
{
    struct exchange_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot == NULL)
        return NULL;
    snapshot->refs = 1;
    snapshot->plan = plan_ref(plan);
    snapshot->pools = calloc(plan->upstream_count + 1u, sizeof(struct upstream_pool *));
    if (snapshot->pools == NULL)
        goto fail;
    for (unsigned i = 0; i < plan->upstream_count; i++) {
        snapshot->pools[i] = upstream_pool_new(set, &plan->upstreams[i]);
        if (snapshot->pools[i] == NULL)
            goto fail;
        snapshot->pool_count++;
    }
    return snapshot;
fail:
    exchange_snapshot_unref(&snapshot);
    return NULL;
}

void exchange_snapshot_enter(struct exchange_snapshot *snapshot)
{
    for (unsigned i = 0; i < snapshot->pool_count; i++)
        upstream_pool_enter(snapshot->pools[i]);
}

void exchange_snapshot_free(struct exchange_snapshot *snapshot)
{
    for (unsigned i = 0; i < snapshot->pool_count; i++)
        upstream_pool_free(snapshot->pools[i]);
    free(snapshot->pools);
    plan_unref(&snapshot->plan);
    free(snapshot);
}

_Static_assert(ENDS <= 64 && HTTP_FAULTS <= 64, "metrics_families.def has no room for so many");

static void exchange_env_slots(struct exchange_env *env, struct metrics_registry *registry)
{
    for (unsigned i = 0; i < ENDS; i++)
        env->slot_end[i] =
            metrics_registry_slot(registry, METRICS_FAMILY_EXCHANGES,
                                  exchange_ending((enum exchange_end)i)->name, SPAN_NONE);
    for (unsigned i = HTTP_FAULT_NONE + 1; i < HTTP_FAULTS; i++) {
        struct span fault = span_of(http_fault_name((enum http_fault_id)i));
        env->slot_fault[0][i] =
            metrics_registry_slot(registry, METRICS_FAMILY_FAULTS, fault, SPAN("client"));
        env->slot_fault[1][i] =
            metrics_registry_slot(registry, METRICS_FAMILY_FAULTS, fault, SPAN("server"));
    }
    env->slot_duration = metrics_registry_only(registry, METRICS_FAMILY_EXCHANGE_DURATION);
    env->slot_first = metrics_registry_only(registry, METRICS_FAMILY_FIRST_BYTE);
    env->slot_store = metrics_registry_only(registry, METRICS_FAMILY_DECISION_DURATION);
}

enum err exchange_env_init(struct exchange_env *env, struct loop *loop,
                           struct metrics_registry *registry)
{
    *env = (struct exchange_env){.loop = loop};
    list_init(&env->spare);
    exchange_look_init(env);
    net_pipes_init(&env->pipes, loop);
    env->out = malloc(EXCHANGE_OUT_BYTES);
    env->fields = calloc(EXCHANGE_FIELDS_MAX, sizeof(struct http_field));
    env->identities = identity_cache_new(ENV_IDENTITY_CACHE);
    env->early = exchange_early_new();
    env->top = exchange_top_new(env->loop);
    env->faults = calloc(1, sizeof(*env->faults));
    env->refused = calloc(1, sizeof(*env->refused));
    if (env->out == NULL || env->fields == NULL || env->identities == NULL || env->early == NULL ||
        env->top == NULL || env->faults == NULL || env->refused == NULL) {
        exchange_env_fini(env);
        return ERR_NOMEM;
    }
    exchange_env_slots(env, registry);
    return ERR_OK;
}

void exchange_env_fini(struct exchange_env *env)
{
    exchange_look_fini(env);
    LIST_EACH_SAFE (node, &env->spare)
        free(LIST_OF(node, struct exchange, node));
    list_init(&env->spare);
    free(env->landing);
    env->landing = NULL;
    exchange_snapshot_unref(&env->snapshot);
    identity_cache_free(env->identities);
    exchange_early_free(env->early);
    exchange_top_free(env->top);
    free(env->faults);
    free(env->refused);
    net_pipes_fini(&env->pipes);
    free(env->fields);
    free(env->out);
}
