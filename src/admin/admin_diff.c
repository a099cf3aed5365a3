/* SPDX-License-Identifier: Apache-2.0 */
/* admin_diff.c - what would another configuration change?  Takes: a request, with the configuration as its body or without one
 * for the file on disk, and the outcome.  Gives: the answer.  The parent, who may read files, does the rest.  Changes nothing. */
#include "admin/admin_private.h"
#include "admin/admin_query.h"
#include "config/config_utf8.h"

/* It stands in sentences on terminals and in logs. */
static bool is_printable(struct span text)
{
    for (size_t at = 0, step; at < text.len; at += step) {
        const struct span rest = {text.ptr + at, text.len - at};
        const unsigned char c = (unsigned char)rest.ptr[0];
        step = config_utf8_len(rest);
        if (step == 0 || c < 0x20 || c == 0x7f || c == 0xc2)
            return false;
    }
    return true;
}

void admin_diff_ask(struct admin_conn *conn, struct span query)
{
    const struct admin_hooks *hooks = &conn->admin->env.hooks;
    char name[ADMIN_QUERY_VALUE_MAX];
    size_t len;
    if (!admin_query_find(query, "name", name, &len) || !is_printable((struct span){name, len})) {
        admin_send_problem(conn, 400, "\"name\" is what the configuration is called in messages");
        return;
    }
    const struct span called = len == 0 ? SPAN("the request") : (struct span){name, len};
    const struct span text = {conn->body.bytes, conn->body.len};
    admin_conn_wait(conn, "the comparison");
    if (hooks->diff(hooks->arg, conn->ticket, called, text))
        return;
    conn->ticket = 0;
    admin_send_problem(conn, 503, "the parent process cannot be asked: try again");
}

void admin_diff_answer(struct admin *admin, uint32_t ticket, unsigned status, struct span text)
{
    struct admin_conn *conn = admin_conn_of(admin, ticket);
    if (conn == NULL)
        return;
    conn->ticket = 0;
    if (status == 200)
        admin_send_json(conn, status, json_loadb(text.ptr, text.len, 0, NULL));
    else if (status == 422)
        admin_send_report(conn, status, "this configuration is not valid", text);
    else
        admin_send_problem(conn, status, "there is no memory to compare");
    admin_conn_go(conn);
}
