/* SPDX-License-Identifier: Apache-2.0 */
/* admin_drain.c - the end of the service is asked for.  Takes: a request.  Gives: its connection to the parent, which answers
 * when there is no serving process any more.  Never ends anything by itself. */
#include "admin/admin_audit.h"
#include "admin/admin_private.h"
#include "admin/admin_query.h"

#define DRAIN_DEADLINE_MAX_US UINT64_C(86400000000)

void admin_drain_ask(struct admin_conn *conn, struct span query)
{
    const struct admin_hooks *hooks = &conn->admin->env.hooks;
    uint64_t deadline_us = UINT64_MAX;
    if (!admin_query_duration(query, "deadline", 0, DRAIN_DEADLINE_MAX_US, &deadline_us)) {
        admin_send_problem(conn, 400, "\"deadline\" must be a time such as 30s, up to 24h");
        return;
    }
    const int64_t deadline_ms = deadline_us == UINT64_MAX ? -1 : (int64_t)(deadline_us / 1000);
    admin_audit_change(
        conn, "drain", NULL, NULL,
        deadline_ms < 0 ? NULL : json_pack("{s:I}", "deadline_ms", (json_int_t)deadline_ms));
    if (!hooks->drain(hooks->arg, conn->stream.fd, deadline_ms)) {
        admin_send_problem(conn, 503, "the parent process cannot be asked: try again");
        return;
    }
    /* The parent has a descriptor of its own, and ours says nothing any more. */
    conn->state = ADMIN_CONN_LINGERING;
}
