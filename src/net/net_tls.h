/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls.h - TLS as a client, and the secured side of any stream.  Takes: certificates as text (PEM), bytes of a
 * stream.  Gives: plain bytes, or in words why not.  Never opens a file but the system's list of authorities, never
 * blocks.  Whose side it is as a server stands in net_tls_server.h. */
#ifndef SLUICE_NET_TLS_H
#define SLUICE_NET_TLS_H

#include "base/base_err.h"
#include "base/base_span.h"
#include "net/net_stream.h"

#define NET_TLS_WHY_BYTES         320
#define NET_TLS_FINGERPRINT_BYTES 64 /* SHA-256 as hexadecimal digits */

/* Text is PEM.  Owner: who asks. */
struct net_tls_conf {
    struct span ca;               /* authorities; empty: the system's */
    struct span certificate, key; /* ours, with its chain behind it; empty: none */
    bool is_unverified;           /* whoever answers is believed */
    bool is_1_3;                  /* the least version; else 1.2 */
    bool is_http;                 /* say by ALPN that HTTP/1.1 is spoken */
};

/* What of the configuration is wrong. */
enum net_tls_part {
    NET_TLS_CA,
    NET_TLS_CERTIFICATE,
    NET_TLS_KEY,
    NET_TLS_MEMORY,
};

/* Owner: counted.  Freed by: net_tls_free, with the last reference; a secured stream holds what it needs itself.
 * Thread: any; const but for the count. */
struct net_tls;
struct net_tls *net_tls_new(const struct net_tls_conf *conf, enum net_tls_part *part,
                            char why[NET_TLS_WHY_BYTES]);
struct net_tls *net_tls_ref(struct net_tls *tls);
void net_tls_free(struct net_tls *tls); /* one reference */
/* Were both made of the same?  Then connections and sessions of one are as good as the other's.  NULL is plain. */
bool net_tls_is_same(const struct net_tls *one, const struct net_tls *other);

/* The last session that a server gave, to be resumed by the next connection.  Owner: who keeps it beside the server;
 * outlives the streams.  Freed by: net_tls_kept_drop.  Thread: the streams'. */
struct net_tls_kept {
    void *session;
};
void net_tls_kept_drop(struct net_tls_kept *kept);

/* What is read from and written to this connected stream is TLS from here on.  The peer must have a certificate for
 * that name or IP address; an empty name asks for none and can only be used unverified. */
MUST_USE enum err net_tls_begin(struct net_stream *stream, const struct net_tls *tls,
                                struct span name);
/* Behind net_tls_begin: resume what is kept, keep what comes. */
void net_tls_keep(struct net_stream *stream, struct net_tls_kept *kept);

/* ERR_OK: the peer is who it should be; ERR_AGAIN while it goes on (try again at the stream's next readiness);
 * ERR_SYSTEM: net_tls_why.  As a server also ERR_INVALID: what comes is no TLS, and nothing was said or taken. */
MUST_USE enum err net_tls_shake(struct net_stream *stream);

/* As a server, when nothing has come yet: the stream is plain from here on. */
void net_tls_drop(struct net_stream *stream);

/* Why the stream's TLS has failed; NULL when it has not. */
const char *net_tls_why(const struct net_stream *stream);
/* The same in a word, for logs: "untrusted", "expired", "wrong_name", "protocol"... */
const char *net_tls_why_word(const struct net_stream *stream);

/* Of a stream whose handshake is over. */
bool net_tls_is_resumed(const struct net_stream *stream);
/* Members of a JSON object, with a comma before each: version, cipher, name asked for, resumed.  Lives as long as the
 * stream; empty: none (plain). */
struct span net_tls_record(const struct net_stream *stream);
/* SHA-256 of the peer's certificate; empty: it has shown none.  As long as the stream. */
struct span net_tls_fingerprint(const struct net_stream *stream);

#endif
