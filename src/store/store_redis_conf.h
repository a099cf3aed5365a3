/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_conf.h - how to reach Redis, as configured.  Const after linking.  Owner: the plan. */
#ifndef SLUICE_STORE_REDIS_CONF_H
#define SLUICE_STORE_REDIS_CONF_H

#include <stdint.h>

#include "base/base_span.h"
#include "net/net_address.h"

struct store_redis_conf {
    struct net_address address; /* len 0: a name, which each link resolves off its loop */
    struct span address_text;
    struct span username, password; /* empty: none */
    uint32_t database;
    struct span prefix;
    uint64_t decision_timeout_us, command_timeout_us, connect_timeout_us;
    uint32_t fleet_size;            /* 0: not stated */
    uint8_t on_failure;             /* enum quota_on_failure; a quota's own wins */
    struct span secret_fingerprint; /* 22 characters; kept in Redis, a difference is a loud error */
};

#endif
