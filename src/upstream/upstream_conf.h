/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_conf.h - upstreams and their servers as configured.  Const after linking.  Owner: the plan. */
#ifndef SLUICE_UPSTREAM_CONF_H
#define SLUICE_UPSTREAM_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"
#include "metrics/metrics.h"
#include "net/net_address.h"
#include "net/net_proxy.h"
#include "net/net_tls_directives.h"
#include "upstream/upstream_rules.h"

#define UPSTREAM_SERVERS_MAX 64

struct upstream_server_conf {
    struct span address_text;        /* as configured; the server's name in logs */
    struct net_address address;      /* len 0: a name; resolved by the worker's resolver */
    struct span host;                /* the name, when it is one */
    const struct net_address *found; /* of the name, when the plan was made; NULL: none */
    unsigned found_count;
    struct span tls_name;     /* that a certificate must have; empty: any (unverified) */
    uint32_t weight;          /* 0: takes no new requests */
    uint32_t max_connections; /* of the process, kept ones too; 0: unlimited */
    bool is_backup;
    metrics_slot slot_ok, slot_failed, slot_open; /* per server */
    metrics_slot slot_usable, slot_ordered;
    bool is_folded; /* the first three count other servers too */
};

/* How servers are asked whether they are well. */
struct upstream_check_conf {
    struct span path; /* empty: they are not */
    struct span host; /* empty: the server's address */
    uint8_t method;   /* index into UPSTREAM_CHECK_METHODS */
    uint64_t interval_us, timeout_us;
    uint32_t rise, fall; /* results in a row */
    struct statuses expect;
};
extern const char *const UPSTREAM_CHECK_METHODS[];

struct upstream_conf {
    struct span name;
    struct upstream_server_conf *servers;
    uint16_t server_count;
    metrics_slot slot_servers, slot_usable, slot_response;
    uint64_t connect_timeout_us, first_byte_timeout_us, read_idle_timeout_us, pool_idle_us,
        tunnel_idle_us;
    uint64_t resolve_us; /* how often names are looked up again */
    struct upstream_check_conf check;
    struct upstream_health_conf health;
    struct upstream_retry_conf retries;
    uint8_t proxy;          /* enum net_proxy_version: how connections begin */
    uint32_t pool_max;      /* idle connections kept per worker and server */
    uint32_t balance;       /* enum upstream_balance */
    struct span hash_by;    /* as written; empty: not balanced by hash */
    int hash_identity;      /* index in the plan; -1: none */
    uint64_t slow_start_us; /* 0: off */
    uint32_t queue_max;
    uint64_t queue_timeout_us;
    struct net_tls *tls; /* a reference; NULL: plain */
    struct net_tls_client_draft tls_draft;
};

#endif
