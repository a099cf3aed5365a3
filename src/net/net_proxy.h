/* SPDX-License-Identifier: Apache-2.0 */
/* net_proxy.h - the header with which a proxy begins a connection, to say for whom it stands (HAProxy's "The PROXY
 * protocol", versions 1 and 2).  Pure: takes bytes, gives addresses, or the other way round. */
#ifndef SLUICE_NET_NET_PROXY_H
#define SLUICE_NET_NET_PROXY_H

#include <stdbool.h>

#include "base/base_ip.h"
#include "base/base_span.h"

/* The longest header that is read, with all that a proxy adds behind the addresses. */
#define NET_PROXY_MAX_BYTES   4096

/* The longest that is written: a line of version 1 about IPv6. */
#define NET_PROXY_WRITTEN_MAX 107

enum net_proxy_version {
    NET_PROXY_NONE, /* no header */
    NET_PROXY_V1,
    NET_PROXY_V2,
};

/* Between whom a connection was made.  A port of 0 is not known; so is an address of zeroes at the destination. */
struct net_proxy_ends {
    struct ip source, destination;
    uint16_t source_port, destination_port;
};

enum net_proxy_result {
    NET_PROXY_MORE, /* the bytes begin a header */
    NET_PROXY_DONE,
    NET_PROXY_BAD, /* no bytes behind them could make a header of them */
};

struct net_proxy {
    size_t len; /* of the header, in bytes */
    /* Else it speaks for itself (LOCAL), or does not know (UNKNOWN, UNSPEC, AF_UNIX). */
    bool has_address;
    struct net_proxy_ends ends; /* the client's, and where it connected to */
    const char *why;            /* of NET_PROXY_BAD, for the log */
};

/* `bytes` are the first of a connection.  Strict: a family that does not fit its addresses, leading zeros in a port, a
 * checksum (PP2_TYPE_CRC32C) that differs, or attributes that end elsewhere than the header make it BAD. */
enum net_proxy_result net_proxy_parse(struct net_proxy *proxy, struct span bytes);

/* A header at `out`, which has NET_PROXY_WRITTEN_MAX bytes; returns its end.  Without ends it names nobody: UNKNOWN, or LOCAL.
 * Where only one address is IPv4 both are written as IPv6 ones (::ffff:192.0.2.1), as HAProxy does. */
char *net_proxy_write(char *out, enum net_proxy_version version, const struct net_proxy_ends *ends);

#endif
