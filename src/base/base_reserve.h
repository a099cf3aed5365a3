/* SPDX-License-Identifier: Apache-2.0 */
/* base_reserve.h - memory for a large table.  Takes: its size.  Gives: zeroed memory of this process alone that takes
 * room only where it is touched.  Never: is inherited by whoever comes after the process. */
#ifndef SLUICE_BASE_RESERVE_H
#define SLUICE_BASE_RESERVE_H

#include <stddef.h>

/* Aligned to a page.  NULL: there is none. */
void *reserve_new(size_t bytes);
/* NULL: nothing to free. */
void reserve_free(void *memory, size_t bytes);

#endif
