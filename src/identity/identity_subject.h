/* SPDX-License-Identifier: Apache-2.0 */
/* identity_subject.h - subjects as people write them: in lists of members, on the command line.  Takes: text.
 * Gives: the value that a request of that subject would have, or why none has it. */
#ifndef SLUICE_IDENTITY_SUBJECT_H
#define SLUICE_IDENTITY_SUBJECT_H

#include "identity/identity.h"

#define IDENTITY_HASH_PREFIX "hash:"

/* The value of one source (IDENTITY_IP also for what a missing identity is counted by).  NULL, or what is wrong;
 * the text is kept, or a copy in the arena. */
const char *identity_subject_value(struct identity_value *value, const struct identity *identity,
                                   const struct identity_source *source, struct span text,
                                   struct arena *arena);

/* "hash:" and the 22 characters that logs show; false when it is something else. */
bool identity_subject_hash(struct span text, uint8_t mac[IDENTITY_KEY_BYTES]);

#endif
