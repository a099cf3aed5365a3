/* SPDX-License-Identifier: Apache-2.0 */
/* plan_names.c - takes: servers with names.  Gives: their first addresses, in the plan's memory. */
#include "plan/plan_names.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_log.h"
#include "net/net_lookup.h"

typedef void (*names_fn)(struct plan *plan, struct upstream_server_conf *server,
                         struct net_lookup *lookup);

/* In the order of the file: `lookups` has as many as there are names.  How many that is. */
static unsigned names_each(struct plan *plan, struct net_lookup *lookups, names_fn visit)
{
    unsigned count = 0;
    for (unsigned u = 0; u < plan->upstream_count; u++) {
        struct upstream_conf *upstream = &plan->upstreams[u];
        for (unsigned s = 0; s < upstream->server_count; s++) {
            if (upstream->servers[s].host.len == 0)
                continue;
            if (visit != NULL)
                visit(plan, &upstream->servers[s], &lookups[count]);
            count++;
        }
    }
    return count;
}

static void names_ask(struct plan *plan, struct upstream_server_conf *server,
                      struct net_lookup *lookup)
{
    (void)plan;
    lookup->host = server->host;
    lookup->port = server->address.port;
}

static void names_keep(struct plan *plan, struct upstream_server_conf *server,
                       struct net_lookup *lookup)
{
    const size_t bytes = lookup->count * sizeof(lookup->addresses[0]);
    if (lookup->count == 0) {
        log_warn("cannot resolve %.*s: %s; its server is served when it can be",
                 (int)lookup->host.len, lookup->host.ptr, gai_strerror(lookup->result));
        return;
    }
    struct net_address *found = arena_take(&plan->arena, bytes);
    if (found == NULL)
        return;
    memcpy(found, lookup->addresses, bytes);
    server->found = found;
    server->found_count = lookup->count;
}

void plan_find_names(struct plan *plan, uint64_t patience_us)
{
    const unsigned count = names_each(plan, NULL, NULL);
    struct net_lookup *lookups = calloc(count == 0 ? 1 : count, sizeof(*lookups));
    if (lookups == NULL)
        return;
    (void)names_each(plan, lookups, names_ask);
    net_lookup_all(lookups, count, patience_us);
    (void)names_each(plan, lookups, names_keep);
    free(lookups);
}
