/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_proxy.c - for whom a connection to a server is.  Takes: the client's connection, and what a trusted proxy says of
 * who is behind it.  Gives: the PROXY header that tells the server.  Never: a port that belongs to another address. */
#include "exchange/exchange_private.h"

struct span exchange_name_client(struct exchange *x, enum net_proxy_version version)
{
    static const struct ip none;
    char *out = exchange_room(x, NET_PROXY_WRITTEN_MAX); /* the worker's: it is small */
    struct net_proxy_ends ends;
    x->ops->ends(x->client, &ends);
    if (!exchange_same16(&x->client_ip,
                         &x->peer_ip)) { /* named in a header field, which tells no port */
        ends.source = x->client_ip;
        ends.source_port = 0;
    } else if (x->peer_is_unix) {
        return (struct span){out, (size_t)(net_proxy_write(out, version, NULL) - out)};
    }
    /* A destination that is not known is of the source's family, so that the source is written as what it is. */
    if (exchange_same16(&ends.destination, &none) && ip_is_v4(&ends.source))
        ends.destination.bytes[10] = ends.destination.bytes[11] = 0xff;
    return (struct span){out, (size_t)(net_proxy_write(out, version, &ends) - out)};
}
