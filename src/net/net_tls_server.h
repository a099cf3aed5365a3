/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_server.h - TLS towards clients: the certificates of a listener, and what a client may ask for.  Takes:
 * certificates and keys as text (PEM).  Gives: streams that are secured, by net_tls_serve and net_tls_shake. */
#ifndef SLUICE_NET_TLS_SERVER_H
#define SLUICE_NET_TLS_SERVER_H

#include "net/net_tls.h"
#include "net/net_tls_tickets.h"

enum net_tls_verify {
    NET_TLS_VERIFY_OFF,
    NET_TLS_VERIFY_OPTIONAL, /* whoever shows a certificate must show a good one */
    NET_TLS_VERIFY_REQUIRED,
};

/* Text is PEM. */
struct net_tls_pair {
    struct span certificate, key; /* the certificate with its chain behind it */
};

struct net_tls_server_conf {
    const struct net_tls_pair
        *pairs; /* the first one is for who asks for no name, or for one that nobody has */
    unsigned pair_count;
    bool is_1_3;         /* the least version; else 1.2 */
    struct span ciphers; /* of TLS 1.2, as OpenSSL spells them; empty: NET_TLS_CIPHERS */
    enum net_tls_verify verify;
    struct span client_ca; /* authorities of clients' certificates */
    unsigned depth;        /* certificates between a client's and an authority's */
    bool has_tickets;
    uint64_t session_s; /* how long a session may be resumed */
};

/* ECDHE for forward secrecy, AEAD against everything that was found in CBC and RC4. */
#define NET_TLS_CIPHERS                                                                            \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"     \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

/* What of the configuration is wrong, and in which pair. */
enum net_tls_server_part {
    NET_TLS_SERVER_CERTIFICATE,
    NET_TLS_SERVER_KEY,
    NET_TLS_SERVER_CIPHERS,
    NET_TLS_SERVER_CLIENT_CA,
    NET_TLS_SERVER_MEMORY,
};
struct net_tls_server_fault {
    enum net_tls_server_part part;
    unsigned pair;
    char why[NET_TLS_WHY_BYTES];
};

/* Owner: counted.  Freed by: net_tls_server_free, with the last reference.  Thread: any; const but for the count. */
struct net_tls_server;
struct net_tls_server *net_tls_server_new(const struct net_tls_server_conf *conf,
                                          struct net_tls_server_fault *fault);
struct net_tls_server *net_tls_server_ref(struct net_tls_server *server);
void net_tls_server_free(struct net_tls_server *server); /* one reference; NULL is accepted */

/* What is read from and written to this accepted stream is TLS from here on.  tickets may be NULL: nothing is resumed;
 * they must outlive the stream.  ERR_NOMEM. */
MUST_USE enum err net_tls_serve(struct net_stream *stream, struct net_tls_server *server,
                                const struct net_tls_tickets *tickets);

/* ---- for those who check a configuration ---- */

/* For how many names the pair of this index is taken.  A name that a pair before it has as well is not its own; 0: nobody gets
 * it, unless it is the first. */
unsigned net_tls_server_names(const struct net_tls_server *server, unsigned pair);

/* Has the list a cipher of TLS 1.2 for the key of this pair?  If not, "RSA" or "ECDSA" in *kind. */
bool net_tls_server_has_cipher(const struct net_tls_server *server, unsigned pair,
                               const char **kind);

/* The first cipher of the list that has no forward secrecy, is no AEAD or proves nobody; NULL when all are good. */
const char *net_tls_weak_cipher(const struct net_tls_server *server);

#endif
