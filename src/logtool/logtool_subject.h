/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_subject.h - whom a line's charge was counted for.  Takes: a line, and the quota as a configuration has it.  Gives:
 * the subject as one text.  Pure. */
#ifndef SLUICE_LOGTOOL_SUBJECT_H
#define SLUICE_LOGTOOL_SUBJECT_H

#include "logtool/logtool_line.h"
#include "plan/plan.h"

/* Between the values of a key of several identities: no value that a line shows has it, while each may have a comma. */
#define LOGTOOL_SUBJECT_MARK '\x1f'

/* Who is counted by a quota. */
struct logtool_counted {
    const struct quota *quota; /* NULL: no configuration has it */
    int gate;                  /* the identity whose bucket it is, counted by address; -1: none */
    bool is_by_address;        /* it is called like such a bucket */
};

/* A quota by its name; plan may be NULL. */
struct logtool_counted logtool_counted_find(const struct plan *plan, struct span name);

/* The values of the quota's key, in its order, marks between them; of a quota that nobody knows, of all identities
 * in the line (*is_guess, unless there is only one: then subjects may be told apart that the proxy took for one, never the other
 * way round).  `room` has LOGTOOL_LINE_MAX bytes.  False: the line does not have them. */
bool logtool_subject_of(const struct logtool_counted *counted, const struct plan *plan,
                        const struct logtool_line *line, char *room, struct span *subject,
                        bool *is_guess);

/* As people read it: commas for marks.  In place of `room`, which has text.len bytes. */
struct span logtool_subject_show(char *room, struct span text);

#endif
