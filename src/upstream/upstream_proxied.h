/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_proxied.h - connections that begin with a PROXY header.  Takes: the header of each.  Gives: a kept one that began
 * with the very same bytes.  Never: gives one that was begun for somebody else. */
#ifndef SLUICE_UPSTREAM_PROXIED_H
#define SLUICE_UPSTREAM_PROXIED_H

#include <stdbool.h>

#include "base/base_err.h"
#include "base/base_span.h"

struct upstream_conn;

/* Those of one server.  Owner: the server.  Freed by: upstream_proxied_table_free, behind its last connection.  Thread: the
 * worker's. */
struct upstream_proxied_table;
struct upstream_proxied_table *upstream_proxied_table_new(void); /* NULL: no memory */
void upstream_proxied_table_free(struct upstream_proxied_table *table);

/* This new connection begins with that header, of NET_PROXY_WRITTEN_MAX bytes at most.  False: no memory. */
bool upstream_proxied_begin(struct upstream_conn *conn, struct upstream_proxied_table *table,
                            struct span header);
/* It is closed; harmless where it has no header. */
void upstream_proxied_end(struct upstream_conn *conn);

/* Send the header, once and first.  As net_stream_preface. */
MUST_USE enum err upstream_proxied_tell(struct upstream_conn *conn);

/* A kept connection, the one begun last; NULL: there is none. */
struct upstream_conn *upstream_proxied_find_idle(const struct upstream_proxied_table *table,
                                                 struct span header);

#endif
