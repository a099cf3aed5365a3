/* SPDX-License-Identifier: Apache-2.0 */
/* admin_query.h - parameters of a request's query.  Takes: "a=b&c=d".  Gives: decoded values.  Also writes them.  Pure. */
#ifndef SLUICE_ADMIN_QUERY_H
#define SLUICE_ADMIN_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base_span.h"

#define ADMIN_QUERY_VALUE_MAX 1024

/* The value of a parameter, NUL-terminated in out; *len 0: it is empty, or not there.  False: it is there twice, too long,
 * or its percent-escapes are broken. */
bool admin_query_find(struct span query, const char *name, char out[ADMIN_QUERY_VALUE_MAX],
                      size_t *len);

/* A time such as 1500ms or 2h, from min_us to max_us; *us stays as it is when the parameter is empty or not there.  False: as
 * above, or it is no such time. */
bool admin_query_duration(struct span query, const char *name, uint64_t min_us, uint64_t max_us,
                          uint64_t *us);

/* Percent-escapes as the bytes that they mean, NUL-terminated.  False: they are broken, or it is too long. */
bool admin_query_decode(struct span text, char out[ADMIN_QUERY_VALUE_MAX], size_t *len);

/* Every byte that is not a letter or a digit as an escape; at most 3 * text.len bytes.  Returns the end. */
char *admin_query_escape(char *out, struct span text);

#endif
