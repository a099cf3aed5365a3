/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls.h - TLS as a client: whom to trust and who we are, and the secured side of one stream.  Takes: certificates as
 * text (PEM), bytes of a stream.  Gives: plain bytes, or in words why not.  Never opens a file but the system's list of
 * authorities, never blocks. */
#ifndef SLUICE_NET_TLS_H
#define SLUICE_NET_TLS_H

#include "base/base_err.h"
#include "base/base_span.h"
#include "net/net_stream.h"

#define NET_TLS_WHY_BYTES 320

/* Text is PEM.  Owner: who asks. */
struct net_tls_conf {
    struct span ca;               /* authorities; empty: the system's */
    struct span certificate, key; /* ours, with its chain behind it; empty: none */
    bool is_unverified;           /* whoever answers is believed */
    bool is_1_3;                  /* the least version; else 1.2 */
};

/* What of the configuration is wrong. */
enum net_tls_part {
    NET_TLS_CA,
    NET_TLS_CERTIFICATE,
    NET_TLS_KEY,
    NET_TLS_MEMORY,
};

/* Owner: who made it.  Freed by: net_tls_free, after every stream that was secured with it.  Thread: any; const. */
struct net_tls;
struct net_tls *net_tls_new(const struct net_tls_conf *conf, enum net_tls_part *part,
                            char why[NET_TLS_WHY_BYTES]);
void net_tls_free(struct net_tls *tls);

/* What is read from and written to this connected stream is TLS from here on.  The peer must have a certificate for
 * that name or IP address.  tls stays borrowed until the stream is closed. */
MUST_USE enum err net_tls_begin(struct net_stream *stream, const struct net_tls *tls,
                                struct span name);
/* ERR_OK: the peer is who it should be; ERR_AGAIN while it goes on; ERR_SYSTEM: net_tls_why. */
MUST_USE enum err net_tls_shake(struct net_stream *stream);

/* Why the stream's TLS has failed; NULL when it has not. */
const char *net_tls_why(const struct net_stream *stream);

#endif
