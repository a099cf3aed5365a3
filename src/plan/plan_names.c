/* SPDX-License-Identifier: Apache-2.0 */
/* plan_names.c - takes: servers with names.  Gives: their first addresses, in the plan's memory. */
#include "plan/plan_names.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_log.h"

/* Servers with a name, one for each host, in the order of hosts.  Owner: plan_find_names. */
struct names {
    unsigned count;
    const struct upstream_server_conf **list;
};

static int compare_hosts(const struct span *a, const struct span *b)
{
    const int order = memcmp(a->ptr, b->ptr, a->len < b->len ? a->len : b->len);
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int compare_servers(const void *a, const void *b)
{
    const struct upstream_server_conf *const *one = a, *const *other = b;
    const int order = compare_hosts(&(*one)->host, &(*other)->host);
    return order != 0 ? order
                      : ((*one)->found_count < (*other)->found_count); /* known ones first */
}

static int compare_host_to_server(const void *key, const void *member)
{
    const struct upstream_server_conf *const *server = member;
    return compare_hosts(key, &(*server)->host);
}

static void names_take(struct names *names, const struct plan *plan)
{
    unsigned most = 0, kept = 0;
    for (unsigned u = 0; plan != NULL && u < plan->upstream_count; u++)
        most += plan->upstreams[u].server_count;
    names->count = 0;
    names->list = calloc(most + 1, sizeof(*names->list));
    if (names->list == NULL)
        return;
    for (unsigned u = 0; plan != NULL && u < plan->upstream_count; u++) {
        for (unsigned s = 0; s < plan->upstreams[u].server_count; s++) {
            if (plan->upstreams[u].servers[s].host.len != 0)
                names->list[names->count++] = &plan->upstreams[u].servers[s];
        }
    }
    qsort(names->list, names->count, sizeof(*names->list), compare_servers);
    for (unsigned i = 0; i < names->count; i++) {
        if (kept == 0 || compare_hosts(&names->list[kept - 1]->host, &names->list[i]->host) != 0)
            names->list[kept++] = names->list[i];
    }
    names->count = kept;
}

/* Its place in the list; -1: it is not there. */
static int names_find(const struct names *names, struct span host)
{
    const struct upstream_server_conf **at =
        names->count == 0 ? NULL
                          : bsearch(&host, names->list, names->count, sizeof(*names->list),
                                    compare_host_to_server);
    return at == NULL ? -1 : (int)(at - names->list);
}

static bool names_know_all(const struct names *known, const struct names *names)
{
    for (unsigned i = 0; i < names->count; i++) {
        const int at = names_find(known, names->list[i]->host);
        if (at < 0 || known->list[at]->found_count == 0)
            return false;
    }
    return true;
}

static void server_keep(struct plan *plan, struct upstream_server_conf *server,
                        const struct net_address *addresses, unsigned count)
{
    struct net_address *found = arena_take(&plan->arena, count * sizeof(*found));
    if (found == NULL)
        return; /* as if it were not known: workers ask for it */
    for (unsigned i = 0; i < count; i++) {
        found[i] = addresses[i];
        net_address_set_port(&found[i], server->address.port);
    }
    server->found = found;
    server->found_count = count;
}

static void names_keep(struct plan *plan, const struct names *names,
                       const struct net_lookup *answers, const struct names *known)
{
    for (unsigned u = 0; u < plan->upstream_count; u++) {
        for (unsigned s = 0; s < plan->upstreams[u].server_count; s++) {
            struct upstream_server_conf *server = &plan->upstreams[u].servers[s];
            const int at = server->host.len == 0 ? -1 : names_find(names, server->host);
            const int before = at < 0 ? -1 : names_find(known, server->host);
            if (at >= 0 && answers[at].count != 0)
                server_keep(plan, server, answers[at].addresses, answers[at].count);
            else if (before >= 0 && known->list[before]->found_count != 0)
                server_keep(plan, server, known->list[before]->found,
                            known->list[before]->found_count);
        }
    }
}

static void names_tell(const struct net_lookup *answers, unsigned count, const struct names *known)
{
    for (unsigned i = 0; i < count; i++) {
        const int before = names_find(known, answers[i].host);
        if (answers[i].count == 0)
            log_warn("cannot resolve %.*s: %s (%s)", (int)answers[i].host.len, answers[i].host.ptr,
                     answers[i].is_answered ? gai_strerror(answers[i].result) : "no answer in time",
                     before >= 0 && known->list[before]->found_count != 0
                         ? "the last good addresses are kept"
                         : "no address known yet");
    }
}

void plan_find_names(struct plan *plan, const struct plan *before, struct net_lookups *lookups,
                     uint64_t patience_us)
{
    struct names names, known;
    names_take(&names, plan);
    names_take(&known, before);
    struct net_lookup *answers = calloc(names.count + 1, sizeof(*answers));
    if (names.list != NULL && known.list != NULL && answers != NULL) {
        for (unsigned i = 0; i < names.count; i++)
            answers[i].host = names.list[i]->host;
        net_lookup_all(lookups, answers, names.count,
                       names_know_all(&known, &names) ? patience_us / 10 : patience_us);
        names_tell(answers, names.count, &known);
        names_keep(plan, &names, answers, &known);
    }
    free(answers);
    free(names.list);
    free(known.list);
}
