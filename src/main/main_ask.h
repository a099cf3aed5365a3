/* SPDX-License-Identifier: Apache-2.0 */
/* main_ask.h - what operators ask for over the admin socket and only the parent can do.  Takes: the channel to it.  Gives: a message.
 * False: it is not sent. */
#ifndef SLUICE_MAIN_ASK_H
#define SLUICE_MAIN_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"

/* End the service, and answer on a copy of fd when it has ended.  deadline_ms < 0: as configured. */
bool main_ask_drain(int channel, int fd, int64_t deadline_ms);

/* Compare with what runs: the file on disk, or a text that is called `name`.  The secrets that the text names lie where those of
 * the file `beside` do. */
bool main_ask_diff(int channel, uint32_t ticket, struct span beside, struct span name,
                   struct span text);

#endif
