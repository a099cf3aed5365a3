/* SPDX-License-Identifier: Apache-2.0 */
/* admin_door.h - who may ask.  Takes: a connection and its request.  Gives: yes, or the refusal is sent.
 *
 * Behind a Unix socket its file's mode has said so already.  Over TCP the token is asked for, and Host has to be one of ours: a web
 * page whose name was made to mean our address (DNS rebinding) has another.  What a browser sends for a page of
 * somebody else is refused on either. */
#ifndef SLUICE_ADMIN_ADMIN_DOOR_H
#define SLUICE_ADMIN_ADMIN_DOOR_H

#include "admin/admin_private.h"

MUST_USE bool admin_door_admits(struct admin_conn *conn, const struct http_head *head);

#endif
