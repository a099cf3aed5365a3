/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_read.h - the lines of access logs.  Takes: files' names, "-" for the standard input.  Gives: each line that can be
 * read, in the files' order, and a count of the others with where the first ones stand.  Memory: one buffer. */
#ifndef SLUICE_LOGTOOL_READ_H
#define SLUICE_LOGTOOL_READ_H

#include "base/base_err.h"
#include "logtool/logtool_line.h"

#define LOGTOOL_UNREADABLE_SHOWN 8
#define LOGTOOL_WHY_MAX          512

/* Where something stands. */
struct logtool_place {
    const char *file; /* borrowed from the caller's list */
    uint64_t line;    /* from 1 */
    const char *why;
};

/* Owner: whoever embeds it. */
struct logtool_reading {
    uint64_t files, lines, bytes; /* readable lines */
    uint64_t unreadable;
    struct logtool_place first[LOGTOOL_UNREADABLE_SHOWN];
    uint64_t from_us, to_us; /* of the lines' "ts"; UINT64_MAX and 0: there were none */
};

/* ERR_OK goes on, anything else ends the reading. */
typedef enum err (*logtool_line_fn)(void *arg, const struct logtool_line *line);

/* Read all files.  ERR_SYSTEM, ERR_INVALID: `why` says which file cannot be read, and why.  ERR_NOMEM, or what `take`
 * said.  `why` is empty after ERR_OK. */
MUST_USE enum err logtool_read(struct logtool_reading *reading, const char *const *files,
                               unsigned count, logtool_line_fn take, void *arg,
                               char why[LOGTOOL_WHY_MAX]);

#endif
