/* SPDX-License-Identifier: Apache-2.0 */
/* quota_conf.h - what may be written about a quota.  The table fills a struct quota; its key is linked
 * to identities by the plan. */
#ifndef SLUICE_QUOTA_CONF_H
#define SLUICE_QUOTA_CONF_H

#include "config/config_table.h"

extern const struct config_table QUOTA_CONF;

/* local, allow, deny: in the order of enum quota_on_failure, NULL-terminated. */
extern const char *const QUOTA_CONF_ON_FAILURE[];

#endif
