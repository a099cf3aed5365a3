/* SPDX-License-Identifier: Apache-2.0 */
/* base_ip.h - IP addresses and networks as values.  Every address is 16 bytes; IPv4 is kept in its
 * v4-mapped form (::ffff:a.b.c.d), so the two spellings of one address are equal. */
#ifndef SLUICE_BASE_IP_H
#define SLUICE_BASE_IP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"

#define IP_TEXT_MAX 46

struct ip {
    uint8_t bytes[16];
};

struct ip_net {
    struct ip ip;
    uint8_t prefix_bits; /* of 128: 96 + n for IPv4 */
};

bool ip_is_v4(const struct ip *ip);

/* Strict: dotted quad without leading zeros, or RFC 4291 text without zone; no brackets, no port. */
bool ip_parse(struct ip *ip, struct span text);

/* "10.0.0.0/8", "2001:db8::/32", or an address alone.  Refuses a prefix that is too long and bits
 * set behind it. */
bool ip_net_parse(struct ip_net *net, struct span text);

/* The two families stay apart: "::/0" is every IPv6 address and no IPv4 one. */
bool ip_net_has(const struct ip_net *net, const struct ip *ip);

/* Keep the first v4_bits (of 32) or v6_bits (of 128), clear the rest. */
struct ip ip_mask(const struct ip *ip, unsigned v4_bits, unsigned v6_bits);

/* RFC 5952 text, dotted quad for IPv4.  Returns its length; not NUL-terminated. */
size_t ip_format(char out[IP_TEXT_MAX], const struct ip *ip);

#endif
