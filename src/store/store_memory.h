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
#include "store/store_subject.h"

struct store_memory;
struct store_notes;

#define STORE_MEMORY_TOKENS 262144 /* that are valid at a time; 34 MiB when all are */
#define STORE_MEMORY_GRANTS 16384  /* that are in force at a time */

/* Make the shared mapping (memfd) for `subjects` cells (a cell holds one subject of one quota with all
 * its windows); a seventh more are made, so that so many find a place.  Pages are taken when a subject
 * comes.  Parent, before the child.  The handle is valid in every forked child.  NULL: no memory. */
struct store_memory *store_memory_new(uint32_t subjects);
void store_memory_free(struct store_memory *store);

/* What stands where in the mapping, and what it means.  Two programs share it only when they agree. */
#define STORE_MEMORY_LAYOUT 1

/* The descriptor of the mapping, for another program that is to go on with it (borrowed), and how many subjects it was
 * made for. */
int store_memory_descriptor(const struct store_memory *store, uint32_t *subjects);
/* Go on with the mapping of another process that may still use it.  fd is taken when it succeeds.  NULL: this is no such
 * mapping, or of another size. */
struct store_memory *store_memory_open(int fd, uint32_t subjects);

/* A child that begins calls this once before its threads run, and after its predecessor is dead: locks
 * that a killed child left are opened.  From the first child on the parent only saves. */
void store_memory_recover(struct store_memory *store);

/* The same, called by the parent right before it forks, which gives the child's number.  beside: the number of a child of
 * another parent that charges too; 0: there is none. */
uint32_t store_memory_begin_life(struct store_memory *store, uint32_t beside);
/* Nobody charges any more but the child of this number: open what others left locked. */
void store_memory_outlive(const struct store_memory *store, uint32_t life);

/* Charge all or nothing at wall time now_us.  Fills every reading, is_charged and source of every charge.
 * Any thread; count <= QUOTA_MAX_PER_ROUTE.  *overflowed counts the charges that went to their quota's
 * overflow bucket because the table was full.  STORE_AWAY (nothing charged, readings not to be used):
 * more than a thousand quotas overflow at a time, or there were more than four thousand different
 * periods since the start.
 *
 * Windows are matched by period, so a reload that changes limits keeps what was used.  A cell remembers
 * four; one that its quota does not ask for any more goes when a fifth needs its room. */
enum store_answer store_memory_charge(struct store_memory *store, struct quota_charge *charges,
                                      unsigned count, uint64_t now_us, unsigned *overflowed);

/* Is there no room for this one charge?  Then its readings say why.  Makes and charges nothing.  Any thread. */
bool store_memory_refuses(const struct store_memory *store, struct quota_charge *charge,
                          uint64_t now_us);

/* Where the subjects of one thread had their cells lately: each found without a search, or not, as its key then proves.
 * All zeroes is an empty one.  Owner: a worker.  Thread: the owner's. */
#define STORE_MEMORY_HINTS 4096 /* a power of two */
struct store_memory_hints {
    uint64_t
        places[STORE_MEMORY_HINTS]; /* half a word of a key, and the cell's number + 1; 0: free */
};

/* The same for one charge of a quota with one fixed window whose subject is known, as it is by far most often.  False: it
 * is not, and nothing has happened. */
bool store_memory_charge_known(const struct store_memory *store, struct store_memory_hints *hints,
                               struct quota_charge *charge, uint64_t now_us);

/* A charge that store_memory_charge took turned out to be `delta` more (charged whatever the limit) or less
 * (given back, at most what was charged, and only in the windows that it was charged in).  Returns the
 * most that was done to a window.  Any thread. */
int32_t store_memory_correct(struct store_memory *store, const struct quota_charge *charge,
                             int32_t delta, uint64_t now_us);

/* Carry out an operator's order about a subject, for all threads at once; *before: how it stood.  What was charged
 * before a reset is not given back after it.  ERR_NOTFOUND: nothing was ever counted for it, or it is
 * forgotten.  ERR_LIMIT: too many grants are in force.  Any thread. */
MUST_USE enum err store_memory_operate(struct store_memory *store, const uint8_t key[16],
                                       const struct store_order *order, uint64_t now_us,
                                       struct store_subject *before);

/* How many orders were carried out: who remembers a refusal forgets it when this has changed.  Any thread. */
uint32_t store_memory_orders(const struct store_memory *store);

/* Subjects in the table, those that are over and not yet replaced included; *max: how many there can
 * be.  Reads the whole index (2.3 bytes a subject): for status, not for traffic. */
uint64_t store_memory_subjects(const struct store_memory *store, uint64_t *max);

/* The projects of tokens: kept as long as the parent lives, not saved. */
const struct store_notes *store_memory_tokens(const struct store_memory *store);

/* Write all live cells to path (temporary file, checksum, fsync, atomic rename), mode 0600; read them
 * back.  Saving takes no lock and may run in the parent while a child charges: no window in the file
 * shows less used than when the save began, but for what was given back.  It waits for the disk.  Loading never lowers what the store
 * has counted and leaves out windows that are over.  A missing file is ERR_NOTFOUND, a damaged one
 * ERR_INVALID (nothing is loaded), one with more subjects than there is room for ERR_LIMIT (the others
 * are loaded).  `why` gets a sentence. */
MUST_USE enum err store_memory_save(const struct store_memory *store, const char *path,
                                    uint64_t now_us, char why[256]);
MUST_USE enum err store_memory_load(struct store_memory *store, const char *path, uint64_t now_us,
                                    char why[256]);

#endif
