/* SPDX-License-Identifier: Apache-2.0 */
/* reply_escape.h - values into bodies.  Stops before `end` when there is no room, between two characters. */
#ifndef SLUICE_REPLY_ESCAPE_H
#define SLUICE_REPLY_ESCAPE_H

#include "reply/reply.h"

char *reply_put_escaped(char *out, const char *end, struct span text, enum reply_escape escape);

#endif
