/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_seen.c - see upstream_seen.h. */
#include "upstream/upstream_seen.h"

#include "upstream/upstream_private.h"

void upstream_set_see(const struct upstream_set *set, struct upstream_seen *seen)
{
    /* One name may stand for several while a plan gives way to one that speaks TLS to it otherwise. */
    LIST_EACH (node, &set->servers) {
        const struct upstream_server *server = LIST_OF(node, struct upstream_server, node);
        if (!span_eq(span_of(server->upstream), seen->upstream) ||
            !span_eq(span_of(server->name), seen->server))
            continue;
        seen->open = atomic_load(&server->tally->open);
        seen->idle += server->idle_count;
        if (server->names.count == 0)
            continue;
        seen->address_count = server->names.count;
        for (unsigned i = 0; i < server->names.count; i++)
            seen->addresses[i] = server->names.addresses[i];
    }
}

void upstream_set_obey(struct upstream_set *set)
{
    LIST_EACH_SAFE (node, &set->servers) {
        struct upstream_server *server = LIST_OF(node, struct upstream_server, node);
        if ((upstream_vital_state(server->vital) & UPSTREAM_VITAL_DOWN) == 0)
            continue;
        server->refs++; /* the last kept connection may be all that is left of it */
        upstream_server_drop_idle(server);
        upstream_server_unref(server);
    }
}
