/* SPDX-License-Identifier: Apache-2.0 */
/* admin_upstreams.h - how the servers of each upstream stand, and orders about one. */
#ifndef SLUICE_ADMIN_UPSTREAMS_H
#define SLUICE_ADMIN_UPSTREAMS_H

#include "admin/admin_private.h"

/* Behind it UPSTREAM "/" SERVER ":" ORDER, names with percent-escapes; the last colon is the one before ORDER. */
#define ADMIN_UPSTREAMS_PATH "/v1/upstreams/"

/* GET /v1/upstreams?upstream=NAME */
void admin_upstreams_answer(struct admin_conn *conn, struct span query);
/* POST /v1/upstreams/app/10.0.0.7:9000:drain?force=1 */
void admin_upstreams_order(struct admin_conn *conn, struct span query);

/* "state" and the reason for it of one server, for whoever tells of it. */
struct upstream_standing;
void admin_upstreams_put_state(json_t **json, const struct upstream_standing *standing);

#endif
