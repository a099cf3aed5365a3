/* SPDX-License-Identifier: Apache-2.0 */
/* base_map.h - a small map from names to pointers, for configuration-time tables (not for
 * traffic).  Keys are copied; values are borrowed. */
#ifndef SLUICE_BASE_MAP_H
#define SLUICE_BASE_MAP_H

#include <stddef.h>

#include "base/base_err.h"
#include "base/base_span.h"

struct map_entry;

/* Owner: whoever embeds it.  Freed by: map_fini.  Thread: the owner's. */
struct map {
    struct map_entry *entries;
    size_t capacity, count;
};

void map_init(struct map *map);
void map_fini(struct map *map);
/* ERR_EXISTS leaves the old value. */
MUST_USE enum err map_add(struct map *map, struct span key, void *value);
void *map_find(const struct map *map, struct span key);

#endif
