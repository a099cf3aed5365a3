/* SPDX-License-Identifier: Apache-2.0 */
/* admin_summary.h - what is told of the whole process, for people.  Takes: the JSON answers to status, reload, diff,
 * upgrade, drain and log, and problems.  Gives: lines that name the thing, say why, and say what to do next. */
#ifndef SLUICE_ADMIN_ADMIN_SUMMARY_H
#define SLUICE_ADMIN_ADMIN_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"

/* All malloc'ed; NULL: it is not that, or there is no memory.
 * file_hash: of the configuration on disk; 0: not known. */
char *admin_summary_status(struct span answer, uint64_t file_hash);
char *admin_summary_reload(struct span answer);
/* Of an error: what is wrong.  And of a level: until when. */
char *admin_summary_problem(struct span answer);
/* Is it about lines of a file, which are named as compilers name them? */
bool admin_summary_has_report(struct span answer);
char *admin_summary_level(struct span answer);
char *admin_summary_reopen(struct span answer);
char *admin_summary_upgrade(struct span answer);
char *admin_summary_drain(struct span answer);
char *admin_summary_diff(struct span answer);
bool admin_summary_is_same(struct span answer); /* of a difference: there is none */

#endif
