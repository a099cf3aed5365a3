/* SPDX-License-Identifier: Apache-2.0 */
/* plan_addresses.c - see plan_addresses.h. */
#include "plan/plan_addresses.h"

#include <string.h>

#include "config/config_take.h"

#define NETWORKS_MAX 100000

enum mark {
    MARK_DENY,
    MARK_ALLOW,
};

static const char *take_network(struct plan_networks *networks, const struct config_take *take)
{
    return config_take_network(take, &networks->nets, &networks->net_count, &networks->has_unix);
}

static const char *take_allow(const struct config_take *take)
{
    struct plan_addresses *addresses = take->base;
    return take_network(&addresses->allow, take);
}

static const char *take_deny(const struct config_take *take)
{
    struct plan_addresses *addresses = take->base;
    return take_network(&addresses->deny, take);
}

static const struct config_directive rows[] = {
    {.key = "allow",
     .type = CONFIG_TEXTS,
     .max = NETWORKS_MAX,
     .absent = "everybody who is not denied",
     .take = take_allow,
     .doc = "Networks and addresses of the clients that may use this route, \"unix\" for those on "
            "Unix sockets; others get 403."},
    {.key = "deny",
     .type = CONFIG_TEXTS,
     .max = NETWORKS_MAX,
     .absent = "nobody",
     .take = take_deny,
     .doc = "Networks and addresses of clients that get 403; where both lists have the client, the "
            "more specific network decides."},
};

static struct ip_marked *marked_of(const struct plan_addresses *addresses, struct arena *arena)
{
    const struct plan_networks *allow = &addresses->allow, *deny = &addresses->deny;
    struct ip_marked *all =
        arena_take(arena, ((size_t)allow->net_count + deny->net_count + 1) * sizeof(*all));
    for (unsigned i = 0; all != NULL && i < allow->net_count; i++)
        all[i] = (struct ip_marked){allow->nets[i], MARK_ALLOW};
    for (unsigned i = 0; all != NULL && i < deny->net_count; i++)
        all[allow->net_count + i] = (struct ip_marked){deny->nets[i], MARK_DENY};
    return all;
}

/* A list of exceptions alone: what is allowed lies all inside of what is denied. */
static bool is_exceptions(const struct plan_addresses *addresses)
{
    const struct plan_networks *allow = &addresses->allow, *deny = &addresses->deny;
    for (unsigned i = 0; i < allow->net_count; i++) {
        unsigned k = 0;
        while (k < deny->net_count && !(deny->nets[k].prefix_bits < allow->nets[i].prefix_bits &&
                                        ip_net_has(&deny->nets[k], &allow->nets[i].ip)))
            k++;
        if (k == deny->net_count)
            return false;
    }
    return allow->net_count != 0;
}

static bool denies_everybody(const struct plan_addresses *addresses)
{
    for (unsigned i = 0; i < addresses->deny.net_count; i++) {
        if (addresses->deny.nets[i].prefix_bits == 0 || addresses->deny.nets[i].prefix_bits == 96)
            return true;
    }
    return false;
}

static void check_lists(struct config_doc *doc, const struct config_node *node, void *base)
{
    struct plan_addresses *addresses = base;
    const struct config_node *allow = config_find(node, "allow"), *deny = config_find(node, "deny");
    unsigned count = addresses->allow.net_count + addresses->deny.net_count;
    if (allow == NULL && deny == NULL)
        return;
    struct ip_marked *all = marked_of(addresses, &doc->arena);
    if (all == NULL) {
        config_out_of_memory(doc);
        return;
    }
    addresses->is_closed = allow != NULL;
    const struct ip_net *twice = ip_ranges_twice(all, count);
    bool is_unix_twice = addresses->allow.has_unix && addresses->deny.has_unix;
    if (twice != NULL || is_unix_twice) {
        char text[IP_TEXT_MAX + 1] = "unix";
        if (twice != NULL)
            text[ip_format(text, &twice->ip)] = '\0';
        config_error(doc, deny != NULL ? deny : allow, "the network of %s stands here twice", text);
        return;
    }
    if (allow != NULL && allow->child_count == 0)
        config_warning(doc, allow, "nobody may use this route: nothing is allowed");
    if (addresses->allow.net_count * (uint64_t)addresses->deny.net_count < 10000000 &&
        is_exceptions(addresses) && !denies_everybody(addresses))
        config_warning(doc, allow,
                       "who is in neither list is denied; allow \"0.0.0.0/0\" and \"::/0\" too if "
                       "these are only exceptions from \"deny\"");
}

const struct config_table PLAN_ADDRESSES = {
    .title = "Clients of a route",
    .noun = "network",
    CONFIG_ROWS_OF(rows),
    .size = sizeof(struct plan_addresses),
    .check = check_lists,
};

enum err plan_addresses_link(struct plan_address_rule *rule, const struct plan_addresses *addresses,
                             struct arena *arena)
{
    const struct plan_networks *allow = &addresses->allow, *deny = &addresses->deny;
    unsigned count = allow->net_count + deny->net_count;
    *rule = (struct plan_address_rule){0};
    rule->denies_unix = deny->has_unix || (addresses->is_closed && !allow->has_unix);
    if (count == 0 && !addresses->is_closed)
        return ERR_OK;
    struct ip_marked *all = marked_of(addresses, arena);
    if (all == NULL)
        return ERR_NOMEM;
    return ip_ranges_make(&rule->ranges, all, count, addresses->is_closed ? MARK_DENY : MARK_ALLOW,
                          arena);
}

bool plan_address_may(const struct plan_address_rule *rule, const struct ip *ip)
{
    if (ip == NULL)
        return !rule->denies_unix;
    return rule->ranges.count == 0 || ip_ranges_find(&rule->ranges, ip) == MARK_ALLOW;
}
