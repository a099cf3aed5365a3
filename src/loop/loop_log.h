/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log.h - access and error lines from many threads to files through one writer thread.  A ring
 * per thread lies in shared memory that the parent holds: what a killed child left is written by its
 * successor.  Writing a line never blocks and never allocates; a full ring drops the line and counts it. */
#ifndef SLUICE_LOOP_LOG_H
#define SLUICE_LOOP_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_err.h"
#include "base/base_span.h"
#include "metrics/metrics.h"

#define LOOP_LOG_RING_BYTES                                                                        \
    (4u << 20) /* some 6,000 lines: a worker may go on for 100 ms while the writer waits its turn */
#define LOOP_LOG_EVENT_MAX                                                                         \
    4096 /* of the json of an event line; a longer one is dropped and counted */

struct loop_log;      /* all rings; made by the parent before the child */
struct loop_log_ring; /* one producer each */

/* rings: one per worker and one for the main thread.  Keeps across children the boot id and the last
 * seq of the previous child. */
struct loop_log *loop_log_new(unsigned rings);
void loop_log_free(struct loop_log *log);
struct loop_log_ring *loop_log_ring(struct loop_log *log, unsigned index);

/* Room for a line of up to max bytes, or NULL (the drop is counted); then commit what was written.
 * Access lines are committed without their beginning (see record.h): the writer puts
 * {"v":1,"boot":"...","seq":N in front. */
char *loop_log_begin(struct loop_log_ring *ring, size_t max);
void loop_log_commit(struct loop_log_ring *ring, size_t len);

/* A target is "off", "stdout", "stderr", what loop_log_syslog.h says, or a file's path. */
struct loop_log_targets {
    struct span access, error;
};

/* Child: start the writer thread (blocks all signals in it).  First writes what the previous child left,
 * then an event line {"event":"start",...} with the previous boot's last seq: of the child before, or as the end of the
 * access log tells when all of the service is started anew.  Files are opened with
 * O_APPEND|O_CREAT 0640; a file that cannot be opened is retried each second, lines meanwhile dropped and
 * counted (never blocks on a full disk or a stalled pipe: descriptors are made non-blocking where they
 * are pipes).  From here on the error log (base_log) goes through the writer too. */
MUST_USE enum err loop_log_start(struct loop_log *log, const struct loop_log_targets *targets,
                                 struct metrics_block *metrics);
/* Parent, before the first child: another service still writes to the same files and hands over to this one, so the end of
 * the access log tells nothing of who wrote before. */
void loop_log_begin_beside(struct loop_log *log);
/* Any thread. */
void loop_log_reopen(struct loop_log *log);
MUST_USE enum err loop_log_retarget(struct loop_log *log, const struct loop_log_targets *targets);
/* An event line: json is the inside of the object after "event", e.g. "\"event\":\"reload\",\"gen\":2".
 * Any thread. */
void loop_log_event(struct loop_log *log, const char *json);
/* Write everything that is committed and stop the thread; gives up on a stalled pipe after a second. */
void loop_log_stop(struct loop_log *log);

/* The generation that the next start line names.  Parent or child. */
void loop_log_set_generation(struct loop_log *log, uint32_t generation);
/* Parent: from here on the error log (base_log) goes through the child's writer; false: to stderr again. */
void loop_log_adopt_errors(struct loop_log *log, bool is_on);
/* Parent, when no child runs any more: write what the last one left, without a thread. */
void loop_log_finish(struct loop_log *log, const struct loop_log_targets *targets);

struct loop_log_status {
    uint64_t lines, dropped, write_errors, seq;
    uint64_t waiting_bytes; /* in rings, for the writer */
    char boot[9];
};
void loop_log_get_status(struct loop_log *log, struct loop_log_status *status);

/* Can this target be written?  For `sluice check` and start: a sentence, or NULL. */
const char *loop_log_target_fault(struct span target, char why[256]);
/* By opening it, of the log with this name ("access"): a sentence, or NULL.  For `sluice log reopen`. */
const char *loop_log_target_try(const char *name, struct span target, char why[512]);

#endif
