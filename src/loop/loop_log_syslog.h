/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log_syslog.h - a syslog daemon as a target of the log: one datagram of the classic form (RFC 3164) for each line, to
 * the socket that syslog(3) uses.  Used by the log alone.  Never blocks, never tries again by itself. */
#ifndef SLUICE_LOOP_LOG_SYSLOG_H
#define SLUICE_LOOP_LOG_SYSLOG_H

#include <stdbool.h>

#include "base/base_span.h"

#define LOOP_LOG_SYSLOG_TAG_MAX 32

/* "syslog", or "syslog:" with any of socket=PATH, facility=NAME and tag=NAME behind it, commas between. */
struct loop_log_syslog {
    unsigned facility; /* as in syslog(3): shifted already */
    char tag[LOOP_LOG_SYSLOG_TAG_MAX + 1];
    char path[108]; /* as long as an address of such a socket may be (unix(7)) */
};

bool loop_log_syslog_is(struct span target);

/* NULL, or what is wrong with the target: a static sentence. */
const char *loop_log_syslog_parse(struct loop_log_syslog *syslog, struct span target);

/* A connected, non-blocking socket; -1 with errno. */
int loop_log_syslog_connect(const struct loop_log_syslog *syslog);

/* One line without its newline.  JSON has the priority "info"; of a line of the error log the priority is its level, and its
 * time and level are left out: the daemon has its own.  False with errno; EAGAIN: the daemon takes nothing now. */
bool loop_log_syslog_send(const struct loop_log_syslog *syslog, int fd, struct span line);

#endif
