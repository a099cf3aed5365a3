/* SPDX-License-Identifier: Apache-2.0 */
/* admin_audit.h - who changed what, in both logs.  Takes: a connection, a verb, what it was done to and how that was before and is
 * after, as far as known.  Gives: a line of the error log, and the event "admin" of the access log:
 * {"event":"admin","verb":"log:level","target":"error log","before":{...},"after":{...},"by":1000,"pid":4711}. */
#ifndef SLUICE_ADMIN_ADMIN_AUDIT_H
#define SLUICE_ADMIN_ADMIN_AUDIT_H

#include "admin/admin_private.h"

/* target: NULL or "": none.  before and after are taken; NULL: not known. */
void admin_audit_change(const struct admin_conn *conn, const char *verb, const char *target,
                        json_t *before, json_t *after);

#endif
