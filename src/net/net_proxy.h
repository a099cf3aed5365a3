/* SPDX-License-Identifier: Apache-2.0 */
/* net_proxy.h - the header with which a proxy in front begins a connection, to say for whom it stands (HAProxy's "The
 * PROXY protocol", versions 1 and 2).  Pure: takes bytes, gives an address. */
#ifndef SLUICE_NET_NET_PROXY_H
#define SLUICE_NET_NET_PROXY_H

#include <stdbool.h>

#include "base/base_ip.h"
#include "base/base_span.h"

/* The longest header that is read, with all that a proxy adds behind the addresses. */
#define NET_PROXY_MAX_BYTES 4096

enum net_proxy_result {
    NET_PROXY_MORE, /* the bytes begin a header */
    NET_PROXY_DONE,
    NET_PROXY_BAD, /* no bytes behind them could make a header of them */
};

struct net_proxy {
    size_t len; /* of the header, in bytes */
    bool
        has_address; /* else it speaks for itself (LOCAL), or does not know (UNKNOWN, UNSPEC, AF_UNIX) */
    struct ip ip;    /* the client's */
    const char *why; /* of NET_PROXY_BAD, for the log */
};

/* `bytes` are the first of a connection.  Strict: a family that does not fit its addresses, leading zeros in a port, a
 * checksum (PP2_TYPE_CRC32C) that differs, or attributes that end elsewhere than the header make it BAD. */
enum net_proxy_result net_proxy_parse(struct net_proxy *proxy, struct span bytes);

#endif
