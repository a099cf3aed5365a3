/* SPDX-License-Identifier: Apache-2.0 */
/* admin_subject_text.h - what is told of subjects, for people.  Takes: the JSON answer to show, reset or grant.  Gives: lines. */
#ifndef SLUICE_ADMIN_ADMIN_SUBJECT_TEXT_H
#define SLUICE_ADMIN_ADMIN_SUBJECT_TEXT_H

#include "base/base_span.h"

/* Malloc'ed; NULL: it is not that, or there is no memory. */
char *admin_subject_text(struct span answer);

#endif
