/* SPDX-License-Identifier: Apache-2.0 */
/* admin_gauges.c - see admin_gauges.h. */
#include "admin/admin_gauges.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/admin_private.h"
#include "base/base_parse.h"

static uint64_t time_us(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * 1000000 + (uint64_t)time->tv_usec;
}

/* /proc/self/statm: "size resident ...", in pages. */
static bool read_resident(uint64_t *bytes)
{
    char text[256];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (fd >= 0)
        close(fd);
    struct span rest = {text, len < 0 ? 0 : (size_t)len};
    size_t skip = span_find(rest, ' ');
    if (skip >= rest.len)
        return false;
    rest = (struct span){rest.ptr + skip + 1, rest.len - skip - 1};
    rest.len = span_find(rest, ' ');
    uint64_t pages;
    if (!parse_u64(rest, &pages))
        return false;
    *bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

/* Without one left they are all taken. */
static bool count_descriptors(uint64_t *count, uint64_t max)
{
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL) {
        *count = max;
        return errno == EMFILE;
    }
    *count = 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        *count += entry->d_name[0] != '.';
    *count -= 1; /* the folder's own */
    closedir(folder);
    return true;
}

static void set_process(struct metrics_block *metrics)
{
    struct rusage used;
    struct rlimit limit;
    uint64_t value;
    if (getrusage(RUSAGE_SELF, &used) == 0)
        metrics_set(metrics, METRICS_CPU, time_us(&used.ru_utime) + time_us(&used.ru_stime));
    if (read_resident(&value))
        metrics_set(metrics, METRICS_RESIDENT, value);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    metrics_set(metrics, METRICS_DESCRIPTORS_MAX, limit.rlim_cur);
    if (count_descriptors(&value, limit.rlim_cur))
        metrics_set(metrics, METRICS_DESCRIPTORS, value);
}

static void set_store(const struct admin *admin, struct metrics_block *metrics)
{
    uint64_t max, subjects;
    if (admin->env.lease == NULL)
        return;
    subjects = lease_subjects(admin->env.lease, &max);
    metrics_set(metrics, METRICS_STORE_SUBJECTS, subjects);
    metrics_set(metrics, METRICS_STORE_SUBJECTS_MAX, max);
}

void admin_gauges_set(struct admin *admin)
{
    struct metrics_block *metrics = admin->env.loop->metrics;
    struct admin_facts facts = {0};
    struct loop_log_status log;
    admin->env.hooks.facts(admin->env.hooks.arg, &facts);
    loop_log_get_status(admin->env.log, &log);
    metrics_set(metrics, METRICS_READY, !facts.is_draining);
    metrics_set(metrics, METRICS_WORKERS, facts.workers);
    metrics_set(metrics, METRICS_START_TIME, facts.started_at_us);
    metrics_set(metrics, METRICS_CONNECTIONS_MAX, facts.plan->limits.connections_max);
    metrics_set(metrics, METRICS_CERTIFICATE_EXPIRY, facts.plan->certificates_until_s);
    metrics_set(metrics, METRICS_LOG_BUFFER, log.waiting_bytes);
    set_process(metrics);
    set_store(admin, metrics);
}
