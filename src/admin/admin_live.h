/* SPDX-License-Identifier: Apache-2.0 */
/* admin_live.h - who was refused lately, of all workers.  Takes: what each of them kept.  Gives: one list as JSON.  Pure. */
#ifndef SLUICE_ADMIN_ADMIN_LIVE_H
#define SLUICE_ADMIN_ADMIN_LIVE_H

#include <jansson.h>
#include <stddef.h>

#include "record/record_refused.h"

/* Sorts the rows, the newest first; of one subject and window only the newest is told, and at most `limit` in all.  NULL: no
 * memory. */
json_t *admin_live_refused(struct record_refused_row *rows, size_t count, size_t limit);

#endif
