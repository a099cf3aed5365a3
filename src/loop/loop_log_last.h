/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log_last.h - what the end of a log file tells of whoever wrote it before: the boot and the number of its last line, and
 * whether that boot came to its end.  Takes: a descriptor that may be read.  Never writes.  Used by the log alone. */
#ifndef SLUICE_LOOP_LOG_LAST_H
#define SLUICE_LOOP_LOG_LAST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"

#define LOOP_LOG_PREFIX  "{\"v\":1,\"boot\":\"" /* of each numbered line */
#define LOOP_LOG_BOOT_ID 8                      /* bytes of a boot's id */

struct loop_log_last {
    char boot[LOOP_LOG_BOOT_ID + 1]; /* "": there is no numbered line */
    uint64_t seq;
    bool is_stopped; /* its last lines have an event "stop" */
};

/* All zeroes when the file cannot be read. */
void loop_log_last_read(int fd, struct loop_log_last *last);

/* Is the last line of the file torn?  A second look tells a dead writer's line from one that another process is writing. */
bool loop_log_last_is_torn(int fd);

/* The number in a numbered line; 0 for any other line. */
uint64_t loop_log_last_seq(struct span line);

#endif
