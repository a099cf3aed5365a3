/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log.c - the log as its users see it: the shared mapping, the writer's thread and the orders it
 * takes.  Takes: lines and orders from any thread.  Gives: them to loop_log_writer.c.  Never makes a
 * producer wait for a file. */
#include "loop/loop_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_clock.h"
#include "base/base_fmt.h"
#include "base/base_log.h"
#include "loop/loop_log_private.h"
#include "loop/loop_thread.h"

#define LOG_RINGS_MAX    1024
#define LOG_TICK_MS      50
#define LOG_BUSY_TICK_MS 5 /* while a ring fills by a quarter or more within a tick */
#define LOG_STOP_US      1000000
#define LOG_EVENT_EXTRA  64

static const char *const LOG_NAMES[LOOP_LOG_STREAMS] = {"access", "error"};

static size_t log_align(size_t bytes)
{
    return (bytes + 4095) & ~(size_t)4095;
}

static uint32_t log_ring_bytes(const struct loop_log *log, unsigned ring)
{
    return ring < log->ring_count ? LOOP_LOG_RING_BYTES : LOOP_LOG_SIDE_RING_BYTES;
}

struct loop_log *loop_log_new(unsigned rings)
{
    struct loop_log *log = calloc(1, sizeof(*log));
    unsigned count = rings + LOOP_LOG_SIDES;
    size_t at = log_align(sizeof(struct loop_log_shared));
    if (log == NULL || rings > LOG_RINGS_MAX)
        goto fail;
    log->wake_fd = -1;
    log->ring_count = rings;
    log->rings = calloc(count, sizeof(*log->rings));
    log->shared_bytes = at;
    for (unsigned i = 0; i < count; i++)
        log->shared_bytes += log_align(loop_log_ring_size(log_ring_bytes(log, i)));
    log->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    void *map = mmap(NULL, log->shared_bytes, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    log->shared = map == MAP_FAILED ? NULL : map;
    if (log->rings == NULL || log->wake_fd < 0 || log->shared == NULL)
        goto fail;
    for (unsigned i = 0; i < count; i++) {
        log->rings[i] = (struct loop_log_ring *)(void *)((char *)map + at);
        loop_log_ring_init(log->rings[i], log_ring_bytes(log, i), log->wake_fd);
        at += log_align(loop_log_ring_size(log_ring_bytes(log, i)));
    }
    pthread_mutex_init(&log->side_lock, NULL);
    pthread_mutex_init(&log->orders.lock, NULL);
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++)
        loop_log_out_init(&log->outs[i], &log->shared->stages[i], LOG_NAMES[i]);
    return log;
fail:
    loop_log_free(log);
    return NULL;
}

void loop_log_free(struct loop_log *log)
{
    if (log == NULL)
        return;
    assert(!log->has_thread);
    if (log->shared != NULL) {
        for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++)
            loop_log_out_close(&log->outs[i]);
        munmap(log->shared, log->shared_bytes);
    }
    if (log->wake_fd >= 0)
        close(log->wake_fd);
    loop_log_tap_fini(&log->tap);
    free(log->rings);
    free(log);
}

struct loop_log_ring *loop_log_ring(struct loop_log *log, unsigned index)
{
    assert(index < log->ring_count);
    return log->rings[index];
}

static void log_wake(struct loop_log *log)
{
    const uint64_t one = 1;
    while (write(log->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

/* One line into the ring that this process uses for it. */
static void log_side_line(struct loop_log *log, enum loop_log_stream stream, struct span head,
                          struct span text, struct span tail)
{
    unsigned side = log->is_child ? LOOP_LOG_CHILD_EVENTS : LOOP_LOG_PARENT_EVENTS;
    struct loop_log_ring *ring = log->rings[log->ring_count + side + stream];
    size_t len = head.len + text.len + tail.len;
    pthread_mutex_lock(&log->side_lock);
    char *at = loop_log_begin(ring, len);
    if (at != NULL) {
        at = fmt_span(at, head);
        at = fmt_span(at, text);
        fmt_span(at, tail);
        loop_log_commit(ring, len);
    }
    pthread_mutex_unlock(&log->side_lock);
}

void loop_log_event(struct loop_log *log, const char *json)
{
    char head[LOG_EVENT_EXTRA], *at = head;
    struct span text = span_of(json);
    if (text.len > LOOP_LOG_EVENT_MAX) {
        log_error("an event line of %zu bytes is too long and is left out", text.len);
        atomic_fetch_add(&log->shared->too_long, 1);
        return;
    }
    at = FMT_LIT(at, ",\"ts\":\"");
    at = fmt_rfc3339_ms(at, clock_wall_us());
    at = FMT_LIT(at, "\",");
    log_side_line(log, LOOP_LOG_ACCESS, (struct span){head, (size_t)(at - head)}, text,
                  SPAN("}\n"));
}

static void log_sink(void *arg, enum log_level level, const char *line, size_t len)
{
    (void)level;
    log_side_line(arg, LOOP_LOG_ERROR, SPAN_NONE, (struct span){line, len}, SPAN_NONE);
}

void loop_log_adopt_errors(struct loop_log *log, bool is_on)
{
    log_set_sink(is_on ? log_sink : NULL, is_on ? log : NULL);
}

void loop_log_set_generation(struct loop_log *log, uint32_t generation)
{
    log->shared->generation = generation;
}

static bool log_target_set(char target[PATH_MAX], struct span text)
{
    if (text.len == 0)
        text = SPAN("off");
    if (text.len >= PATH_MAX)
        return false;
    memcpy(target, text.ptr, text.len);
    target[text.len] = '\0';
    return true;
}

static struct span log_target_of(const struct loop_log_targets *targets, unsigned stream)
{
    return stream == LOOP_LOG_ACCESS ? targets->access : targets->error;
}

/* Both streams into one file go through one block, or their lines would mix. */
static void log_merge(struct loop_log *log)
{
    const struct loop_log_out *error = &log->outs[LOOP_LOG_ERROR];
    bool is_pending = atomic_load(&error->stage->done) < atomic_load(&error->stage->len);
    log->is_merged = !is_pending && loop_log_out_is_same(&log->outs[LOOP_LOG_ACCESS], error);
}

static void log_open_targets(struct loop_log *log)
{
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++) {
        int fd = loop_log_target_open(log->outs[i].target);
        loop_log_out_set(&log->outs[i], fd, errno, clock_mono_us());
    }
    log_merge(log);
}

static bool log_is_file(const char *target)
{
    return strcmp(target, "off") != 0 && strcmp(target, "stdout") != 0 &&
           strcmp(target, "stderr") != 0 && !loop_log_syslog_is(span_of(target));
}

/* The file was renamed away: what was begun is finished there, the rest goes to a new one.  When that
 * cannot be made the old one is kept. */
static void log_reopen_one(struct loop_log_out *out)
{
    if (!log_is_file(out->target))
        return;
    int fd = loop_log_target_open(out->target);
    if (fd < 0) {
        log_error("the %s log %s cannot be opened again: %s; the old file is kept", out->name,
                  out->target, strerror(errno));
        return;
    }
    loop_log_out_set(out, fd, 0, clock_mono_us());
}

/* True: stop. */
static bool log_take_orders(struct loop_log *log)
{
    bool stop, is_changed;
    pthread_mutex_lock(&log->orders.lock);
    stop = log->orders.stop;
    is_changed = log->orders.reopen;
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++) {
        if (!log->orders.retarget[i].is_set)
            continue;
        log->orders.retarget[i].is_set = false;
        memcpy(log->outs[i].target, log->orders.retarget[i].target, PATH_MAX);
        loop_log_out_set(&log->outs[i], log->orders.retarget[i].fd, log->orders.retarget[i].error,
                         clock_mono_us());
        is_changed = true;
    }
    for (unsigned i = 0; log->orders.reopen && i < LOOP_LOG_STREAMS; i++)
        log_reopen_one(&log->outs[i]);
    log->orders.reopen = false;
    pthread_mutex_unlock(&log->orders.lock);
    if (is_changed)
        log_merge(log);
    return stop;
}

static void log_wait(struct loop_log *log, int timeout_ms)
{
    struct pollfd fds[1 + LOOP_LOG_STREAMS] = {{.fd = log->wake_fd, .events = POLLIN}};
    uint64_t count;
    for (unsigned i = 0; i < log->ring_count + LOOP_LOG_SIDES; i++)
        loop_log_ring_rest(log->rings[i]);
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++) {
        fds[1 + i].fd = log->outs[i].state == LOOP_LOG_OUT_STALLED ? log->outs[i].fd : -1;
        fds[1 + i].events = POLLOUT;
    }
    (void)poll(fds, 1 + LOOP_LOG_STREAMS, timeout_ms);
    if (fds[0].revents & POLLIN)
        (void)!read(log->wake_fd, &count, sizeof(count));
}

static void log_drain(struct loop_log *log, uint64_t until_us)
{
    do {
        while (loop_log_pass(log))
            continue;
        if (loop_log_is_empty(log))
            return;
        log_wait(log, LOG_BUSY_TICK_MS);
    } while (clock_mono_us() < until_us);
}

static void *log_thread(void *arg)
{
    struct loop_log *log = arg;
    loop_thread_give_way();
    while (!log_take_orders(log)) {
        while (loop_log_pass(log))
            continue;
        log_wait(log, log->is_busy ? LOG_BUSY_TICK_MS : LOG_TICK_MS);
    }
    log_drain(log, clock_mono_us() + LOG_STOP_US);
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++)
        loop_log_out_close(&log->outs[i]);
    return NULL;
}

static enum err log_begin(struct loop_log *log, const struct loop_log_targets *targets)
{
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++)
        if (!log_target_set(log->outs[i].target, log_target_of(targets, i)))
            return ERR_LIMIT;
    loop_log_recover(log);
    log_open_targets(log);
    return ERR_OK;
}

/* Nobody of this service has written yet: who wrote the file before it? */
static void log_find_before(struct loop_log *log)
{
    struct loop_log_shared *shared = log->shared;
    struct loop_log_boot *previous = &shared->boots[!atomic_load(&shared->boot_index)];
    struct loop_log_last last;
    if (shared->starts > 0 || log->is_beside)
        return;
    loop_log_last_read(log->outs[LOOP_LOG_ACCESS].fd, &last);
    if (last.boot[0] == '\0')
        return;
    memcpy(previous->id, last.boot, sizeof(previous->id));
    previous->seq = last.seq;
    shared->before = last.is_stopped ? LOOP_LOG_BEFORE_STOPPED : LOOP_LOG_BEFORE_KILLED;
}

void loop_log_begin_beside(struct loop_log *log)
{
    log->is_beside = true;
}

enum err loop_log_start(struct loop_log *log, const struct loop_log_targets *targets,
                        struct metrics_block *metrics)
{
    assert(!log->has_thread);
    log->is_child = true;
    log->metrics = metrics;
    log->orders.stop = false;
    enum err err = log_begin(log, targets);
    if (err != ERR_OK)
        return err;
    log_find_before(log);
    loop_log_enter_boot(log);
    loop_log_adopt_errors(log, true); /* the thread may have errors to tell at once */
    err = loop_thread_start(&log->thread, "sluice-log", log_thread, log);
    if (err != ERR_OK) {
        loop_log_adopt_errors(log, false);
        return err;
    }
    log->has_thread = true;
    return ERR_OK;
}

static void log_order(struct loop_log *log, bool stop, bool reopen)
{
    pthread_mutex_lock(&log->orders.lock);
    log->orders.stop |= stop;
    log->orders.reopen |= reopen;
    pthread_mutex_unlock(&log->orders.lock);
    log_wake(log);
}

void loop_log_reopen(struct loop_log *log)
{
    log_order(log, false, true);
}

/* All or nothing: every new target is opened here, where its failure can still be told.  A syslog daemon may be away: it is
 * asked again each second, as later. */
enum err loop_log_retarget(struct loop_log *log, const struct loop_log_targets *targets)
{
    char names[LOOP_LOG_STREAMS][PATH_MAX];
    int fds[LOOP_LOG_STREAMS] = {-1, -1}, errors[LOOP_LOG_STREAMS] = {0};
    int error = 0;
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++) {
        if (!log_target_set(names[i], log_target_of(targets, i)))
            error = ENAMETOOLONG;
        else
            fds[i] = loop_log_target_open(names[i]);
        errors[i] = fds[i] < 0 ? errno : 0;
        if (fds[i] < 0 && error == 0 && log_is_file(names[i]))
            error = errno;
    }
    for (unsigned i = 0; error != 0 && i < LOOP_LOG_STREAMS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (error != 0) {
        errno = error;
        return ERR_SYSTEM;
    }
    pthread_mutex_lock(&log->orders.lock);
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++) {
        if (log->orders.retarget[i].is_set && log->orders.retarget[i].fd >= 0)
            close(log->orders.retarget[i].fd);
        log->orders.retarget[i].is_set = true;
        log->orders.retarget[i].fd = fds[i];
        log->orders.retarget[i].error = errors[i];
        memcpy(log->orders.retarget[i].target, names[i], PATH_MAX);
    }
    pthread_mutex_unlock(&log->orders.lock);
    log_wake(log);
    return ERR_OK;
}

void loop_log_stop(struct loop_log *log)
{
    if (!log->has_thread)
        return;
    log_order(log, true, false);
    pthread_join(log->thread, NULL);
    log->has_thread = false;
    loop_log_adopt_errors(log, false);
}

void loop_log_finish(struct loop_log *log, const struct loop_log_targets *targets)
{
    if (log->shared->starts > 0 && log_begin(log, targets) == ERR_OK)
        log_drain(log, clock_mono_us() + LOG_STOP_US);
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++)
        loop_log_out_close(&log->outs[i]);
}

void loop_log_get_status(struct loop_log *log, struct loop_log_status *status)
{
    const struct loop_log_shared *shared = log->shared;
    status->lines = atomic_load(&shared->lines);
    status->dropped = 0;
    for (unsigned i = 0; i < LOOP_LOG_WHYS; i++)
        status->dropped += atomic_load(&shared->dropped[i]);
    status->write_errors = atomic_load(&shared->write_errors);
    status->seq = atomic_load(&shared->seq);
    memcpy(status->boot, shared->boots[atomic_load(&shared->boot_index)].id, sizeof(status->boot));
    status->waiting_bytes = 0;
    for (unsigned i = 0; i < log->ring_count + LOOP_LOG_SIDES; i++)
        status->waiting_bytes += loop_log_ring_waiting(log->rings[i]);
}

/* Without opening, so that a check leaves nothing behind. */
const char *loop_log_target_fault(struct span target, char why[256])
{
    char path[PATH_MAX], *slash;
    struct loop_log_syslog syslog;
    struct stat info;
    if (!log_target_set(path, target))
        return "the path of a log file is too long";
    if (loop_log_syslog_is(target))
        return loop_log_syslog_parse(&syslog, target);
    if (!log_is_file(path))
        return NULL;
    if (stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode))
            errno = EISDIR;
        else if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0)
            return NULL;
        snprintf(why, 256, "%.160s cannot be written: %s", path, strerror(errno));
        return why;
    }
    slash = strrchr(path, '/');
    if (slash != NULL)
        slash[slash == path ? 1 : 0] = '\0';
    const char *folder = slash == NULL ? "." : path;
    if (stat(folder, &info) == 0 && !S_ISDIR(info.st_mode))
        errno = ENOTDIR;
    else if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0)
        return NULL;
    snprintf(why, 256, "no file can be made in %.160s: %s", folder, strerror(errno));
    return why;
}
