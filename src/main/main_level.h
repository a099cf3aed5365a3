/* SPDX-License-Identifier: Apache-2.0 */
/* main_level.h - the level of the error log for a while, in each of the two processes.  Takes: an order and the time.  Gives: the
 * level that the configuration says, when the time is over. */
#ifndef SLUICE_MAIN_LEVEL_H
#define SLUICE_MAIN_LEVEL_H

#include <stdbool.h>
#include <stdint.h>

/* Owner: whoever embeds it.  Thread: the owner's. */
struct main_level {
    unsigned now;      /* enum log_level */
    uint64_t until_us; /* monotonic; 0: it is the configured one */
};

/* A configuration is in force: its level is, too. */
void main_level_configure(struct main_level *level, unsigned configured);
/* for_s 0: until it is changed. */
void main_level_set(struct main_level *level, unsigned now, uint32_t for_s, uint64_t mono_us);
/* True: the time is over, and the configured level is in force again. */
bool main_level_on_time(struct main_level *level, unsigned configured, uint64_t mono_us);

#endif
