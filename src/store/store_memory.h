/* SPDX-License-Identifier: Apache-2.0 */
/* store_memory.h - the embedded store: a bounded table of cells in shared memory that the parent made
 * and every child inherits, so that a child killed at any instruction loses nothing.  Charges of one
 * request are all or nothing across threads.  Saved to a file and restored by the parent. */
#ifndef SLUICE_STORE_MEMORY_H
#define SLUICE_STORE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/base_err.h"
#include "quota/quota.h"
#include "store/store.h"

struct store_memory;

/* Make the shared mapping (memfd) for `subjects` cells (a cell holds one subject of one quota with all
 * its windows).  Parent, before the child.  The handle is valid in every forked child. */
struct store_memory *store_memory_new(uint32_t subjects);
void store_memory_free(struct store_memory *store);

/* A child that begins calls this once before its threads run: locks that a killed child left are
 * opened.  */
void store_memory_recover(struct store_memory *store);

/* Charge all or nothing at wall time now_us.  Fills every reading.  Any thread.  *overflowed counts the
 * charges that went to their quota's overflow bucket because the table was full. */
enum store_answer store_memory_charge(struct store_memory *store, struct quota_charge *charges,
                                      unsigned count, uint64_t now_us, unsigned *overflowed);

uint64_t store_memory_subjects(const struct store_memory *store, uint64_t *max);

/* Write all live cells to path (temporary file, checksum, fsync, atomic rename); read them back.  A
 * missing file is ERR_NOTFOUND, a damaged one ERR_INVALID (nothing is loaded).  `why` gets a sentence. */
MUST_USE enum err store_memory_save(const struct store_memory *store, const char *path,
                                    uint64_t now_us, char why[256]);
MUST_USE enum err store_memory_load(struct store_memory *store, const char *path, uint64_t now_us,
                                    char why[256]);

#endif
