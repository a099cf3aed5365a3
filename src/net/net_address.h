/* SPDX-License-Identifier: Apache-2.0 */
/* net_address.h - where to listen or connect: "127.0.0.1:80", "[::1]:80", "unix:/path", and for
 * connecting "name:80".  Takes: text.  Gives: socket addresses.  Never resolves names by itself. */
#ifndef SLUICE_NET_ADDRESS_H
#define SLUICE_NET_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/base_ip.h"
#include "base/base_span.h"

#define NET_ADDRESS_TEXT_MAX 256

struct net_address {
    struct sockaddr_storage sockaddr;
    socklen_t len; /* 0: a name that is not resolved yet */
    bool is_unix;
    uint16_t port;
};

/* What is wrong, as a sentence; NULL when nothing is.  With host != NULL a name is allowed: then
 * address->len is 0 and *host is the name. */
const char *net_address_parse(struct net_address *address, struct span text, struct span *host);

void net_address_from(struct net_address *address, const struct sockaddr *sockaddr, socklen_t len);
/* Of an address that is not of a Unix socket. */
void net_address_set_port(struct net_address *address, uint16_t port);
/* The IP; all zeroes for a Unix socket. */
struct ip net_address_ip(const struct net_address *address);
/* As text; returns the length. */
size_t net_address_format(char out[NET_ADDRESS_TEXT_MAX], const struct net_address *address);
bool net_address_eq(const struct net_address *a, const struct net_address *b);

#endif
