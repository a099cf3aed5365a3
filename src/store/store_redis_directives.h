/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_directives.h - what may be written about Redis.  The table fills a struct
 * store_redis_conf. */
#ifndef SLUICE_STORE_REDIS_DIRECTIVES_H
#define SLUICE_STORE_REDIS_DIRECTIVES_H

#include "config/config_table.h"

#define STORE_REDIS_PREFIX "sluice" /* of keys, when nothing else is written */

extern const struct config_table STORE_REDIS_DIRECTIVES;

/* The words of enum store_redis_topology, NULL behind them. */
extern const char *const STORE_REDIS_TOPOLOGIES[];

#endif
