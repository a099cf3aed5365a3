/* SPDX-License-Identifier: Apache-2.0 */
/* plan_names.c - takes: servers with names.  Gives: their first addresses, in the plan's memory. */
#include "plan/plan_names.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_log.h"

/* Hosts, each once, in their order.  Owner: plan_find_names.  The texts are the plan's. */
struct names {
    unsigned count;
    struct span *list; /* NULL: no memory */
};

static int compare_hosts(const void *a, const void *b)
{
    const struct span *one = a, *other = b;
    const int order = memcmp(one->ptr, other->ptr, one->len < other->len ? one->len : other->len);
    return order != 0 ? order : (one->len > other->len) - (one->len < other->len);
}

static void names_take(struct names *names, const struct plan *plan)
{
    unsigned most = 0, kept = 0;
    for (unsigned u = 0; plan != NULL && u < plan->upstream_count; u++)
        most += plan->upstreams[u].server_count;
    names->count = 0;
    names->list = calloc(most + 1, sizeof(*names->list));
    if (names->list == NULL || most == 0)
        return;
    for (unsigned u = 0; u < plan->upstream_count; u++) {
        for (unsigned s = 0; s < plan->upstreams[u].server_count; s++) {
            if (plan->upstreams[u].servers[s].host.len != 0)
                names->list[names->count++] = plan->upstreams[u].servers[s].host;
        }
    }
    qsort(names->list, names->count, sizeof(*names->list), compare_hosts);
    for (unsigned i = 0; i < names->count; i++) {
        if (kept == 0 || !span_eq(names->list[kept - 1], names->list[i]))
            names->list[kept++] = names->list[i];
    }
    names->count = kept;
}

/* Its place in the list; -1: it is not there. */
static int names_find(const struct names *names, struct span host)
{
    const struct span *at =
        bsearch(&host, names->list, names->count, sizeof(*names->list), compare_hosts);
    return at == NULL ? -1 : (int)(at - names->list);
}

static bool names_has_all(const struct names *names, const struct names *others)
{
    for (unsigned i = 0; i < others->count; i++) {
        if (names_find(names, others->list[i]) < 0)
            return false;
    }
    return true;
}

static void server_keep(struct plan *plan, struct upstream_server_conf *server,
                        const struct net_lookup *answer)
{
    struct net_address *found =
        answer->count == 0 ? NULL : arena_take(&plan->arena, answer->count * sizeof(*found));
    if (found == NULL)
        return; /* no memory is as no answer: workers ask for it */
    for (unsigned i = 0; i < answer->count; i++) {
        found[i] = answer->addresses[i];
        net_address_set_port(&found[i], server->address.port);
    }
    server->found = found;
    server->found_count = answer->count;
}

static void names_keep(struct plan *plan, const struct names *names,
                       const struct net_lookup *answers)
{
    for (unsigned u = 0; u < plan->upstream_count; u++) {
        for (unsigned s = 0; s < plan->upstreams[u].server_count; s++) {
            struct upstream_server_conf *server = &plan->upstreams[u].servers[s];
            const int at = server->host.len == 0 ? -1 : names_find(names, server->host);
            if (at >= 0)
                server_keep(plan, server, &answers[at]);
        }
    }
}

static void names_tell(const struct net_lookup *answers, unsigned count, const struct names *before)
{
    for (unsigned i = 0; i < count; i++) {
        const struct net_lookup *answer = &answers[i];
        if (answer->count == 0)
            log_warn("cannot resolve %.*s: %s (%s)", (int)answer->host.len, answer->host.ptr,
                     answer->is_answered ? gai_strerror(answer->result) : "no answer in time",
                     names_find(before, answer->host) < 0 ? "no address known yet"
                                                          : "addresses that are known are kept");
    }
}

void plan_find_names(struct plan *plan, const struct plan *before, struct net_lookups *lookups,
                     uint64_t patience_us)
{
    struct names names, old;
    names_take(&names, plan);
    names_take(&old, before);
    struct net_lookup *answers = calloc(names.count + 1, sizeof(*answers));
    if (names.list != NULL && old.list != NULL && answers != NULL) {
        for (unsigned i = 0; i < names.count; i++)
            answers[i].host = names.list[i];
        net_lookup_all(lookups, answers, names.count,
                       names_has_all(&old, &names) ? patience_us / 10 : patience_us);
        names_tell(answers, names.count, &old);
        names_keep(plan, &names, answers);
    }
    free(answers);
    free(names.list);
    free(old.list);
}
