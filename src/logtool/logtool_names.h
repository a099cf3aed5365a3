/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_names.h - texts, each kept once and called by a number.  Found by a keyed hash, so that who wrote the log cannot
 * slow the search down. */
#ifndef SLUICE_LOGTOOL_NAMES_H
#define SLUICE_LOGTOOL_NAMES_H

#include "base/base_err.h"
#include "base/base_hash.h"
#include "base/base_span.h"

#define LOGTOOL_NAMES_MAX        4000000
#define LOGTOOL_NAMES_TEXT_BYTES (256u << 20)

/* Owner: whoever embeds it.  All zeroes is an empty one. */
struct logtool_names {
    struct hash_key key;
    uint32_t *places; /* number + 1; 0: free */
    uint32_t mask;
    struct logtool_name *names;
    uint32_t count, room;
    struct logtool_names_block *block; /* where the next text goes */
    size_t block_left;
    uint64_t text_bytes;
};

/* The number of a text; it is made when there is none.  ERR_LIMIT, ERR_NOMEM. */
MUST_USE enum err logtool_names_take(struct logtool_names *names, struct span text,
                                     uint32_t *number);

/* UINT32_MAX: it was never taken. */
uint32_t logtool_names_find(const struct logtool_names *names, struct span text);

struct span logtool_names_text(const struct logtool_names *names, uint32_t number);
void logtool_names_fini(struct logtool_names *names);

#endif
