/* SPDX-License-Identifier: Apache-2.0 */
/* reply_rows.h - what the files of this module tell each other; included nowhere else. */
#ifndef SLUICE_REPLY_ROWS_H
#define SLUICE_REPLY_ROWS_H

#include "reply/reply.h"

/* Of the rows of reply_errors.def. */
#define REPLY_NUMBER_BYTES 4
const char *reply_error_number(enum reply_error_id id);
struct span reply_error_message(enum reply_error_id id);

/* "per-user/minute": what one window of a quota is called as a policy of its own. */
#define REPLY_POLICY_NAME_MAX 64
#define REPLY_POLICY_MAX      (REPLY_POLICY_NAME_MAX + 1 + QUOTA_WINDOW_TEXT_MAX)
char *reply_policy_name(char *out, const struct quota_charge *charge, unsigned window);

#endif
