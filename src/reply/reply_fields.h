/* SPDX-License-Identifier: Apache-2.0 */
/* reply_fields.h - header lines of the dialects beside the trio.  For this module alone. */
#ifndef SLUICE_REPLY_FIELDS_H
#define SLUICE_REPLY_FIELDS_H

#include "reply/reply.h"

/* The decision has a binding window.  At most REPLY_LIMITS_OTHER_MAX bytes. */
char *reply_other_fields(char *out, uint32_t dialects, const struct quota_decision *decision,
                         const struct quota_charge *charges, unsigned count);

/* Is the value a list of RFC 9651 whose members are all strings, with or without parameters? */
bool reply_is_string_list(struct span value);

#endif
