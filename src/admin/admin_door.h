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

/* The only field of this name; ptr NULL: none, or several. */
struct span admin_door_field(const struct http_head *head, struct span name, bool *is_there);
/* Does a web page of somebody else ask (Origin, Sec-Fetch-Site)? */
bool admin_door_is_of_a_page(const struct http_head *head);
/* Is it the secret?  In a time that depends on the length of what was given alone.  Nothing is an empty secret. */
bool admin_door_is_secret(struct span given, struct span secret);

#endif
