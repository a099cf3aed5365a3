/* SPDX-License-Identifier: Apache-2.0 */
/* reply_fields.h - what the server says of its own limits.  For this module alone. */
#ifndef SLUICE_REPLY_FIELDS_H
#define SLUICE_REPLY_FIELDS_H

#include "reply/reply.h"

/* Is the value a list of RFC 9651 whose members are all strings, with or without parameters? */
bool reply_is_string_list(struct span value);

#endif
