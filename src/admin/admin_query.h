/* SPDX-License-Identifier: Apache-2.0 */
/* admin_query.h - parameters of a request's query.  Takes: "a=b&c=d".  Gives: decoded values.  Also writes them.  Pure. */
#ifndef SLUICE_ADMIN_QUERY_H
#define SLUICE_ADMIN_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/base_span.h"

#define ADMIN_QUERY_VALUE_MAX 1024

/* The value of a parameter, NUL-terminated in out; *len 0: it is empty, or not there.  False: it is there twice, too long,
 * or its percent-escapes are broken. */
bool admin_query_find(struct span query, const char *name, char out[ADMIN_QUERY_VALUE_MAX],
                      size_t *len);

/* Percent-escapes as the bytes that they mean, NUL-terminated.  False: they are broken, or it is too long. */
bool admin_query_decode(struct span text, char out[ADMIN_QUERY_VALUE_MAX], size_t *len);

/* Every byte that is not a letter or a digit as an escape; at most 3 * text.len bytes.  Returns the end. */
char *admin_query_escape(char *out, struct span text);

#endif
