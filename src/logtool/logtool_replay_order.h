/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_replay_order.h - which of two decisions came first, where the times of their lines cannot tell.  Takes: requests with
 * the times of their decisions, and what their window had used.  Gives: the same times, so exchanged among the requests of a
 * window that what it had used only grows.  Never moves one further than the times of lines are uncertain. */
#ifndef SLUICE_LOGTOOL_REPLAY_ORDER_H
#define SLUICE_LOGTOOL_REPLAY_ORDER_H

#include "logtool/logtool_replay.h"

/* Note, of the item that has just been taken for the old side, what its first window had used with this request. */
void logtool_replay_order_note(struct logtool_request *request, const struct quota *quota,
                               const struct logtool_window *window);

MUST_USE enum err logtool_replay_order(struct logtool_replay *replay);

#endif
