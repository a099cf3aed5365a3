/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_tls_conf.h - what may be written about TLS to Redis.  The table fills a struct store_redis_tls_conf. */
#ifndef SLUICE_STORE_REDIS_TLS_CONF_H
#define SLUICE_STORE_REDIS_TLS_CONF_H

#include "config/config_table.h"
#include "net/net_tls.h"
#include "store/store_redis_conf.h"

extern const struct config_table STORE_REDIS_TLS;

/* Borrows the texts. */
struct net_tls_conf store_redis_tls_conf_net(const struct store_redis_tls_conf *conf);

#endif
