/* SPDX-License-Identifier: Apache-2.0 */
/* admin_log.h - orders about the logs: open the files again, and the level of the error log for a while. */
#ifndef SLUICE_ADMIN_ADMIN_LOG_H
#define SLUICE_ADMIN_ADMIN_LOG_H

#include "admin/admin_private.h"

/* POST /v1/log:reopen */
void admin_log_reopen(struct admin_conn *conn, struct span query);
/* POST /v1/log:level?level=debug&for=10m */
void admin_log_level(struct admin_conn *conn, struct span query);

#endif
