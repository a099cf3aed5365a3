/* SPDX-License-Identifier: Apache-2.0 */
/* route_conf.h - what may be written about which requests a route matches.  The table fills a struct
 * route_rule; what the route then does is the plan's. */
#ifndef SLUICE_ROUTE_CONF_H
#define SLUICE_ROUTE_CONF_H

#include "config/config_table.h"

extern const struct config_table ROUTE_CONF;

#endif
