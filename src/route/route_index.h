/* SPDX-License-Identifier: Apache-2.0 */
/* route_index.h - one hash table from (parent, text) to a number; the edges of a route table.  Private
 * to the module.  Built once, then only read. */
#ifndef SLUICE_ROUTE_INDEX_H
#define SLUICE_ROUTE_INDEX_H

#include <stdint.h>

#include "base/base_err.h"
#include "base/base_span.h"

struct route_slot;

/* Owner: struct route_table.  Freed by: route_index_fini.  Thread: any, once built. */
struct route_index {
    struct route_slot *slots;
    uint32_t mask, count;
};

/* Not keyed: only the configuration adds entries, so a client cannot make them collide. */
uint64_t route_index_hash(struct span text);

MUST_USE enum err route_index_init(struct route_index *index);
void route_index_fini(struct route_index *index);

/* `hash` is route_index_hash(text).  The text is borrowed; the value is not 0.  ERR_EXISTS leaves the
 * old value. */
MUST_USE enum err route_index_add(struct route_index *index, uint64_t parent, struct span text,
                                  uint64_t hash, uint32_t value);

/* 0 when there is none. */
uint32_t route_index_find(const struct route_index *index, uint64_t parent, struct span text,
                          uint64_t hash);

#endif
