/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log_out.c - see loop_log_out.h.  Takes: a block of whole lines.  Gives: the same bytes in the
 * target, whole lines only: what a full disk cut in the middle of a line is taken back. */
#include "loop/loop_log_out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_log.h"
#include "loop/loop_log.h"
#include "loop/loop_log_last.h"

void loop_log_out_init(struct loop_log_out *out, struct loop_log_stage *stage, const char *name)
{
    memset(out, 0, sizeof(*out));
    out->stage = stage;
    out->name = name;
    out->fd = -1;
    out->state = LOOP_LOG_OUT_OFF;
}

/* Standard output is shared with whoever started us: where it can be opened anew, so that it does not
 * block, it is, because O_NONBLOCK on the inherited description would be felt by the others too.  A file
 * keeps its description: its offset is shared on purpose. */
static int out_open_standard(int standard)
{
    char path[32];
    struct stat info;
    int fd;
    if (fstat(standard, &info) != 0)
        return -1;
    if (!S_ISREG(info.st_mode) && !S_ISSOCK(info.st_mode)) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", standard);
        fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
    }
    fd = fcntl(standard, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0 && S_ISFIFO(info.st_mode))
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

static int out_open_syslog(const char *target)
{
    struct loop_log_syslog syslog;
    errno = EINVAL;
    return loop_log_syslog_parse(&syslog, span_of(target)) == NULL
               ? loop_log_syslog_connect(&syslog)
               : -1;
}

/* Readable too, where that may be: its end tells who wrote it before. */
static int out_open_file(const char *path)
{
    const int flags = O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    struct stat info;
    if (stat(path, &info) != 0 || S_ISREG(info.st_mode)) {
        int fd = open(path, O_RDWR | flags, 0640);
        if (fd >= 0 || errno != EACCES)
            return fd;
    }
    return open(path, O_WRONLY | flags, 0640);
}

int loop_log_target_open(const char *target)
{
    errno = 0;
    if (strcmp(target, "off") == 0)
        return -1;
    if (strcmp(target, "stdout") == 0)
        return out_open_standard(STDOUT_FILENO);
    if (strcmp(target, "stderr") == 0)
        return out_open_standard(STDERR_FILENO);
    return loop_log_syslog_is(span_of(target)) ? out_open_syslog(target) : out_open_file(target);
}

static bool out_is_pending(const struct loop_log_out *out)
{
    return atomic_load(&out->stage->done) < atomic_load(&out->stage->len);
}

/* Where the line that holds the byte before `offset` begins; `offset` itself when a line ends there. */
static uint32_t out_line_start(const struct loop_log_stage *stage, uint32_t offset)
{
    while (offset > 0 && stage->data[offset - 1] != '\n')
        offset--;
    return offset;
}

/* A block that a killed writer or an old file left: go on where it broke off, when that can be known,
 * else begin the torn line again. */
static void out_resume(struct loop_log_out *out, const struct stat *info)
{
    struct loop_log_stage *stage = out->stage;
    uint32_t len = atomic_load(&stage->len), done = atomic_load(&stage->done);
    uint64_t size = (uint64_t)info->st_size;
    bool in_doubt = atomic_load(&stage->is_writing);
    if (stage->is_begun && out->is_regular && stage->dev == (uint64_t)info->st_dev &&
        stage->ino == (uint64_t)info->st_ino) {
        if (in_doubt && size >= stage->start_bytes + done && size <= stage->start_bytes + len)
            atomic_store(&stage->done, (uint32_t)(size - stage->start_bytes));
    } else {
        if (in_doubt && !out->is_regular && !out->is_syslog)
            (void)!write(out->fd, "\n", 1);
        atomic_store(&stage->done, out_line_start(stage, done));
        stage->is_begun = false;
    }
    atomic_store(&stage->is_writing, false);
}

static unsigned out_why(const struct loop_log_out *out, int error)
{
    if (out->is_syslog)
        return LOOP_LOG_WHY_SYSLOG;
    if (error == ENOSPC || error == EDQUOT || error == EFBIG)
        return LOOP_LOG_WHY_DISK;
    return out->fd < 0 ? LOOP_LOG_WHY_OPEN : LOOP_LOG_WHY_WRITE;
}

static void out_fail(struct loop_log_out *out, int error, uint64_t mono_us)
{
    if (out->state != LOOP_LOG_OUT_FAILING)
        log_error("the %s log %s cannot be written: %s; lines are dropped and counted until it can",
                  out->name, out->target, strerror(error));
    out->state = LOOP_LOG_OUT_FAILING;
    out->why = out_why(out, error);
    out->retry_at_us = mono_us + LOOP_LOG_RETRY_US;
}

void loop_log_out_set(struct loop_log_out *out, int fd, int error, uint64_t mono_us)
{
    struct stat info;
    if (out->fd >= 0)
        close(out->fd);
    out->fd = fd;
    out->is_torn = false;
    out->is_syslog = loop_log_syslog_is(span_of(out->target)) &&
                     loop_log_syslog_parse(&out->syslog, span_of(out->target)) == NULL;
    if (fd < 0 && error == 0) {
        out->state = LOOP_LOG_OUT_OFF;
        atomic_store(&out->stage->len, 0);
        atomic_store(&out->stage->done, 0);
        return;
    }
    if (fd < 0) {
        out_fail(out, error, mono_us);
        return;
    }
    memset(&info, 0, sizeof(info));
    if (fstat(fd, &info) != 0) {
        out_fail(out, errno, mono_us);
        return;
    }
    out->is_regular = S_ISREG(info.st_mode);
    out->is_socket = S_ISSOCK(info.st_mode);
    out->dev = info.st_dev;
    out->ino = info.st_ino;
    if (out_is_pending(out))
        out_resume(out, &info);
    if (!out_is_pending(out) || !out->stage->is_begun)
        out->is_torn = loop_log_last_is_torn(fd);
    out->state = LOOP_LOG_OUT_READY;
}

void loop_log_out_retry(struct loop_log_out *out, uint64_t mono_us)
{
    if (out->state != LOOP_LOG_OUT_FAILING || mono_us < out->retry_at_us)
        return;
    if (out->fd < 0 || out->is_syslog) {
        int fd = loop_log_target_open(out->target);
        loop_log_out_set(out, fd, errno, mono_us);
    } else {
        out->state = LOOP_LOG_OUT_READY;
    }
}

/* One line of the block.  A daemon that was started anew has another socket of the same name. */
static ssize_t out_write_syslog(struct loop_log_out *out, const char *data, size_t len)
{
    const size_t end = span_find((struct span){data, len}, '\n');
    const struct span line = {data, end};
    if (!loop_log_syslog_send(&out->syslog, out->fd, line)) {
        if (errno != ECONNREFUSED && errno != ECONNRESET && errno != ENOTCONN)
            return -1;
        int fd = loop_log_syslog_connect(&out->syslog);
        if (fd < 0)
            return -1;
        close(out->fd);
        out->fd = fd;
        if (!loop_log_syslog_send(&out->syslog, fd, line))
            return -1;
    }
    return (ssize_t)(end < len ? end + 1 : len);
}

static ssize_t out_write(struct loop_log_out *out, const char *data, size_t len)
{
    ssize_t n;
    if (out->is_syslog)
        return out_write_syslog(out, data, len);
    do
        n = out->is_socket ? send(out->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                           : write(out->fd, data, len);
    while (n < 0 && errno == EINTR);
    return n;
}

static bool out_begin(struct loop_log_out *out)
{
    struct loop_log_stage *stage = out->stage;
    struct stat info;
    if (stage->is_begun)
        return true;
    if (out->is_torn && out_write(out, "\n", 1) != 1)
        return false;
    out->is_torn = false;
    if (fstat(out->fd, &info) != 0)
        return false;
    stage->dev = (uint64_t)info.st_dev;
    stage->ino = (uint64_t)info.st_ino;
    stage->start_bytes = (uint64_t)info.st_size - atomic_load(&stage->done);
    stage->is_begun = true;
    return true;
}

/* Take the beginning of a torn line back out of the file; false when that cannot be done. */
static bool out_untear(const struct loop_log_out *out, uint32_t line_start)
{
    const struct loop_log_stage *stage = out->stage;
    uint32_t done = atomic_load(&stage->done);
    struct stat info;
    if (line_start == done)
        return true;
    if (!out->is_regular || !stage->is_begun || fstat(out->fd, &info) != 0 ||
        (uint64_t)info.st_size != stage->start_bytes + done)
        return false;
    return ftruncate(out->fd, (off_t)(stage->start_bytes + line_start)) == 0 &&
           lseek(out->fd, 0, SEEK_END) >= 0;
}

/* The target failed with [done, len) unwritten.  Give up whole lines; the rest of a torn line that cannot be
 * taken back is kept, to be written first when the target works again. */
static struct span out_cut(struct loop_log_out *out)
{
    struct loop_log_stage *stage = out->stage;
    uint32_t len = atomic_load(&stage->len), done = atomic_load(&stage->done);
    uint32_t keep = out_line_start(stage, done);
    struct span lost;
    if (out_untear(out, keep)) {
        atomic_store(&stage->done, keep);
    } else {
        const char *end = memchr(stage->data + done, '\n', len - done);
        keep = end == NULL ? len : (uint32_t)(end - stage->data) + 1;
    }
    lost = (struct span){stage->data + keep, len - keep};
    atomic_store(&stage->len, keep);
    return lost;
}

bool loop_log_out_flush(struct loop_log_out *out, uint64_t mono_us, struct span *lost)
{
    struct loop_log_stage *stage = out->stage;
    uint32_t len = atomic_load(&stage->len), done = atomic_load(&stage->done);
    *lost = SPAN_NONE;
    if (out->fd < 0 || out->state == LOOP_LOG_OUT_FAILING)
        return false;
    while (done < len) {
        ssize_t n = -1;
        if (out_begin(out)) {
            atomic_store(&stage->is_writing, true);
            n = out_write(out, stage->data + done, len - done);
        }
        int error = errno;
        if (n >= 0) {
            done += (uint32_t)n;
            atomic_store(&stage->done, done);
        }
        atomic_store(&stage->is_writing, false);
        if (n >= 0)
            continue;
        if (error == EAGAIN || error == EWOULDBLOCK) {
            out->state = LOOP_LOG_OUT_STALLED;
            out->was_stalled = true;
            return false;
        }
        out_fail(out, error, mono_us);
        *lost = out_cut(out);
        return true;
    }
    out->state = LOOP_LOG_OUT_READY;
    return false;
}

bool loop_log_out_is_same(const struct loop_log_out *a, const struct loop_log_out *b)
{
    return a->fd >= 0 && b->fd >= 0 && a->dev == b->dev && a->ino == b->ino;
}

void loop_log_out_close(struct loop_log_out *out)
{
    if (out->fd >= 0)
        close(out->fd);
    out->fd = -1;
    out->state = LOOP_LOG_OUT_OFF;
}
