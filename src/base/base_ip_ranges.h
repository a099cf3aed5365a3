/* SPDX-License-Identifier: Apache-2.0 */
/* base_ip_ranges.h - which of many networks an address is in.  Takes: networks, each with a mark.  Gives: the mark of
 * the most specific one, by halving, so that long lists cost next to nothing. */
#ifndef SLUICE_BASE_IP_RANGES_H
#define SLUICE_BASE_IP_RANGES_H

#include "base/base_arena.h"
#include "base/base_err.h"
#include "base/base_ip.h"

struct ip_marked {
    struct ip_net net;
    uint8_t mark;
};

struct ip_range {
    struct ip first; /* the range ends before the next one's */
    uint8_t mark;
};

/* Owner: the arena it was made in.  Thread: const once made. */
struct ip_ranges {
    const struct ip_range *ranges;
    unsigned count; /* 0: none were made */
};

/* A network that stands twice, NULL when none does.  Reorders nets. */
const struct ip_net *ip_ranges_twice(struct ip_marked *nets, unsigned count);

/* `otherwise` is the mark of an address in none of them.  Reorders nets, in which no network may stand twice.
 * As in ip_net_has, "::/0" holds no IPv4 address.  ERR_NOMEM. */
MUST_USE enum err ip_ranges_make(struct ip_ranges *ranges, struct ip_marked *nets, unsigned count,
                                 uint8_t otherwise, struct arena *arena);

uint8_t ip_ranges_find(const struct ip_ranges *ranges, const struct ip *ip);

#endif
