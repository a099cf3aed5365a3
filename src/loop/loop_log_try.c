/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log_try.c - opening a target to see whether it can be, for who wants to know at once; the writer opens it for itself.  Makes
 * the file, as the writer would. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loop/loop_log_private.h"

const char *loop_log_target_try(const char *name, struct span target, char why[512])
{
    char path[PATH_MAX];
    if (target.len == 0 || target.len >= sizeof(path) || span_eq(target, SPAN("off")) ||
        span_eq(target, SPAN("stdout")) || span_eq(target, SPAN("stderr")) ||
        loop_log_syslog_is(target)) /* without a daemon lines are dropped and said, as ever */
        return NULL;
    memcpy(path, target.ptr, target.len);
    path[target.len] = '\0';
    int fd = loop_log_target_open(path);
    if (fd >= 0) {
        close(fd);
        return NULL;
    }
    snprintf(why, 512, "the %s log %.300s cannot be opened: %s; the old file is kept", name, path,
             strerror(errno));
    return why;
}
