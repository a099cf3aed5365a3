/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_resp.h - pieces of a command as Redis reads them (RESP2), written by hand.  Takes: counts and texts.  Gives: their
 * bytes at `out`, and the byte behind; the caller has made sure of the room. */
#ifndef SLUICE_STORE_REDIS_RESP_H
#define SLUICE_STORE_REDIS_RESP_H

#include "base/base_fmt.h"

#define STORE_REDIS_RESP_LENGTH_MAX    (1 + FMT_U64_MAX + 2) /* "$123\r\n" */
#define STORE_REDIS_RESP_TEXT_MAX(len) (STORE_REDIS_RESP_LENGTH_MAX + (len) + 2)

/* kind: '*' before so many words, '$' before a word of so many bytes. */
char *store_redis_resp_length(char *out, char kind, uint64_t length);
/* One word. */
char *store_redis_resp_text(char *out, struct span text);

#endif
