/* SPDX-License-Identifier: Apache-2.0 */
/* admin_body.c - the body of a request, for the few endpoints that take one.  Takes: bytes that admin.c reads.  Gives: the whole
 * of it, then the answer.  Bounded: so long, so many at the same time, and by the deadline of the connection. */
#include <stdlib.h>
#include <string.h>

#include "admin/admin_private.h"

void admin_body_end(struct admin_conn *conn)
{
    if (conn->body.bytes == NULL)
        return;
    explicit_bzero(conn->body.bytes, conn->body.len); /* a secret may stand in it */
    free(conn->body.bytes);
    conn->body = (struct admin_body){0};
    conn->admin->body_count--;
}

void admin_body_add(struct admin_conn *conn, size_t len)
{
    conn->body.len += len;
    if (conn->body.len < conn->body.whole)
        return;
    conn->state = ADMIN_CONN_READING; /* and to the answer, which is the next state */
    conn->body.answer(conn, conn->body.query);
    admin_body_end(conn);
}

void admin_body_begin(struct admin_conn *conn, const struct http_head *head, uint64_t length_bytes,
                      struct span query, void (*answer)(struct admin_conn *conn, struct span query))
{
    size_t ready = conn->in_len - head->bytes;
    if (length_bytes > ADMIN_BODY_MAX) {
        admin_send_problem(conn, 413, "a body has 4 MiB at most");
        return;
    }
    if (conn->admin->body_count == ADMIN_BODIES_MAX) {
        admin_send_problem(conn, 503, "others send bodies just now: try again");
        return;
    }
    char *bytes = malloc((size_t)length_bytes);
    if (bytes == NULL) {
        admin_send_problem(conn, 503, "out of memory");
        return;
    }
    if (ready > length_bytes)
        ready = (size_t)length_bytes;
    memcpy(bytes, conn->in + head->bytes, ready);
    conn->body = (struct admin_body){
        .bytes = bytes, .whole = (size_t)length_bytes, .query = query, .answer = answer};
    conn->admin->body_count++;
    conn->state = ADMIN_CONN_BODY;
    admin_body_add(conn, ready);
}
