/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_names.c - takes: sets of addresses, one after the other.  Gives: turns.  Never: resolves a name. */
#include "upstream/upstream_names.h"

static int names_find(const struct upstream_names *names, const struct net_address *address)
{
    for (unsigned i = 0; i < names->count; i++) {
        if (net_address_eq(&names->addresses[i], address))
            return (int)i;
    }
    return -1;
}

bool upstream_names_set(struct upstream_names *names, const struct net_address *addresses,
                        unsigned count)
{
    const struct upstream_names old = *names;
    names->count = 0;
    bool is_changed = false;
    for (unsigned i = 0; i < count && names->count < NET_LOOKUP_ADDRESSES_MAX; i++) {
        const unsigned at = names->count;
        if (names_find(names, &addresses[i]) >= 0) /* twice: once per protocol, say */
            continue;
        const int was = names_find(&old, &addresses[i]);
        names->addresses[at] = addresses[i];
        names->ids[at] = was >= 0 ? old.ids[was] : ++names->last_id;
        names->down_until_us[at] = was >= 0 ? old.down_until_us[was] : 0;
        names->count++;
        is_changed |= was < 0;
    }
    return is_changed || names->count != old.count;
}

int upstream_names_next(struct upstream_names *names, uint64_t now_us)
{
    if (names->count <= 1)
        return (int)names->count - 1;
    unsigned index = 0;
    for (unsigned i = 0; i < names->count; i++) {
        index = names->next++ % names->count;
        if (names->down_until_us[index] <= now_us)
            break;
    }
    return (int)index;
}

bool upstream_names_failed(struct upstream_names *names, uint32_t id, uint64_t now_us,
                           uint64_t until_us)
{
    bool has_other = false;
    for (unsigned i = 0; i < names->count; i++) {
        if (names->ids[i] == id)
            names->down_until_us[i] = until_us;
        has_other |= names->down_until_us[i] <= now_us;
    }
    return !has_other;
}

bool upstream_names_has(const struct upstream_names *names, uint32_t id)
{
    for (unsigned i = 0; i < names->count; i++) {
        if (names->ids[i] == id)
            return true;
    }
    return false;
}
