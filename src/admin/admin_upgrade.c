/* SPDX-License-Identifier: Apache-2.0 */
/* admin_upgrade.c - another program is asked to take over, and the admin socket goes to it.  Takes: a request, and the outcome.
 * Gives: the answer.  The parent does the rest. */
#include <stdlib.h>
#include <unistd.h>

#include "admin/admin_private.h"
#include "admin/admin_query.h"

#define UPGRADE_DEADLINE_MIN_US 1000000
#define UPGRADE_DEADLINE_MAX_US 50000000 /* less than the answer is waited for */

void admin_upgrade_ask(struct admin_conn *conn, struct span query)
{
    struct admin *admin = conn->admin;
    uint64_t deadline_us = 0;
    if (!admin_query_duration(query, "deadline", UPGRADE_DEADLINE_MIN_US, UPGRADE_DEADLINE_MAX_US,
                              &deadline_us)) {
        admin_send_problem(conn, 400, "\"deadline\" must be a time such as 30s, from 1s to 50s");
        return;
    }
    admin_audit(conn, "upgrade");
    admin_conn_wait(conn, "the upgrade");
    if (admin->env.hooks.upgrade(admin->env.hooks.arg, conn->ticket,
                                 (uint32_t)(deadline_us / 1000)))
        return;
    conn->ticket = 0;
    admin_send_problem(conn, 503, "the parent process cannot be asked: try again");
}

void admin_upgrade_answer(struct admin *admin, uint32_t ticket, unsigned status, struct span text)
{
    struct admin_conn *conn = admin_conn_of(admin, ticket);
    if (conn == NULL)
        return;
    conn->ticket = 0;
    if (status == 200) {
        admin_send_json(conn, status, json_loadb(text.ptr, text.len, 0, NULL));
    } else {
        char *detail = strndup(text.len == 0 ? "" : text.ptr, text.len);
        admin_send_problem(conn, status, detail == NULL ? "" : detail);
        free(detail);
    }
    admin_conn_go(conn);
}

void admin_go(struct admin *admin)
{
    admin->env.is_held = false;
    LIST_EACH (node, &admin->ports) {
        struct admin_port *port = LIST_OF(node, struct admin_port, node);
        if (port->listener != NULL)
            net_listener_go(port->listener);
    }
}

/* Who waits in the queue is the other process's too, so nobody is accepted any more. */
void admin_give_way(struct admin *admin)
{
    LIST_EACH (node, &admin->ports) {
        struct admin_port *port = LIST_OF(node, struct admin_port, node);
        if (port->listener == NULL)
            continue;
        net_listener_give_back(port->listener);
        port->listener = NULL;
        close(port->fd);
    }
}
