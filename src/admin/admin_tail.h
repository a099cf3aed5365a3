/* SPDX-License-Identifier: Apache-2.0 */
/* admin_tail.h - lines of the access log as they are written, to whoever watches.  Takes: a request with an expression.  Gives: a
 * response without an end, a line of JSON each.  Bounded in readers and in what is kept for each; a reader that does not
 * read loses lines and is told how many.  Never: makes the writer of the log wait. */
#ifndef SLUICE_ADMIN_ADMIN_TAIL_H
#define SLUICE_ADMIN_ADMIN_TAIL_H

#include "admin/admin_filter.h"
#include "admin/admin_private.h"

#define ADMIN_TAIL_READERS_MAX  16
#define ADMIN_TAIL_BUFFER_BYTES (256u * 1024)
#define ADMIN_TAIL_TICK_US      20000
#define ADMIN_TAIL_TURN_BYTES   (1u << 20)         /* looked at in one turn of the loop */
#define ADMIN_TAIL_STALL_US     UINT64_C(60000000) /* a reader that takes nothing so long has gone */

/* Owner: its connection.  Freed by: admin_tail_free.  Thread: the main loop's. */
struct admin_tail {
    struct list node; /* of struct admin */
    struct admin_conn *conn;
    struct admin_filter filter;
    uint64_t lost;     /* lines, since it was last told */
    uint64_t taken_us; /* monotonic: when it took something, or had nothing to take */
    size_t begin, end; /* in bytes */
    char bytes[ADMIN_TAIL_BUFFER_BYTES];
};

/* GET /v1/tail?q=... */
void admin_tail_answer(struct admin_conn *conn, struct span query);
/* Send what is there.  False: the peer is gone; who asks frees the connection. */
MUST_USE bool admin_tail_flush(struct admin_tail *tail);
void admin_tail_free(struct admin_tail *tail);

#endif
