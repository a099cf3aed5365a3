/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_conf.h - how to reach Redis, as configured.  Const after linking.  Owner: the plan. */
#ifndef SLUICE_STORE_REDIS_CONF_H
#define SLUICE_STORE_REDIS_CONF_H

#include <stdint.h>

#include "base/base_span.h"
#include "net/net_address.h"

#define STORE_REDIS_SERVERS_MAX 16

enum store_redis_topology {
    STORE_REDIS_STANDALONE,
    STORE_REDIS_SENTINELS,
    STORE_REDIS_CLUSTER,
};

struct store_redis_server_conf {
    struct net_address address; /* len 0: a name, which each worker resolves off its loop */
    struct span text;
};

/* Text of certificates and keys (PEM) is the plan's alone. */
struct store_redis_tls_conf {
    bool is_on, is_verified, is_for_sentinels;
    uint8_t min_version;     /* enum store_redis_tls_version */
    struct span server_name; /* empty: each server's own */
    struct span ca, certificate, key;
};

enum store_redis_tls_version {
    STORE_REDIS_TLS_1_2,
    STORE_REDIS_TLS_1_3,
};

struct store_redis_conf {
    struct store_redis_server_conf servers[STORE_REDIS_SERVERS_MAX]; /* where to begin */
    unsigned server_count;
    uint8_t topology;               /* enum store_redis_topology */
    struct span master;             /* as the sentinels name it */
    struct span username, password; /* empty: none */
    struct span sentinel_username, sentinel_password;
    struct store_redis_tls_conf tls;
    uint32_t database;
    struct span prefix;
    uint64_t decision_timeout_us, command_timeout_us, connect_timeout_us;
    bool is_durable; /* grants are spent once durable_replicas have them */
    uint32_t durable_replicas;
    uint64_t durable_timeout_us;
    uint32_t fleet_size;            /* 0: not stated */
    uint8_t on_failure;             /* enum quota_on_failure; a quota's own wins */
    struct span secret_fingerprint; /* 22 characters; kept in Redis, a difference is a loud error */
};

#endif
