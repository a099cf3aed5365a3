/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_directives.h - what may be written about TLS, on either side.  The tables fill drafts; files are in them as
 * their bytes. */
#ifndef SLUICE_NET_TLS_DIRECTIVES_H
#define SLUICE_NET_TLS_DIRECTIVES_H

#include "config/config_table.h"
#include "net/net_tls_server.h"

#define NET_TLS_CERTIFICATES_MAX 256

struct net_tls_clients_draft {
    uint8_t verify; /* enum net_tls_verify */
    uint32_t depth;
    struct span ca;
};

/* Of a listener. */
struct net_tls_server_draft {
    struct config_items pairs; /* of struct net_tls_pair */
    struct net_tls_pair pair;  /* the only one */
    struct net_tls_clients_draft clients;
    struct span ciphers;
    uint64_t session_us;
    uint8_t min_version; /* 0: 1.2, 1: 1.3 */
    bool has_tickets;
};

/* Of an upstream. */
struct net_tls_client_draft {
    struct span ca, certificate, key, server_name;
    uint8_t min_version;
    bool is_verified;
};

/* What is wrong with a name that servers are to be asked for, and what to do; NULL: nothing is. */
const char *net_tls_name_fault(struct span name);
/* What the certificate of this host must be for. */
struct span net_tls_name_of(struct span host);

extern const struct config_table NET_TLS_SERVER_DIRECTIVES, NET_TLS_CLIENT_DIRECTIVES;

#endif
