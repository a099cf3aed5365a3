/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log_tap.h - access lines, with their numbers, for whoever watches them as they are written.  Takes: lines from the log's
 * writer.  Gives: copies of them to one other thread.  Never makes the writer wait: what there is no room for is
 * counted and lost to who watches, not to the log. */
#ifndef SLUICE_LOOP_LOG_TAP_H
#define SLUICE_LOOP_LOG_TAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base_err.h"
#include "base/base_span.h"

#define LOOP_LOG_TAP_BYTES (4u << 20) /* a power of two; some 5,000 lines */

struct loop_log;
struct loop_log_ring;

/* Owner: struct loop_log.  Freed by: loop_log_tap_fini.  Thread: the writer's puts, one other does the rest. */
struct loop_log_tap {
    struct loop_log_ring *ring; /* NULL: nobody has ever watched */
    atomic_bool is_open;
    uint64_t told; /* of what was lost */
};

/* From here on lines are copied.  May be open already. */
MUST_USE enum err loop_log_tap_open(struct loop_log *log);
void loop_log_tap_close(struct loop_log *log);

/* The next line, valid until loop_log_tap_done; false: there is none now.  *at is 0 at first. */
bool loop_log_tap_next(struct loop_log *log, uint64_t *at, struct span *line);
/* What was read up to `at` makes room. */
void loop_log_tap_done(struct loop_log *log, uint64_t at);
/* How many lines there was no room for since the last call. */
uint64_t loop_log_tap_lost(struct loop_log *log);

/* For the log alone. */
void loop_log_tap_put(struct loop_log_tap *tap, struct span line);
void loop_log_tap_fini(struct loop_log_tap *tap);

#endif
