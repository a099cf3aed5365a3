/* SPDX-License-Identifier: Apache-2.0 */
/* http_fields.h - names to numbers, for this module only; http_head.h has the public side. */
#ifndef SLUICE_HTTP_FIELDS_H
#define SLUICE_HTTP_FIELDS_H

#include "http/http_head.h"

/* As http_field_id_of, for a name that is known to be a token. */
enum http_field_id http_field_lookup(const char *name, size_t len);

/* Does the name become a known one when "_" is read as "-"?  CGI, WSGI and their kin give both to a
 * program under one name, so a client could put words into the mouth of the proxy. */
bool http_field_is_alias(struct span name);

#endif
