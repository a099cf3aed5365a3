/* SPDX-License-Identifier: Apache-2.0 */
/* plan_addresses.h - which clients may use a route.  Takes: the networks that a route allows and denies.  Gives: yes or
 * no for an address.  Never: looks at a header. */
#ifndef SLUICE_PLAN_ADDRESSES_H
#define SLUICE_PLAN_ADDRESSES_H

#include "base/base_ip_ranges.h"
#include "config/config_doc.h"
#include "config/config_table.h"

struct plan_networks {
    const struct ip_net *nets;
    unsigned net_count;
    bool has_unix; /* clients on Unix sockets, which have no address */
};

/* As written.  Owner: the plan's arena. */
struct plan_addresses {
    struct plan_networks allow, deny;
    bool is_closed; /* there is a list of whom to allow, be it empty */
};

/* Const once linked. */
struct plan_address_rule {
    struct ip_ranges ranges; /* none: everybody may */
    bool denies_unix;
};

/* Fills a struct plan_addresses; its check finds networks that stand twice. */
extern const struct config_table PLAN_ADDRESSES;

/* The most specific network decides.  Who is in none may, unless something is allowed.  ERR_NOMEM. */
MUST_USE enum err plan_addresses_link(struct plan_address_rule *rule,
                                      const struct plan_addresses *addresses, struct arena *arena);

/* ip: NULL for a client whose address is not known. */
bool plan_address_may(const struct plan_address_rule *rule, const struct ip *ip);

#endif
