/* SPDX-License-Identifier: Apache-2.0 */
/* reply_conf.h - what may be written about rate-limit headers.  The table fills a struct
 * reply_headers. */
#ifndef SLUICE_REPLY_CONF_H
#define SLUICE_REPLY_CONF_H

#include "config/config_table.h"

extern const struct config_table REPLY_CONF;

#endif
