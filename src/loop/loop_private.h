/* SPDX-License-Identifier: Apache-2.0 */
/* loop_private.h - what the files of this module tell each other; included nowhere else. */
#ifndef SLUICE_LOOP_PRIVATE_H
#define SLUICE_LOOP_PRIVATE_H

#include "loop/loop.h"

struct loop_wheel *loop_wheel_new(struct loop *loop);
void loop_wheel_free(struct loop_wheel *wheel);

struct loop_mailbox *loop_mailbox_new(struct loop *loop);
void loop_mailbox_free(struct loop_mailbox *mailbox);
bool loop_mailbox_is_stopped(struct loop_mailbox *mailbox);
void loop_mailbox_stop(struct loop_mailbox *mailbox);

#endif
